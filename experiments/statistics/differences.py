"""The difference and the ratio of two estimates, each with its own interval, such as one effect on two tasks.

If the two rest on different questions, they are independent. Then each side of the interval of the difference is the
root of the sum of the squares of the two half-widths on that side (MOVER: Zou and Donner, Statistics in Medicine 27,
2008; for shares Newcombe, Statistics in Medicine 17, 1998), so it keeps the asymmetry of both. If they may share
questions, each side is the sum of the two half-widths, which is never too narrow, whatever the dependence.

The interval of a ratio has every r for which the interval of one - r * other contains zero, as in Fieller's method.
"""

from __future__ import annotations

import math
from typing import NamedTuple

HALVINGS = 60


class Estimate(NamedTuple):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        ends = sorted((self.low * factor, self.high * factor))
        return Estimate(self.value * factor, ends[0], ends[1])


def difference(one: Estimate, other: Estimate, independent: bool) -> Estimate:
    """one - other, with the interval of the module's idea."""
    below = one.value - one.low, other.high - other.value
    above = one.high - one.value, other.value - other.low
    value = one.value - other.value
    if not independent:
        return Estimate(value, value - sum(below), value + sum(above))
    return Estimate(value, value - math.hypot(*below), value + math.hypot(*above))


def ratio(one: Estimate, other: Estimate, independent: bool) -> Estimate:
    """one / other. Raises ZeroDivisionError if the interval of `other` contains zero: then any ratio is possible."""
    if other.low <= 0 <= other.high:
        raise ZeroDivisionError("the interval of the denominator contains 0")
    value = one.value / other.value
    # The corners hold every ratio of two values within the intervals, so also those of the narrower interval.
    corners = [a / b for a in (one.low, one.high) for b in (other.low, other.high)]
    if not independent:
        return Estimate(value, min(corners), max(corners))
    return Estimate(value, _end(one, other, value, min(corners)), _end(one, other, value, max(corners)))


def _end(one: Estimate, other: Estimate, near: float, far: float) -> float:
    """The last ratio from `near` towards `far` that the interval of the difference does not contradict."""
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        rest = difference(one, other.times(middle), independent=True)
        near, far = (middle, far) if rest.low <= 0 <= rest.high else (near, middle)
    return near
