"""The interval of a ratio of two means over the same prompts: how much of a difference comes back.

All ratios that the two means do not contradict (Fieller, Journal of the Royal Statistical Society B 16, 1954): r is in
the interval where changes - r * whole may have a mean of zero, by the test for skewed means. So a share excludes 0
exactly where p of the change is below 0.05, and what change and whole have in common cancels.
"""

from __future__ import annotations

import numpy as np

from .skewed import HALVINGS, Array, Questions, clustered, moments

# The ends are sought as the tangent of an angle, so that a ratio of any size is found; this is the last one.
WIDEST = np.arctan(1e6)


def ratio(changes: Array, whole: Array) -> Array:
    """changes [..., n] as a share of whole [n]: the ratio of the means, [...]."""
    return changes.mean(-1) / whole.mean()


def ratio_interval(changes: Array, whole: Array, questions: Questions = None) -> tuple[Array, Array, Array]:
    """The ratio of the means of changes [..., n] and of whole [n], low and high of it, each [...].

    Of use only where the interval of the whole does not hold zero: else there are ratios of every size that nothing
    contradicts, and an end lies a million times as far as the ratio's unit.
    """
    found = ratio(changes, whole)
    if len(clustered(whole, questions)[1]) == 1:
        return found, found, found
    return found, _end(changes, whole, questions, found, -1), _end(changes, whole, questions, found, 1)


def _end(changes: Array, whole: Array, questions: Questions, found: Array, side: int) -> Array:
    """The last ratio on this side that is not contradicted."""
    # In units of what a change is to the whole, so that the search knows neither's unit.
    unit = np.sqrt((changes**2).mean(-1) / (whole**2).mean()) + np.abs(found)
    near, far = np.zeros_like(found), np.full_like(found, WIDEST)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        rest = moments(changes - (found + side * unit * np.tan(middle))[..., None] * whole, questions)
        held = (rest.end(-1) <= 0) & (rest.end(1) >= 0)
        near, far = np.where(held, middle, near), np.where(held, far, middle)
    return found + side * unit * np.tan(near)
