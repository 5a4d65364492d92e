"""Triggers by which SQLite refuses to change what is past.

They stop mistakes and other programs; whoever removes them is found out by the seals. Migrations that were released
make their triggers by these functions, so what the functions make must stay as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def keep(db: Database, table: str, why: str, *, key: str = "id") -> None:
    """From now on rows can be added to `table`, and nothing else; `why` is what whoever tries is told."""
    refuse(db, f"{table}_kept_update", f"UPDATE ON {table}", why)
    refuse(db, f"{table}_kept_delete", f"DELETE ON {table}", why)
    never_replaced(db, table, why, key)


def never_replaced(db: Database, table: str, why: str, key: str = "id") -> None:
    """INSERT OR REPLACE takes a row away without asking the triggers on DELETE."""
    new = key.replace("(", "(new.").replace(", ", ", new.") if key.startswith("(") else f"new.{key}"
    refuse(db, f"{table}_kept_insert", f"INSERT ON {table}", why, f"EXISTS (SELECT 1 FROM {table} WHERE {key} = {new})")


def refuse(db: Database, name: str, event: str, why: str, when: str = "1") -> None:
    """From now on SQLite refuses the event, such as "UPDATE OF goal ON runs", and says why."""
    db.conn.execute(f"CREATE TRIGGER {name} BEFORE {event} WHEN {when} BEGIN SELECT RAISE (ABORT, '{why}'); END")
