"""The number of random sets to compare an edited set with, and what that number can show."""

from __future__ import annotations

import math

from .p_values import LEVEL

DRAWS = 20


def least_p(sets: int) -> float:
    """The p of a set that does more damage than each of this many random ones: the probability that a random set would
    have its rank."""
    return 1 / (1 + sets)


def can_show(sets: int) -> bool:
    """Whether this many random sets can show that a set is beyond them."""
    return least_p(sets) < LEVEL


def possible_sets(places: int, size: int) -> int:
    """The number of other sets of this size among this many sites."""
    return math.comb(max(0, places - size), size)
