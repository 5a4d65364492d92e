"""Which call of a conversation wrote a row, so that an interrupted call does not run twice; and when a stopped run was
resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep, refuse

if TYPE_CHECKING:
    from sqlite_utils import Database


# The tables that a call can write to. The id of a call is unique in its run.
_WRITTEN = ("experiments", "reuses", "notes", "hypotheses", "hypothesis_events", "reports", "task_files")


def calls_and_resumptions(db: Database) -> None:
    """Rows of older versions name no call."""
    for table in _WRITTEN:
        # One statement at a time: a script would end the transaction that all migrations share.
        db.conn.execute(f"ALTER TABLE {table} ADD COLUMN call TEXT")
    db.conn.execute("""
        CREATE TABLE resumptions (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            environment TEXT NOT NULL REFERENCES environments (hash),
            created TEXT NOT NULL
        ) STRICT
    """)
    keep(db, "resumptions", "that a run was taken up again stays recorded")
    for table in ("experiments", "hypotheses"):
        refuse(db, f"{table}_call", f"UPDATE OF call ON {table}", "what a row was written for cannot be changed")
