"""Runs that began in the middle of another one, and what each run asked its language model with.

A fork has the conversation of its parent up to a step as its own. The experiments of that part are reused; its
predictions are recorded again, so that they count in the fork's correction and are tested on prompts of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .frozen import keep, refuse
from .records import Hypothesis, Json, Turn

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Inherited:
    """What a fork begins with.

    parent       the number of the run that it leaves, after `step`
    turns        the conversation until then
    experiments  what was found until then
    hypotheses   as `Reader.hypotheses` has them, in order
    message       the message that the fork goes on with, given the new id of each hypothesis by its old one
    """

    parent: int
    step: int
    turns: Sequence[Turn]
    experiments: Sequence[int]
    hypotheses: Sequence[Hypothesis]
    message: Callable[[Mapping[str, str]], Json]


def requests_and_forks(db: Database) -> None:
    """Runs that began before name no request; whoever replays one cannot compare it."""
    # One by one: a script would end the transaction that all migrations share.
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
