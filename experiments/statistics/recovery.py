"""How much of the difference between two runs an edit restores: 0 like the one, 1 like the other.

The share is a ratio of means over prompts, never a mean of ratios, which a prompt with nearly equal clean and corrupted
values would dominate. Its interval treats the change and the whole difference together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BadConfiguration
from ..metrics import unit_of
from ..result import Effect, Measurement
from .intervals import Array, effects, measurement
from .ratios import ratio, ratio_interval

# The metric of such effects, and under which name the whole difference of each prompt is kept beside its values.
RECOVERY = "recovery"
WHOLE = f"{RECOVERY}_whole"
UNIT = "share of clean - corrupted"
# Float32 logits are off by some 1e-5; a difference of a thousandth is none.
LEAST = 1e-3


@dataclass(frozen=True)
class Scale:
    """The two ends on prompts: `clean` and `corrupted` are the metric in either run, [n]."""

    metric: str
    clean: Array
    corrupted: Array
    asked: Sequence[str]

    @property
    def whole(self) -> Array:
        return self.clean - self.corrupted

    @property
    def gap(self) -> float:
        return float(self.whole.mean())

    def rows(self, rows: Sequence[int]) -> Scale:
        """The scale of some of the prompts."""
        return Scale(self.metric, self.clean[rows], self.corrupted[rows], [self.asked[i] for i in rows])

    def require(self, what: str) -> None:
        """Raises BadConfiguration if the two runs do not differ, so there is nothing to restore."""
        found = measurement("gap", self.whole, unit_of(self.metric), self.asked)
        assert found.low is not None
        assert found.high is not None
        if found.low <= 0 <= found.high or abs(found.value) < LEAST:
            raise BadConfiguration(
                f"{what} do not differ on these prompts: {self.metric} {self.clean.mean():.3f} and "
                f"{self.corrupted.mean():.3f}, difference {found.text}. So there is nothing to restore. Use a task "
                "that the subject can do (see baseline), more prompts or another metric."
            )

    def measurements(self) -> list[Measurement]:
        """Both ends and their difference, in the metric's own units."""
        unit = unit_of(self.metric)
        return [
            measurement(f"clean_{self.metric}", self.clean, unit, self.asked, self.metric),
            measurement(f"corrupted_{self.metric}", self.corrupted, unit, self.asked, self.metric),
            measurement("gap", self.whole, unit, self.asked),
        ]

    def effects(self, sites: list[str], changes: Array, family: int = 0) -> tuple[Effect, ...]:
        """changes [site, n], edited minus base -> their shares of the whole, p and q as of any paired change."""
        tested = effects(sites, RECOVERY, changes, self.asked, family)
        shares = ratio_interval(changes, self.whole, self.asked)
        return tuple(
            e.model_copy(update={"value": float(v), "low": float(a), "high": float(b)})
            for e, v, a, b in zip(tested, *shares, strict=True)
        )

    def untested(self, sites: list[str], metric: str, changes: Array) -> tuple[Effect, ...]:
        """The same with no p: for estimates and controls, which are no findings."""
        shares = zip(sites, *ratio_interval(changes, self.whole, self.asked), strict=True)
        n = changes.shape[-1]
        return tuple(
            Effect(site=s, metric=metric, value=float(v), low=float(a), high=float(b), n=n) for s, v, a, b in shares
        )

    def share(self, name: str, change: Array) -> Measurement:
        """change [n] -> the share as a measurement."""
        value, low, high = ratio_interval(change, self.whole, self.asked)
        return Measurement(name=name, value=float(value), low=float(low), high=float(high), n=len(change), unit=UNIT)

    def mean(self, changes: Array) -> Array:
        """changes [..., n] -> shares [...]."""
        return ratio(changes, self.whole)

    @property
    def summary(self) -> str:
        """Both ends in words."""
        unit = unit_of(self.metric)
        return (
            f"{self.metric} is {self.clean.mean():.3f} clean and {self.corrupted.mean():.3f} corrupted, "
            f"{abs(self.gap):.3f} {unit} apart"
        )

    def said(self, effect: Effect) -> str:
        """A share with its interval, and what it is in the metric's own units."""
        return f"{effect} ({effect.value * self.gap:+.3f} {unit_of(self.metric)})"
