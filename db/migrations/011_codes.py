"""Codes beside the words that a program acts on, so that the words can change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def codes(db: Database) -> None:
    """Beside each note of an experiment its code, and beside the words of why a run ended the code of that. Rows from
    before have none."""
    db.conn.execute(
        "ALTER TABLE experiments ADD COLUMN note_codes TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(note_codes))"
    )
    db.conn.execute("ALTER TABLE runs ADD COLUMN error_code TEXT")
