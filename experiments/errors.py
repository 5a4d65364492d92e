"""What can go wrong with a subject, a task or an experiment, each with the way out in its message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExperimentError(Exception):
    """The base of every error that this folder raises on purpose. Its text is one line for the user."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that may have been meant, or all of them, as a sentence."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."


class UnknownName(ExperimentError):
    """A model, task, kind or site that is not there. Carries the nearest names."""

    def __init__(self, what: str, name: str, known: Iterable[str], hint: str = "") -> None:
        super().__init__(f"There is no {what} '{name}'. {nearest(name, known)}{' ' + hint if hint else ''}")


class UnsupportedModel(ExperimentError):
    """The model could not be loaded, or its anatomy could not be found or verified."""


class BadTask(ExperimentError):
    """A task file or a request for prompts that cannot be met."""


class BadConfiguration(ExperimentError):
    """An experiment was asked for something that its subject or task does not have."""


class OutOfMemory(ExperimentError):
    """Not even the smallest piece of what was asked for fits into memory."""


class TooLong(ExperimentError):
    """An experiment took longer than it was given."""


class NotApproved(ExperimentError):
    """An experiment would have taken longer than it may unasked, and the user refused it."""


class NotANumber(ExperimentError):
    """A measurement came out as NaN or infinite; it is recorded as a failure, never as a number."""
