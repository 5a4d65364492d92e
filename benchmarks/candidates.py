"""Tests and intervals of a mean that were tried: from values [effect, n] to p [effect] and the ends of its interval.

`before` is what Lashley did until it had `experiments/statistics/skewed.py`; the others are as their papers have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from lashley.experiments.statistics.paired_test import paired_p
from lashley.experiments.statistics.skewed import Array, mean_interval, moments, p_of_interval

RESAMPLES, FLIPS = 10_000, 20_000


class Tried(NamedTuple):
    p: Array
    low: Array
    high: Array
    p_max: Array | None = None


def drawn(n: int) -> Array:
    """How often each of n questions is in each resample [RESAMPLES, n]."""
    taken = np.random.default_rng(20_231).integers(0, n, (RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    return np.bincount(taken.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(float)


def flips(values: Array) -> tuple[Array, Array]:
    """Of values [effect, n]: the size of each mean, and of its flips [effect, flip]."""
    n = values.shape[1]
    if 2**n <= FLIPS:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(20_232).choice([-1.0, 1.0], (FLIPS, n))
        signs[0] = 1.0
    unit = values / np.sqrt((values**2).sum(1, keepdims=True))
    return np.abs(unit.sum(1)) * (1 - 1e-9), np.abs(unit @ signs.T)


def before(values: Array) -> Tried:
    """Percentile bootstrap with tails as much wider as Student's t is; sign flip; max-T over the flips."""
    _, low, high, _ = intervals_before(values)
    return p_before(values)._replace(low=low, high=high)


def intervals_before(values: Array) -> Tried:
    """The intervals alone, since the tests take as long."""
    n, mean = values.shape[1], values.mean(1)
    tail = float(norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)))
    low, high = np.quantile(values @ drawn(n).T / n, [tail, 1 - tail], axis=-1)
    return Tried(mean, np.minimum(low, mean), np.maximum(high, mean))


def p_before(values: Array) -> Tried:
    """The tests alone."""
    observed, null = flips(values)
    most = np.sort(null.max(0))
    p_max = 1 - np.searchsorted(most, observed) / len(most)
    return Tried((null >= observed[:, None]).mean(1), observed, observed, p_max)


def verdict_before(found: Tried, value: Array, n: int) -> Array:
    """p of the bound 0 from an interval: its end stretched as t with two degrees less."""
    edge = np.where(value > 0, value - found.low, found.high - value)
    return np.maximum(2 * t.sf(np.abs(value) / edge * t.ppf(0.975, n - 1), max(1, n - 3)), 2.0 ** (1 - n))


def verdict_now(found: Tried, value: Array, n: int) -> Array:
    """What `prediction.p_of_bound` does, of many at once."""
    return np.maximum(p_of_interval(value, found.low, found.high, 0.0, n), 2.0 ** (1 - n))


def now(values: Array) -> Tried:
    """Hall's cubic with a skewness that the sample does not exclude, and the sign flip; min-p over the flips."""
    (_, low, high), (p, p_max) = mean_interval(values), paired_p(values)
    return Tried(p, low, high, p_max)


def intervals_now(values: Array) -> Tried:
    """The intervals alone."""
    return Tried(*mean_interval(values))


def student(values: Array) -> Tried:
    """Student's t."""
    found = moments(values)
    half = found.error * t.ppf(0.975, found.count - 1)
    return Tried(2 * t.sf(abs(found.value) / found.error, found.count - 1), found.value - half, found.value + half)


def johnson(values: Array) -> Tried:
    """Johnson's t (1978): t with the sample's skewness in it."""
    n, mean = values.shape[1], values.mean(1)
    apart = values - mean[:, None]
    variance, third = (apart**2).sum(1) / (n - 1), (apart**3).mean(1)
    error = np.sqrt(variance / n)
    shifted = (mean + third / (6 * variance * n) + third / (3 * variance**2) * mean**2) / error
    middle, half = mean + third / (6 * variance * n), error * t.ppf(0.975, n - 1)
    return Tried(2 * t.sf(abs(shifted), n - 1), middle - half, middle + half)


def studentised(values: Array) -> tuple[Array, Array, Array]:
    """t of each mean [effect], t of its resamples about it [effect, RESAMPLES], and the standard errors [effect]."""
    n, mean = values.shape[1], values.mean(1)
    apart = values - mean[:, None]
    spread, times = np.sqrt((apart**2).mean(1)), drawn(n).T
    means = apart @ times / n
    spreads = np.sqrt(np.maximum((apart**2) @ times / n - means**2, 1e-12 * spread[:, None] ** 2))
    return mean / spread * math.sqrt(n - 1), means / spreads * math.sqrt(n - 1), spread / math.sqrt(n - 1)


def bootstrap_t(values: Array) -> Tried:
    """Bootstrap-t, equal tails (Efron 1981; Hall 1988)."""
    own, null, error = studentised(values)
    count = len(null[0]) + 1
    below, above = ((1 + (null <= own[:, None]).sum(1)) / count, (1 + (null >= own[:, None]).sum(1)) / count)
    low, high = np.quantile(null, [0.975, 0.025], axis=1)
    mean = values.mean(1)
    return Tried(np.minimum(1, 2 * np.minimum(below, above)), mean - low * error, mean - high * error)


def bootstrap_t_symmetric(values: Array) -> Tried:
    """Bootstrap-t, symmetric (Hall 1988), with the studentised max-T of Romano and Wolf (2005) over the family."""
    own, null, error = studentised(values)
    sizes = np.abs(null)
    half, mean = np.quantile(sizes, 0.95, axis=1) * error, values.mean(1)
    count = len(null[0]) + 1
    p_max = (1 + len(sizes[0]) - np.searchsorted(np.sort(sizes.max(0)), abs(own))) / count
    return Tried((1 + (sizes >= abs(own)[:, None]).sum(1)) / count, mean - half, mean + half, p_max)


def flip_and_bootstrap_t(values: Array) -> Tried:
    """The larger p of the sign flip and both of bootstrap-t; the hull of their intervals."""
    one, other = bootstrap_t(values), bootstrap_t_symmetric(values)
    p = np.maximum(np.maximum(one.p, other.p), p_before(values).p)
    return Tried(p, np.minimum(one.low, other.low), np.maximum(one.high, other.high))


def bca(values: Array) -> Tried:
    """BCa bootstrap (Efron 1987): percentiles, corrected for bias and acceleration."""
    n, mean = values.shape[1], values.mean(1)
    apart = values - mean[:, None]
    means = np.sort(values @ drawn(n).T / n, axis=1)
    bias = norm.ppf(np.clip((means < mean[:, None]).mean(1), 1e-4, 1 - 1e-4))
    acceleration = (apart**3).sum(1) / (6 * (apart**2).sum(1) ** 1.5)

    def end(z: float) -> Array:
        share = norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        return np.array([np.quantile(row, s) for row, s in zip(means, share, strict=True)])

    at_zero = norm.ppf(np.clip((means < 0).mean(1), 1 / RESAMPLES, 1 - 1 / RESAMPLES)) - bias
    z = at_zero / (1 + acceleration * at_zero) - bias
    return Tried(np.minimum(1.0, 2 * norm.sf(np.abs(z))), end(-1.959964), end(1.959964))


CANDIDATES: dict[str, Callable[[Array], Tried]] = {
    "before": before, "Student's t": student, "Johnson's t": johnson, "BCa": bca, "bootstrap-t": bootstrap_t,
    "bootstrap-t, symmetric": bootstrap_t_symmetric, "sign flip and bootstrap-t": flip_and_bootstrap_t, "now": now,
}  # fmt: skip
