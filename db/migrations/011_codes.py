"""Codes for messages that programs act on, so that the wording can change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def codes(db: Database) -> None:
    """The code of each note of an experiment, and the code of the reason why a run ended. Null or empty in rows of
    older versions."""
    db.conn.execute(
        "ALTER TABLE experiments ADD COLUMN note_codes TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(note_codes))"
    )
    db.conn.execute("ALTER TABLE runs ADD COLUMN error_code TEXT")
