"""The errors of subjects, tasks and experiments. Each message says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExperimentError(Exception):
    """The base of every error that this folder raises on purpose. Its text is one line for the user; programs use its
    class or code."""

    code = "experiment"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known names, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."


class UnknownName(ExperimentError):
    """An unknown model, task, kind or site; the message names the nearest ones."""

    code = "unknown_name"

    def __init__(self, what: str, name: str, known: Iterable[str], hint: str = "") -> None:
        super().__init__(f"There is no {what} '{name}'. {nearest(name, known)}{' ' + hint if hint else ''}")


class UnsupportedModel(ExperimentError):
    """The model cannot be loaded, or its anatomy cannot be found or verified."""

    code = "unsupported_model"


class BadTask(ExperimentError):
    """A bad task file, or a request for more prompts than there are."""

    code = "bad_task"


class BadConfiguration(ExperimentError):
    """A setting of an experiment that its subject or task does not have."""

    code = "bad_configuration"


class OutOfMemory(ExperimentError):
    """Even the smallest piece of the experiment does not fit into memory."""

    code = "out_of_memory"


class TooLong(ExperimentError):
    """An experiment exceeded its time limit."""

    code = "too_long"


class Skipped(ExperimentError):
    """The user stopped an experiment while it ran."""

    code = "skipped"


class NotApproved(ExperimentError):
    """The user refused an experiment whose estimated time needed approval."""

    code = "not_approved"


class NotANumber(ExperimentError):
    """A measurement is NaN or infinite; it is recorded as a failure, never as a number."""

    code = "not_a_number"
