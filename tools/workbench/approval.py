"""Asks before an experiment that would take long. The engine's estimate of each run decides; until an estimate says
that the experiment is too long, only short work has been done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...experiments.errors import NotApproved
from ...experiments.experiment import Experiment
from ...experiments.kinds.registry import own_settings
from ..report.numbers import setting


@dataclass
class Approval:
    """`ask` asks about an experiment that would take longer than `seconds`; with 0 seconds, about every one. `waited`
    is how many seconds all answers took, which do not count as the study's time."""

    seconds: float
    ask: Callable[[str], bool]
    waited: float = 0.0

    def given(self, question: str) -> bool:
        began = time.monotonic()
        try:
            return self.ask(question)
        finally:
            self.waited += time.monotonic() - began


class Gate:
    """The check that one experiment must pass before each of its runs."""

    def __init__(self, approval: Approval, id: str, experiment: Experiment) -> None:
        self._approval, self._began, self._passed = approval, time.monotonic(), False
        own = ", ".join(f"{k} {setting(v)}" for k, v in own_settings(experiment.kind, experiment.config()).items())
        self._what = f"{id} {experiment.kind} of {experiment.n} prompts of {experiment.task}{f', {own}' if own else ''}"
        self._before = approval.waited

    @property
    def waited(self) -> float:
        """How many seconds the answer took."""
        return self._approval.waited - self._before

    def open(self, expected: float | None = None) -> bool:
        """Check a run that is expected to take `expected` seconds (None: not known yet). Returns whether it asked.

        Raises NotApproved if the whole experiment would take longer than allowed, and the answer is no.
        """
        most = self._approval.seconds
        whole = time.monotonic() - self._began + (expected or 0.0)
        if self._passed or whole <= most or (expected is None and most > 0):
            return False
        how_long = "" if expected is None else f" would take about {lasting(whole)}"
        self._passed = self._approval.given(f"{self._what}{how_long}. Run it?" if how_long else f"Run {self._what}?")
        if not self._passed:
            raise NotApproved(
                f"The user refused it{f': it{how_long}' if how_long else ''}. Use fewer places or a smaller n, or "
                "continue with the results so far."
            )
        return True


def lasting(seconds: float) -> str:
    """A time in words: 42 seconds, 3 minutes, 2.5 hours."""
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {word}s"
    return f"{seconds:.2g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
