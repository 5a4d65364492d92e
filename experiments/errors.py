"""What can go wrong with a subject, a task or an experiment, each with the way out in its message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExperimentError(Exception):
    """The base of every error that this folder raises on purpose. Its text is one line for the user; programs go by
    its class, or by its code."""

    code = "experiment"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that may have been meant, or all of them, as a sentence."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."


class UnknownName(ExperimentError):
    """A model, task, kind or site that is not there. Carries the nearest names."""

    code = "unknown_name"

    def __init__(self, what: str, name: str, known: Iterable[str], hint: str = "") -> None:
        super().__init__(f"There is no {what} '{name}'. {nearest(name, known)}{' ' + hint if hint else ''}")


class UnsupportedModel(ExperimentError):
    """The model could not be loaded, or its anatomy could not be found or verified."""

    code = "unsupported_model"


class BadTask(ExperimentError):
    """A task file or a request for prompts that cannot be met."""

    code = "bad_task"


class BadConfiguration(ExperimentError):
    """An experiment was asked for something that its subject or task does not have."""

    code = "bad_configuration"


class OutOfMemory(ExperimentError):
    """Not even the smallest piece of what was asked for fits into memory."""

    code = "out_of_memory"


class TooLong(ExperimentError):
    """An experiment took longer than it was given."""

    code = "too_long"


class NotApproved(ExperimentError):
    """An experiment would have taken longer than it may unasked, and the user refused it."""

    code = "not_approved"


class NotANumber(ExperimentError):
    """A measurement came out as NaN or infinite; it is recorded as a failure, never as a number."""

    code = "not_a_number"
