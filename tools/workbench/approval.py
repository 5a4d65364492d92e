"""Asking before an experiment that would take long. The engine's estimate of each of its runs decides; until it is
known that it is too long, only what is short has been done."""

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
    """What would take longer than `seconds` is asked for by `ask`; with 0 seconds everything is. `waited` is how many
    seconds all answers took: no time of the study's."""

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
    """What one experiment has to pass before each of its runs."""

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
        """Before a run that is expected to take so many seconds; None where that is not known yet. Whether it asked.

        Raises NotApproved where the whole would take longer than it may, and the answer is no.
        """
        most = self._approval.seconds
        whole = time.monotonic() - self._began + (expected or 0.0)
        if self._passed or whole <= most or (expected is None and most > 0):
            return False
        how_long = "" if expected is None else f" would take about {lasting(whole)}"
        self._passed = self._approval.given(f"{self._what}{how_long}. Run it?" if how_long else f"Run {self._what}?")
        if not self._passed:
            raise NotApproved(
                f"The user was asked, and refused it{f': it{how_long}' if how_long else ''}. Take fewer places or a "
                "smaller n, or go on with what there is."
            )
        return True


def lasting(seconds: float) -> str:
    """A time in words: 42 seconds, 3 minutes, 2.5 hours."""
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {word}s"
    return f"{seconds:.2g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
