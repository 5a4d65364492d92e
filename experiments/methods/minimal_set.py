"""Search for a smallest set that is enough, with a score that is at least 0 for a set that is enough.

First, halving finds the shortest start of an order of importance that is enough. Then the set shrinks by one member at
a time, keeping the `beam` best sets, until no member can be spared; large sets drop a quarter of their members at a
time, the least important ones, as long as the rest is enough. So no single member of the result can be spared; a
smaller set of other members may exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Up to this size sets shrink by one member at a time, and several are followed.
SMALL = 24
Score = Callable[[Sequence[frozenset[str]]], Sequence[float]]


@dataclass(frozen=True)
class Smallest:
    """members, in order; path: size and score of the best set at each step; tried: number of sets tested."""

    members: tuple[str, ...]
    path: tuple[tuple[int, float], ...]
    tried: int


def smallest(order: Sequence[str], score: Score, beam: int = 1) -> Smallest | None:
    """A set that is enough and no member of which can be spared; None if even all members are not enough.

    order  the most important first
    """
    place = {name: i for i, name in enumerate(order)}
    known: dict[frozenset[str], float] = {}
    path: list[tuple[int, float]] = []

    def scores(sets: Sequence[frozenset[str]]) -> list[float]:
        fresh = [one for one in dict.fromkeys(sets) if one not in known]
        if fresh:
            known.update(zip(fresh, map(float, score(fresh)), strict=True))
        return [known[one] for one in sets]

    def followed(one: frozenset[str]) -> float:
        path.append((len(one), scores([one])[0]))
        return path[-1][1]

    def best_first(sets: Sequence[frozenset[str]]) -> list[frozenset[str]]:
        return sorted(dict.fromkeys(sets), key=lambda one: (-known[one], sorted(place[name] for name in one)))

    if followed(frozenset(order)) < 0:
        return None
    low, high = 0, len(order)
    if followed(frozenset()) >= 0:
        return Smallest((), tuple(path), len(known))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if followed(frozenset(order[:middle])) >= 0 else (middle, high)
    best = [frozenset(order[:high])]
    while True:
        fewer = {one - {name} for one in best for name in one}
        scores(sorted(fewer, key=lambda one: sorted(place[name] for name in one)))
        enough = best_first([one for one in fewer if known[one] >= 0])
        if not enough:
            break
        if len(best[0]) <= SMALL:
            best = enough[:beam]
        else:
            spared = [next(iter(best[0] - one)) for one in enough]
            many = max(1, min(len(spared), len(best[0]) // 4))
            while many > 1 and scores([best[0] - set(spared[:many])])[0] < 0:
                many //= 2
            best = [best[0] - set(spared[:many])]
        followed(best[0])
    return Smallest(tuple(sorted(best[0], key=lambda name: place[name])), tuple(path), len(known))
