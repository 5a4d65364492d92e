"""The cost of each reply, in tokens and in dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def what_replies_cost(db: Database) -> None:
    """The tokens of a reply that came from the server's cache or went into it; and its cost in US dollars."""
    for column in ("tokens_cached INTEGER", "tokens_written INTEGER", "cost REAL"):
        db.conn.execute(f"ALTER TABLE turns ADD COLUMN {column}")
