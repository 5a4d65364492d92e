"""Intervals and p-values of paired effects: the same prompts, intact and edited.

Intervals are percentile bootstraps over prompts (95%); p is a two-sided sign-flip permutation test of a mean
of zero; q corrects it over the effects of one experiment (Benjamini-Hochberg 1995). All effects of an
experiment share their resamples, and the seed is fixed, so a replay gives the same intervals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from .result import Effect, Measurement

Array = NDArray[np.float64]
RESAMPLES = 2000
# Enough that one strong effect among several hundred can still have a small q.
FLIPS = 20_000
SEED = 20_231


def bootstrap(values: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """values [..., n] -> mean, low, high of the mean, each [...]. With n = 1 the interval is the value."""
    n = values.shape[-1]
    drawn = np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n))
    # Counts instead of copies: a resampled mean is a weighted mean, and all effects share one matrix product.
    weights = np.zeros((RESAMPLES, n))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], drawn), 1.0 / n)
    means = values @ weights.T
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=-1)
    mean = values.mean(-1)
    return mean, np.minimum(low, mean), np.maximum(high, mean)


def sign_flip_p(values: Array) -> Array:
    """values [..., n] of paired differences -> two-sided p [...] that their mean is zero.

    Exact up to n = 14, by all 2^n flips, so never below 2 / 2^n; by 20,000 random ones for larger n.
    """
    n = values.shape[-1]
    exact = 2**n <= FLIPS
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(SEED + 1).choice([-1.0, 1.0], (FLIPS, n))
    rows = values.reshape(-1, n)
    observed = np.abs(rows.mean(-1))
    beyond = np.empty(len(rows))
    size = 200
    for begin in range(0, len(rows), size):
        part = slice(begin, begin + size)
        null = np.abs(rows[part] @ signs.T) / n
        # Rounding must not make the observed mean look larger than its own permutation.
        beyond[part] = (null >= observed[part, None] * (1 - 1e-9)).sum(-1)
    # A sample of the flips counts the observed one as drawn, too, so that p is never zero.
    p = beyond / len(signs) if exact else (1 + beyond) / (1 + len(signs))
    return p.reshape(values.shape[:-1])


def effects(sites: list[str], metric: str, differences: Array) -> tuple[Effect, ...]:
    """differences [site, n] -> one Effect per site, with interval, p and q."""
    mean, low, high = bootstrap(differences)
    p = sign_flip_p(differences)
    q = false_discovery_control(p) if len(p) > 1 else p
    return tuple(
        Effect(site=s, metric=metric, value=float(m), low=float(a), high=float(b), n=differences.shape[-1],
               p=float(pv), q=float(qv))
        for s, m, a, b, pv, qv in zip(sites, mean, low, high, p, q, strict=True)
    )  # fmt: skip


def measurement(name: str, values: Array, unit: str = "") -> Measurement:
    """The mean of values [n] with its interval."""
    mean, low, high = bootstrap(values)
    return Measurement(name=name, value=float(mean), low=float(low), high=float(high), n=len(values), unit=unit)
