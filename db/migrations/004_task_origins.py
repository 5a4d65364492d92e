"""The origin of tasks that were made or imported, stored with their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def task_origins(db: Database) -> None:
    """Who made a task, in which run, from which spec, and its card. Null for tasks from older versions."""
    for column in (
        "card TEXT CHECK (card IS NULL OR json_valid(card))",
        "maker TEXT",
        "run INTEGER REFERENCES runs (id)",
        "spec TEXT CHECK (spec IS NULL OR json_valid(spec))",
    ):
        # One statement at a time: a script would end the transaction that all migrations share.
        db.conn.execute(f"ALTER TABLE task_files ADD COLUMN {column}")
