"""How a file of an older version becomes one of this version: one step a file, in the order of their numbers.

A step is a function over the tracker, named as its file is without the number. What was released is never changed:
people have files that it made. Steps are imported only when a file lacks them, so reading waits for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

NAMES = (
    "001_first_tables",
    "002_effects_beside_controls",
    "003_seals_and_frozen_rows",
    "004_task_origins",
    "005_predictions",
    "006_calls_and_resumptions",
    "007_words_of_the_user",
    "008_requests_and_forks",
    "009_what_replies_cost",
    "010_doubts",
    "011_codes",
    "012_questions",
)


def step(name: str) -> Callable[[Database], None]:
    """The step with this name, such as "001_first_tables"."""
    return getattr(import_module(f".{name}", __name__), name.partition("_")[2])


def after(version: int) -> Iterator[Callable[[Database], None]]:
    """The steps that a file lacks which has seen so many of them, in order."""
    return map(step, NAMES[version:])
