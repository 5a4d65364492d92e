"""Triggers with which SQLite refuses to change past records.

They stop mistakes and other programs; if somebody removes them, the seals reveal it. Released migrations create their
triggers with these functions, so the SQL that the functions create must never change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def keep(db: Database, table: str, why: str, *, key: str = "id") -> None:
    """Allow only insertions into `table` from now on; `why` is the error message for anything else."""
    refuse(db, f"{table}_kept_update", f"UPDATE ON {table}", why)
    refuse(db, f"{table}_kept_delete", f"DELETE ON {table}", why)
    never_replaced(db, table, why, key)


def never_replaced(db: Database, table: str, why: str, key: str = "id") -> None:
    """Refuse INSERT OR REPLACE, which deletes a row without running the triggers on DELETE."""
    new = key.replace("(", "(new.").replace(", ", ", new.") if key.startswith("(") else f"new.{key}"
    refuse(db, f"{table}_kept_insert", f"INSERT ON {table}", why, f"EXISTS (SELECT 1 FROM {table} WHERE {key} = {new})")


def refuse(db: Database, name: str, event: str, why: str, when: str = "1") -> None:
    """Make SQLite refuse an event, such as "UPDATE OF goal ON runs", with the message `why`."""
    db.conn.execute(f"CREATE TRIGGER {name} BEFORE {event} WHEN {when} BEGIN SELECT RAISE (ABORT, '{why}'); END")
