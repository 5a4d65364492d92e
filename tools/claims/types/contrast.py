"""`contrast`: an effect is larger, or smaller, in one experiment than in another, prompt by prompt."""

from __future__ import annotations

from typing import Any, ClassVar

from ..of_two import OfTwoExperiments


class Contrast(OfTwoExperiments):
    """The difference of one effect between two experiments on the same prompts lies where you say: in E5 minus in E3,
    effect[L7.H3] < -0.1. The interval is that of the paired difference, prompt by prompt."""

    type: ClassVar[str] = "contrast"
    reads: ClassVar[str] = "minus that in"

    def compared(self, changes: Any, others: Any, asked: list[str]) -> tuple[float, float, float]:
        from ....experiments.statistics.skewed import mean_interval

        value, low, high = (float(found) for found in mean_interval(changes - others, asked))
        return value, low, high
