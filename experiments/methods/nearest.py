"""Random sets in which each member is as near as possible to the one that it replaces."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

# The possible replacements of one member by distance; each piece is one or more sites.
Near = Mapping[int, Sequence[tuple[T, ...]]]
# After this many draws in a row without a new set, draw from farther pieces as well.
PATIENCE = 100


def nearest_sets(
    members: Sequence[Near[T]],
    seed: int,
    count: int,
    closest: bool = False,
    beside: Callable[[T], Iterable[T]] = lambda place: (place,),
) -> list[list[T]]:
    """Up to `count` different sets of sites, each with one piece for each member; the same for the same seed.

    It uses the nearest pieces first, and farther ones only when these give no more sets. With `closest`, it uses
    farther ones only for members that have nothing nearer left. `beside` names the sites that a taken site excludes.
    """
    draw = random.Random(seed)
    distances = sorted({distance for near in members for distance in near})
    if len(members) == 1:
        ranked: list[list[T]] = []
        for distance in distances[:1] if closest else distances:
            ranked += [list(piece) for piece in draw.sample(members[0][distance], len(members[0][distance]))]
            if len(ranked) >= count:
                break
        return ranked[:count]
    found: dict[frozenset[T], list[T]] = {}
    for reach in distances[:1] if closest else distances:
        failed = 0
        while failed < PATIENCE and len(found) < count:
            taken = _drawn(members, reach, draw, beside)
            if taken is None or frozenset(taken) in found:
                failed += 1
            else:
                found[frozenset(taken)] = taken
                failed = 0
    return list(found.values())


def _drawn(
    members: Sequence[Near[T]], reach: int, draw: random.Random, beside: Callable[[T], Iterable[T]]
) -> list[T] | None:
    """One set of pieces within reach; for a member without any, the nearest. None if there is no such set."""
    taken, closed = list[T](), set[T]()
    # In random order, because members drawn first may leave nothing near for the others.
    for near in draw.sample(members, len(members)):
        within = [pieces for distance, pieces in near.items() if distance <= reach]
        beyond = [near[distance] for distance in sorted(near) if distance > reach]
        tried = (_one(pieces, closed, draw) for pieces in (within, *([one] for one in beyond)))
        piece = next((one for one in tried if one is not None), None)
        if piece is None:
            return None
        taken += piece
        closed.update(other for place in piece for other in beside(place))
    return taken


def _one(some: Sequence[Sequence[tuple[T, ...]]], closed: set[T], draw: random.Random) -> tuple[T, ...] | None:
    """A uniformly random piece that contains no excluded site."""
    total = sum(map(len, some))
    # Nearly always one of the first is free; otherwise search all of them, which may be thousands.
    for _ in range(8 if total else 0):
        at = draw.randrange(total)
        for pieces in some:
            if at < len(pieces):
                if closed.isdisjoint(pieces[at]):
                    return pieces[at]
                break
            at -= len(pieces)
    left = [piece for pieces in some for piece in pieces if closed.isdisjoint(piece)]
    return draw.choice(left) if left else None
