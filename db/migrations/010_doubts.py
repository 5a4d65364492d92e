"""Why what an experiment found may mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def doubts(db: Database) -> None:
    """Why what an experiment found may mean nothing, by codes: nobody has to know it by the wording of a note."""
    db.executescript("""
        ALTER TABLE experiments ADD COLUMN doubts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(doubts));
    """)
