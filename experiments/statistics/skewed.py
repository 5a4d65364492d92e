"""The interval and the p of a mean whose values may be skewed, over questions that are drawn independently.

Student's t assumes symmetric values. The changes by a head are not symmetric: most are small and a few are large, so
many samples contain none of the large ones, look narrow, and have a mean on the wrong side of the truth. A sign flip
has the same fault: it tests that a change is symmetric about zero, not that its mean is zero.

Johnson (Journal of the American Statistical Association 73, 1978) corrects t by the skewness of the sample, and Hall
(Journal of the Royal Statistical Society B 54, 1992) turns this into a cubic that preserves order. This module uses the
cubic with three additions, chosen by simulation (`benchmarks/statistics.py`):

- The skewness of few values is uncertain, and too small if the tail is long. So each end of the interval uses a
  skewness towards that end above the sample's (unbiased, Joanes and Gill, The Statistician 47, 1998) by z^2 / 8 of its
  standard errors, where z is the normal quantile of the level: 0.5 for an interval of 95%, and 1.75 for a p of 0.0002,
  which one of 270 heads must reach.
- Skewness never shortens an end: a tail that points away from it counts as none.
- If the skewness is large for few values, the cubic becomes flat and bends back. An end is at most 2.5 times as far as
  Student's.

p is the level whose interval just reaches the bound. So p < 0.05 exactly if the 95% interval excludes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Array = NDArray[np.float64]
# For each value, the question that it answers; None if every value has its own question.
Questions = Sequence[str] | None
LEVEL = 0.95
Z = float(ndtri((1 + LEVEL) / 2))
# The skewness may exceed the sample's by z^2 divided by this, in its standard errors.
DEMAND = 8.0
FURTHEST = 2.5
# Two-sided p of 1e-15 and of 1: the limits of the search for a p, and the number of bisections.
MOST_Z, HALVINGS = 8.0, 40
MOST_SKEWNESS = 20.0


def clustered(values: Array, questions: Questions) -> tuple[Array, Array]:
    """values [..., n] -> their sums by question [..., G], and the number of values of each question [G]."""
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
    """The ingredients of an estimate's interval: the estimate, its standard error and the skewness of its values, each
    [...]; and the number of independent values."""

    value: Array
    error: Array
    skewness: Array
    count: int

    def end(self, side: int, z: float = Z) -> Array:
        """The lower (side -1) or upper (1) end of the interval at the level with this normal quantile; [...]."""
        return self.value + side * self.error * reach(side * self.skewness, z, self.count)

    def p_of(self, bound: float) -> Array:
        """The two-sided p [...] that the estimate is `bound`; 1 if there is only one question."""
        apart = np.abs(self.value - bound)
        if self.count < 2:
            return np.ones_like(apart)
        towards = np.sign(bound - self.value) * self.skewness
        # The p of a difference without any spread is the smallest possible one.
        distance = np.divide(apart, self.error, out=np.where(apart > 0, np.inf, 0.0), where=self.error > 0)
        low, high = np.zeros_like(apart), np.full_like(apart, MOST_Z)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            beyond = reach(towards, middle, self.count) <= distance
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return np.minimum(1.0, 2 * ndtr(-low))


def reach(towards: Array, z: float | Array, count: int) -> Array:
    """The distance of an end from the estimate, in standard errors. `towards` is the skewness towards it [...]."""
    student = -stdtrit(count - 1, ndtr(-np.asarray(z)))
    demanded = np.maximum(0.0, towards + np.square(z) / DEMAND * error_of_skewness(count))
    bent = np.minimum(1.0, demanded * student / math.sqrt(count - 1))
    curved = bent > 1e-6
    cubic = 3 * (1 - np.cbrt(1 - bent)) / np.where(curved, bent, 1.0)
    return student * np.where(curved, np.minimum(FURTHEST, cubic), 1.0)


def moments(values: Array, questions: Questions = None) -> Moments:
    """The moments of the mean of values [..., n]. Prompts with the same question count as one deviation."""
    sums, sizes = clustered(values, questions)
    mean, count = values.mean(-1), len(sizes)
    apart = (sums - mean[..., None] * sizes) / sizes.mean()
    return Moments(mean, standard_error(apart), skewness(apart), count)


def from_interval(value: Array, low: Array, high: Array, count: int) -> Moments:
    """The moments of a 95% interval, from its ends [...]: more asymmetry means more skewness."""
    below, above = np.maximum(value - low, 0.0), np.maximum(high - value, 0.0)
    least, most = np.zeros_like(below), np.full_like(below, MOST_SKEWNESS)
    longer, shorter = np.maximum(below, above), np.minimum(below, above)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        more = reach(middle, Z, count) * shorter < longer * reach(-middle, Z, count)
        least, most = np.where(more, middle, least), np.where(more, most, middle)
    return Moments(value, longer / reach(least, Z, count), np.where(above > below, least, -least), count)


def p_of_interval(value: Array, low: Array, high: Array, bound: float, count: int) -> Array:
    """The two-sided p [...] of the bound, from a 95% interval: below 0.05 exactly if the interval excludes it, even if
    an interval of another kind is more asymmetric than that of a mean can be."""
    skewed = from_interval(value, low, high, count).skewness
    side = np.where(bound < value, -1, 1)
    edge = np.maximum(np.where(side < 0, value - low, high - value), 0.0)
    return Moments(value, edge / reach(side * skewed, Z, count), skewed, count).p_of(bound)


def standard_error(apart: Array) -> Array:
    """The standard error of the mean, from the deviations of G values [..., G]; 0 for one value."""
    return np.sqrt((apart**2).mean(-1) / max(1, apart.shape[-1] - 1))


def skewness(apart: Array) -> Array:
    """The skewness from the deviations of G values [..., G], unbiased for normal values; 0 for fewer than three."""
    count, spread = apart.shape[-1], np.sqrt((apart**2).mean(-1))
    if count < 3:
        return np.zeros_like(spread)
    unit = np.divide(apart, spread[..., None], out=np.zeros_like(apart), where=spread[..., None] > 0)
    return (unit**3).mean(-1) * math.sqrt(count * (count - 1)) / (count - 2)


def error_of_skewness(count: int) -> float:
    """The standard error of the skewness of this many normal values."""
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
