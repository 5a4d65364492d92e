"""What each reply cost, in tokens and in dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def what_replies_cost(db: Database) -> None:
    """Of a reply's tokens those that came from the server's cache and went into it; and its price in US dollars."""
    for column in ("tokens_cached INTEGER", "tokens_written INTEGER", "cost REAL"):
        db.conn.execute(f"ALTER TABLE turns ADD COLUMN {column}")
