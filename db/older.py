"""What rows of before there were codes mean: known by the words that the program used in those days.

These are words that stand in files, and never change. What is written today carries its code, and nobody looks here.
"""

from __future__ import annotations

from collections.abc import Sequence

from .records import Doubt

# How a note began that said that the subject cannot do the task.
_UNABLE = "On these prompts the intact model is not shown to do the task"
# How a call was refused for a reason of the study's, and how a limit was named that a clock had reached.
_REFUSED = {"stopping": "The user wants to stop", "budget_spent": "The budget is spent"}
_MINUTES = " minutes"


def doubts_in(notes: Sequence[str]) -> list[Doubt]:
    """The doubts that an experiment's notes hold, of a row whose notes have no codes."""
    return [Doubt("unable", note) for note in notes if note.startswith(_UNABLE)]


def refused_for(text: str) -> str:
    """The code of a refusal that was logged without one; empty for a reason that nobody has to know."""
    return next((code for code, beginning in _REFUSED.items() if text.startswith(beginning)), "")


def limit_reached(words: str) -> str:
    """The code of a limit that was logged by its words: the clock's, or none."""
    return "minutes" if words.endswith(_MINUTES) else ""
