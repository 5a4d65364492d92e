"""How long an experiment may take. It is asked whenever the experiment says how far it is, between two chunks of work:
nothing else ends it cleanly, so one that says nothing ends late, and the process lives on in any case."""

from __future__ import annotations

import time

from ...experiments.errors import TooLong
from .context import Progress


def within(seconds: float | None, progress: Progress) -> Progress:
    """`progress`, which from so many seconds on raises TooLong where anything is left to do; None: never."""
    if seconds is None:
        return progress
    began = time.monotonic()

    def checked(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        taken = time.monotonic() - began
        if taken > seconds and done < total:
            raise TooLong(
                f"It was stopped after {taken / 60:.1f} minutes, as an experiment may take {seconds / 60:g}, with "
                f"{done} of {total} done ({what}). Take fewer places or a smaller n; or send the same call again, "
                "which goes on with what it had done."
            )

    return checked
