"""`ratio`: an effect in one experiment is a multiple of the effect in another, paired by prompt."""

from __future__ import annotations

from typing import Any, ClassVar

from ...report.numbers import value_text
from ..claim import CannotClaim
from ..of_two import OfTwoExperiments


class Ratio(OfTwoExperiments):
    """One effect as a multiple of the same effect in another experiment on the same prompts lies where you say: in E5
    over in E3, effect[L7.H3] > 2. The interval (Fieller, 1954) allows for error in both. The effect in E3 must be
    shown to differ from zero."""

    type: ClassVar[str] = "ratio"
    reads: ClassVar[str] = "divided by that in"

    def compared(self, changes: Any, others: Any, asked: list[str]) -> tuple[float, float, float]:
        from ....experiments.statistics.ratios import ratio_interval
        from ....experiments.statistics.skewed import mean_interval

        whole, least, most = (float(found) for found in mean_interval(others, asked))
        if least <= 0 <= most:
            raise CannotClaim(
                f"The effect in {self.at} is {value_text(whole, least, most)}, not shown to differ from zero, so "
                "nothing can be a multiple of it; use contrast."
            )
        value, low, high = (float(found) for found in ratio_interval(changes, others, asked))
        return value, low, high
