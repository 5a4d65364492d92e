"""Random subsets and random orders of parts, as controls for a set that a search found and for an order of removal.

In a `matched` pool a subset has a part of the same layer in the place of each member, or one of the nearest layers, and
an order has a part of the same layer at each place. So a set or an order gains nothing by leaving the first layers
alone, which most models cannot do without. Whole layers and MLPs have no others in their layer: an order then keeps the
ends of the model where they are and shuffles the rest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence

from ..sites import Site
from .control_pool import Pool, ends
from .control_sets import distance
from .nearest import nearest_sets

Elements = Mapping[str, tuple[Site, ...]]


def random_subsets(
    elements: Elements, members: Collection[str], n_layers: int, seed: int, count: int, pool: Pool = "matched"
) -> list[frozenset[str]]:
    """Up to `count` different subsets as large as `members`, none of them equal to it."""
    if not 0 < len(members) < len(elements):
        return []
    if pool == "anywhere":
        draw = random.Random(seed)
        drawn = list(dict.fromkeys(frozenset(draw.sample(list(elements), len(members))) for _ in range(10 * count)))
    else:
        others = [name for name in elements if name not in members]
        # Members stand in for one another only where there are too few others.
        free = others if len(others) >= len(members) else list(elements)
        stand_ins = [_near(elements[name][0], free, elements, n_layers) for name in sorted(members)]
        drawn = [frozenset(one) for one in nearest_sets(stand_ins, seed, count + 1)]
    return [one for one in drawn if one != frozenset(members)][:count]


def subsets_there_are(elements: Elements, members: Collection[str]) -> int:
    """How many other subsets are as large."""
    return math.comb(len(elements), len(members)) - 1


def _near(site: Site, free: Sequence[str], elements: Elements, n_layers: int) -> dict[int, list[tuple[str]]]:
    """What may take the place of a site, by its distance."""
    found: dict[int, list[tuple[str]]] = {}
    for name in free:
        far = distance(elements[name][0].layer, site, n_layers)
        if far is not None:
            found.setdefault(far, []).append((name,))
    return found


def random_orders(
    elements: Elements, order: Sequence[str], n_layers: int, seed: int, count: int, pool: Pool = "matched"
) -> list[list[str]]:
    """`count` random orders of all elements."""
    draw = random.Random(seed)
    if pool == "anywhere":
        return [draw.sample(list(elements), len(elements)) for _ in range(count)]
    outer = ends(n_layers)
    group = {name: at.layer if at.index is not None else at.layer in outer for name, (at, *_) in elements.items()}
    return [_shuffled_within(order, group, draw) for _ in range(count)]


def _shuffled_within(order: Sequence[str], group: Mapping[str, int], draw: random.Random) -> list[str]:
    """The order, with the members of each group shuffled among the places that they have."""
    by_group: dict[int, list[str]] = {}
    for name in order:
        by_group.setdefault(group[name], []).append(name)
    shuffled = {key: iter(draw.sample(names, len(names))) for key, names in by_group.items()}
    return [next(shuffled[group[name]]) for name in order]
