"""The questions of a study, registered before its first experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep

if TYPE_CHECKING:
    from sqlite_utils import Database


def questions(db: Database) -> None:
    """The questions of a run, each a claim without a verdict and its wording by the program. `origin` says who
    registered it: the run's driver, or the program, which read it from the goal."""
    db.executescript("""
        CREATE TABLE questions (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id),
            claim TEXT NOT NULL CHECK (json_valid(claim)),
            text TEXT NOT NULL,
            origin TEXT NOT NULL CHECK (origin IN ('driver', 'goal')),
            call TEXT,
            created TEXT NOT NULL
        ) STRICT;
        CREATE INDEX questions_of_run ON questions (run);
    """)
    keep(db, "questions", "a question stays as it was registered")
