"""Whether paired changes have a mean of zero: p of each, and p_max over all of a family.

Two tests must both reject. The sign flip is exact for a change that is symmetric about zero, however few questions
there are, but a skewed change with mean zero misleads it. The interval for skewed means (`skewed`) handles that, but
cannot show the limits of very few questions. p is the larger of the two.

p_max corrects over the family as Westfall and Young (Resampling-based multiple testing, 1993) do: by the same flips of
all effects, which keep what the effects share. What is compared is how rare each mean is among its own flips (min-p),
not how many standard errors it is (max-T). Effects with different distributions have different tails, so max-T would
compare a skewed effect with flips that no other effect can reach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .skewed import Array, Questions, clustered, zero_p

# Enough flips that one strong effect among several hundred can still have a small q.
FLIPS = 20_000
SEED = 20_232
AT_ONCE = 200


def paired_p(values: Array, questions: Questions = None) -> tuple[Array, Array]:
    """values [..., n] of paired differences -> two-sided p [...] that their mean is zero, and p_max [...]: the same
    for a family, all of [...]: how often any of the family is as rare among its flips.

    The differences of one question are flipped together. Exact up to 14 questions, by all 2^G flips, so never
    below 2 / 2^G; by 20,000 random ones for more. The flips are the same for the whole family.
    """
    sums, sizes = clustered(values, questions)
    signs, exact = _signs(len(sizes))
    rows = sums.reshape(-1, len(sizes))
    # Flips do not change the squares, so the scale does not matter within a row: it makes rows comparable.
    size = np.sqrt((rows**2).sum(-1, keepdims=True))
    rows = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    # Rounding must not make the observed mean look larger than its own permutation.
    observed = np.abs(rows.sum(-1)) * (1 - 1e-9)
    skewed = zero_p(values, questions).reshape(-1)
    p, rarest = np.empty(len(rows)), np.ones(len(signs))
    for begin in range(0, len(rows), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        null = np.abs(rows[part] @ signs.T)
        p[part] = np.maximum(_share((null >= observed[part, None]).sum(-1), len(signs), exact), skewed[part])
        for row in null:
            np.minimum(rarest, _rarity(row), out=rarest)
    as_rare = np.searchsorted(np.sort(rarest), p * (1 + 1e-9), side="right")
    p_max = np.maximum(p, _share(as_rare, len(signs), exact))
    return p.reshape(values.shape[:-1]), p_max.reshape(values.shape[:-1])


def _rarity(null: Array) -> Array:
    """For each flip of an effect [flip], the share of flips that are as extreme."""
    order = np.argsort(null)
    ranked = null[order]
    # Flips that differ only by rounding are equally extreme.
    begins = np.concatenate([[True], ranked[1:] > ranked[:-1] * (1 + 1e-9)])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(null)), 0))
    found = np.empty(len(null))
    found[order] = 1 - first / len(null)
    return found


def _signs(count: int) -> tuple[Array, bool]:
    """The flips of this many questions [flip, G], and whether they are all possible flips."""
    if 2**count <= FLIPS:
        return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1), True
    return np.random.default_rng(SEED).choice([-1.0, 1.0], (FLIPS, count)), False


def _share(beyond: NDArray[np.intp], flips: int, exact: bool) -> Array:
    # A sample of the flips includes the observed one, so p is never zero.
    return beyond / flips if exact else (1 + beyond) / (1 + flips)
