"""The time limit of an experiment. It is checked whenever the experiment reports progress, between two chunks of work,
because only there can it end cleanly. An experiment that reports nothing ends late; the process survives in any
case."""

from __future__ import annotations

import time

from ...experiments.errors import TooLong
from .context import Progress


def within(seconds: float | None, progress: Progress) -> Progress:
    """`progress` that raises TooLong after so many seconds if any work is left; None: no limit."""
    if seconds is None:
        return progress
    began = time.monotonic()

    def checked(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        taken = time.monotonic() - began
        if taken > seconds and done < total:
            raise TooLong(
                f"It was stopped after {taken / 60:.1f} minutes, because an experiment may take {seconds / 60:g}, with "
                f"{done} of {total} done ({what}). Use fewer places or a smaller n, or send the same call again to "
                "resume it."
            )

    return checked
