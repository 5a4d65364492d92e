"""The interval of a ratio of two means over the same prompts: how much of a difference is recovered.

All ratios that the two means do not contradict (Fieller, Journal of the Royal Statistical Society B 16, 1954): r is in
the interval if changes - r * whole may have a mean of zero, by the test for skewed means. So a share excludes 0 exactly
if p of the change is below 0.05, and variation that change and whole share cancels.
"""

from __future__ import annotations

import numpy as np

from .skewed import HALVINGS, Array, Questions, clustered, moments

# The search for the ends uses the tangent of an angle, so it finds a ratio of any size; this is the last angle.
WIDEST = np.arctan(1e6)


def ratio(changes: Array, whole: Array) -> Array:
    """changes [..., n] as a share of whole [n]: the ratio of the means, [...]."""
    return changes.mean(-1) / whole.mean()


def ratio_interval(changes: Array, whole: Array, questions: Questions = None) -> tuple[Array, Array, Array]:
    """The ratio of the means of changes [..., n] and of whole [n], with low and high, each [...].

    Useful only if the interval of the whole excludes zero: otherwise ratios of every size are possible, and an end is a
    million units away.
    """
    found = ratio(changes, whole)
    if len(clustered(whole, questions)[1]) == 1:
        return found, found, found
    return found, _end(changes, whole, questions, found, -1), _end(changes, whole, questions, found, 1)


def _end(changes: Array, whole: Array, questions: Questions, found: Array, side: int) -> Array:
    """The last ratio on this side that is not contradicted."""
    # Relative to the scales of change and whole, so the search does not depend on their units.
    unit = np.sqrt((changes**2).mean(-1) / (whole**2).mean()) + np.abs(found)
    near, far = np.zeros_like(found), np.full_like(found, WIDEST)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        rest = moments(changes - (found + side * unit * np.tan(middle))[..., None] * whole, questions)
        held = (rest.end(-1) <= 0) & (rest.end(1) >= 0)
        near, far = np.where(held, middle, near), np.where(held, far, middle)
    return found + side * unit * np.tan(near)
