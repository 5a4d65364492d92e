"""The meaning of rows that are older than codes, recognised by the wording of those versions.

These texts are in users' files and never change. New rows have codes, and do not use this module.
"""

from __future__ import annotations

from collections.abc import Sequence

from .records import Doubt

# The beginning of the note that says that the subject cannot do the task.
_UNABLE = "On these prompts the intact model is not shown to do the task"
# The beginnings of refusals with a code, and the wording of the time limit.
_REFUSED = {"stopping": "The user wants to stop", "budget_spent": "The budget is spent"}
_MINUTES = " minutes"


def doubts_in(notes: Sequence[str]) -> list[Doubt]:
    """The doubts in an experiment's notes, for a row whose notes have no codes."""
    return [Doubt("unable", note) for note in notes if note.startswith(_UNABLE)]


def refused_for(text: str) -> str:
    """The code of a refusal that was logged without one; empty for reasons that no program needs."""
    return next((code for code, beginning in _REFUSED.items() if text.startswith(beginning)), "")


def limit_reached(words: str) -> str:
    """The code of a limit that was logged without one: the time limit, or empty."""
    return "minutes" if words.endswith(_MINUTES) else ""
