"""Runs that were forked from another run, and the instructions and tools of each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep, refuse

if TYPE_CHECKING:
    from sqlite_utils import Database


def requests_and_forks(db: Database) -> None:
    """Runs of older versions have no request, so a replay cannot compare it."""
    # One statement at a time: a script would end the transaction that all migrations share.
    db.conn.execute("""
        CREATE TABLE requests (
            hash TEXT PRIMARY KEY,
            content TEXT NOT NULL CHECK (json_valid(content))
        ) STRICT
    """)
    keep(db, "requests", "what a language model was asked with stays as it was recorded", key="hash")
    for table in ("runs", "resumptions"):
        db.conn.execute(f"ALTER TABLE {table} ADD COLUMN request TEXT REFERENCES requests (hash)")
    db.conn.execute("ALTER TABLE runs ADD COLUMN parent INTEGER REFERENCES runs (id)")
    db.conn.execute("ALTER TABLE runs ADD COLUMN forked_at INTEGER")
    final = "what a run began with cannot be changed"
    refuse(db, "runs_forked", "UPDATE OF request, parent, forked_at ON runs", final)
