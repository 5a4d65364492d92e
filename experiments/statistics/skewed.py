"""The interval and the p of a mean whose values may be skewed, over questions that are drawn independently.

Student's t takes the values for symmetric. The changes that a head makes are not: most are small and a few are large,
so that many a sample holds none of the large ones, looks narrow, and has a mean that lies on the wrong side of the
truth. A sign flip has the same fault: it tests that a change is symmetric about zero, not that its mean is zero.

Johnson (Journal of the American Statistical Association 73, 1978) corrects t by the skewness of the sample, and
Hall (Journal of the Royal Statistical Society B 54, 1992) makes a cubic of it, which keeps its order. We take the
cubic, and three things with it, which were chosen by simulation (`benchmarks/statistics.py`):

- The skewness of few values is uncertain, and too small where the tail is long. So each end of the interval is that of
  the skewness, towards that end, that lies above the sample's (unbiased, Joanes and Gill, The Statistician 47, 1998) by
  as many of its standard errors as the level demands: z^2 / 8, where z is the normal quantile. That is 0.5 for an
  interval of 95%, and 1.75 for a p of 0.0002, which is what one of 270 heads must show.
- No skewness shortens an end: a tail that points away from it is taken for none.
- Where the skewness is large for so few values, the cubic runs flat, and it bends back beyond. An end lies at most 2.5
  times as far as Student's.

p is the level whose interval just reaches the bound. So p < 0.05 exactly where the interval of 95% excludes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Array = NDArray[np.float64]
# For each value the question that it answers; None when every value has one of its own.
Questions = Sequence[str] | None
LEVEL = 0.95
Z = float(ndtri((1 + LEVEL) / 2))
# By how many of its standard errors the skewness may lie above the sample's: z^2 over this.
DEMAND = 8.0
FURTHEST = 2.5
# Two-sided p of 1e-15 and of 1: the ends between which a p is sought, and how often they are halved.
MOST_Z, HALVINGS = 8.0, 40
MOST_SKEWNESS = 20.0


def clustered(values: Array, questions: Questions) -> tuple[Array, Array]:
    """values [..., n] -> their sums by question [..., G], and how many values each question has [G]."""
    n = values.shape[-1]
    if questions is None:
        return values, np.ones(n)
    if len(questions) != n:
        raise ValueError(f"{n} values, but {len(questions)} questions")
    names = {name: i for i, name in enumerate(dict.fromkeys(questions))}
    member = np.zeros((n, len(names)))
    member[np.arange(n), [names[name] for name in questions]] = 1.0
    return values @ member, member.sum(0)


@dataclass(frozen=True)
class Moments:
    """What the interval of an estimate is made of: the estimate, its standard error and the skewness of the values
    behind it, each [...]; and how many independent values those are."""

    value: Array
    error: Array
    skewness: Array
    count: int

    def end(self, side: int, z: float = Z) -> Array:
        """Where the interval ends below (side -1) or above (1), at the level with this normal quantile; [...]."""
        return self.value + side * self.error * reach(side * self.skewness, z, self.count)

    def p_of(self, bound: float) -> Array:
        """The two-sided p [...] that the estimate would be `bound`; 1 where there is only one question."""
        apart = np.abs(self.value - bound)
        if self.count < 2:
            return np.ones_like(apart)
        towards = np.sign(bound - self.value) * self.skewness
        # The p of a difference without any spread is the least that can be.
        distance = np.divide(apart, self.error, out=np.where(apart > 0, np.inf, 0.0), where=self.error > 0)
        low, high = np.zeros_like(apart), np.full_like(apart, MOST_Z)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            beyond = reach(towards, middle, self.count) <= distance
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return np.minimum(1.0, 2 * ndtr(-low))


def reach(towards: Array, z: float | Array, count: int) -> Array:
    """How many standard errors an end lies from the estimate. `towards` is the skewness towards that end [...]."""
    student = -stdtrit(count - 1, ndtr(-np.asarray(z)))
    demanded = np.maximum(0.0, towards + np.square(z) / DEMAND * error_of_skewness(count))
    bent = np.minimum(1.0, demanded * student / math.sqrt(count - 1))
    curved = bent > 1e-6
    cubic = 3 * (1 - np.cbrt(1 - bent)) / np.where(curved, bent, 1.0)
    return student * np.where(curved, np.minimum(FURTHEST, cubic), 1.0)


def moments(values: Array, questions: Questions = None) -> Moments:
    """Of the mean of values [..., n]. Prompts that ask the same count together, as one deviation from the mean."""
    sums, sizes = clustered(values, questions)
    mean, count = values.mean(-1), len(sizes)
    apart = (sums - mean[..., None] * sizes) / sizes.mean()
    return Moments(mean, standard_error(apart), skewness(apart), count)


def from_interval(value: Array, low: Array, high: Array, count: int) -> Moments:
    """What an interval of 95% was made of, read from its ends [...]: the more lopsided it is, the more skewed."""
    below, above = np.maximum(value - low, 0.0), np.maximum(high - value, 0.0)
    least, most = np.zeros_like(below), np.full_like(below, MOST_SKEWNESS)
    longer, shorter = np.maximum(below, above), np.minimum(below, above)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        more = reach(middle, Z, count) * shorter < longer * reach(-middle, Z, count)
        least, most = np.where(more, middle, least), np.where(more, most, middle)
    return Moments(value, longer / reach(least, Z, count), np.where(above > below, least, -least), count)


def p_of_interval(value: Array, low: Array, high: Array, bound: float, count: int) -> Array:
    """The two-sided p [...] of the bound, from an interval of 95%: below 0.05 just where the interval excludes it,
    also where an interval of another kind is more lopsided than that of a mean can be."""
    skewed = from_interval(value, low, high, count).skewness
    side = np.where(bound < value, -1, 1)
    edge = np.maximum(np.where(side < 0, value - low, high - value), 0.0)
    return Moments(value, edge / reach(side * skewed, Z, count), skewed, count).p_of(bound)


def standard_error(apart: Array) -> Array:
    """Of the mean, from the deviations of G values from it [..., G]; 0 for one."""
    return np.sqrt((apart**2).mean(-1) / max(1, apart.shape[-1] - 1))


def skewness(apart: Array) -> Array:
    """From the deviations of G values from their mean [..., G], unbiased for normal ones; 0 for fewer than three."""
    count, spread = apart.shape[-1], np.sqrt((apart**2).mean(-1))
    if count < 3:
        return np.zeros_like(spread)
    unit = np.divide(apart, spread[..., None], out=np.zeros_like(apart), where=spread[..., None] > 0)
    return (unit**3).mean(-1) * math.sqrt(count * (count - 1)) / (count - 2)


def error_of_skewness(count: int) -> float:
    """The standard error of the skewness of so many normal values."""
    if count < 3:
        return math.inf
    return math.sqrt(6 * count * (count - 1) / ((count - 2) * (count + 1) * (count + 3)))


def mean_interval(values: Array, questions: Questions = None) -> tuple[Array, Array, Array]:
    """values [..., n] -> mean, low, high of the mean, each [...]. With one question the interval is the value."""
    found = moments(values, questions)
    if found.count < 2:
        return found.value, found.value, found.value
    return found.value, found.end(-1), found.end(1)


def zero_p(values: Array, questions: Questions = None) -> Array:
    """values [..., n] -> the two-sided p [...] that their mean is zero."""
    return moments(values, questions).p_of(0.0)
