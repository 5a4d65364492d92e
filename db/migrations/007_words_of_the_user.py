"""Messages of the user to a running study, which wait until the study's own process reads them.

A message has been read when a turn of the run has its number. So nothing needs to be marked, and a crash leaves nothing
half done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep

if TYPE_CHECKING:
    from sqlite_utils import Database


def words_of_the_user(db: Database) -> None:
    """The user's messages for a run, in order."""
    db.conn.execute("""
        CREATE TABLE told (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            text TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT
    """)
    keep(db, "told", "what the user said stays as it was said")
