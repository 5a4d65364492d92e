"""How many random sets stand beside a set that is edited, and what so many can show."""

from __future__ import annotations

import math

from .p_values import LEVEL

DRAWS = 20


def least_p(sets: int) -> float:
    """The p of a set that does more damage than each of so many random ones: how often one of them, drawn at random,
    would have its place."""
    return 1 / (1 + sets)


def can_show(sets: int) -> bool:
    """Whether so many random sets can show at all that a set is beyond them."""
    return least_p(sets) < LEVEL


def possible_sets(places: int, size: int) -> int:
    """How many sets there are beside a set of this size, of so many places."""
    return math.comb(max(0, places - size), size)
