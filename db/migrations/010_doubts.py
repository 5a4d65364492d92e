"""Reasons to doubt an experiment's result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def doubts(db: Database) -> None:
    """Reasons to doubt an experiment's result, as codes, so programs need not read the text of notes."""
    db.executescript("""
        ALTER TABLE experiments ADD COLUMN doubts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(doubts));
    """)
