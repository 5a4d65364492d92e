"""What the user tells a study while it runs: words that wait until its own process takes them in.

They are taken when a turn of the run carries their number, so there is nothing to mark, and nothing that a crash could
leave half done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep

if TYPE_CHECKING:
    from sqlite_utils import Database


def words_of_the_user(db: Database) -> None:
    """Words for a run, in the order in which they were said."""
    db.conn.execute("""
        CREATE TABLE told (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            text TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT
    """)
    keep(db, "told", "what the user said stays as it was said")
