"""The time limit of an experiment, and the user's wish to stop it.

Both are checked whenever the experiment reports progress, between two chunks of work, because only there can it end
cleanly. An experiment that reports nothing ends late; the process survives in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...experiments.errors import Skipped, TooLong
from .context import Progress, never_asked


def within(seconds: float | None, progress: Progress, skip: Callable[[], bool] = never_asked) -> Progress:
    """`progress` that raises TooLong after so many seconds (None: no limit), and Skipped if `skip` says that the user
    asks for it, if any work is left."""
    began = time.monotonic()

    def checked(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        taken = time.monotonic() - began
        if done < total and skip():
            raise Skipped(
                f"The user stopped it after {taken / 60:.1f} minutes, with {done} of {total} done ({what}). Continue "
                "without it, or with fewer places or a smaller n."
            )
        if seconds is not None and taken > seconds and done < total:
            raise TooLong(
                f"It was stopped after {taken / 60:.1f} minutes, because an experiment may take {seconds / 60:g}, with "
                f"{done} of {total} done ({what}). Use fewer places or a smaller n, or send the same call again to "
                "resume it."
            )

    return checked
