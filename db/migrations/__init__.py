"""The migrations from older versions to this one: one step per file, in the order of their numbers.

A step is a function of the tracker, named like its file without the number. A released step never changes, because
people have files that it made. A step is imported only if a file needs it, so reading does not wait for any.
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
    "013_circuits",
)


def step(name: str) -> Callable[[Database], None]:
    """The step with this name, such as "001_first_tables"."""
    return getattr(import_module(f".{name}", __name__), name.partition("_")[2])


def after(version: int) -> Iterator[Callable[[Database], None]]:
    """The steps after this version, in order."""
    return map(step, NAMES[version:])
