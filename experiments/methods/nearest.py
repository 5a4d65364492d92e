"""Random sets of which each member is as near as possible to what it stands in for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

# What may stand in for one member: by its distance, pieces of one or more places each.
Near = Mapping[int, Sequence[tuple[T, ...]]]
# After so many draws in a row that give no new set, pieces that are farther away are drawn, too.
PATIENCE = 100


def nearest_sets(
    members: Sequence[Near[T]],
    seed: int,
    count: int,
    closest: bool = False,
    beside: Callable[[T], Iterable[T]] = lambda place: (place,),
) -> list[list[T]]:
    """Up to `count` different sets of places, each with one piece for each member; the same for the same seed.

    The pieces at the least distance first; only where these give no more sets, those at the next one. With `closest`
    the next distance is never taken but for members that have nothing left. `beside` names the places that a taken
    place keeps others from.
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
    """One set, of pieces within reach, or where a member has none left there, of the nearest; None where there is
    none."""
    taken, closed = list[T](), set[T]()
    # In an order of chance, since those that are drawn first may leave nothing near for the others.
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
    """A piece that holds nothing closed, drawn from all of these alike."""
    total = sum(map(len, some))
    # Nearly always one of the first is free; only else all of them are looked through, of which there may be thousands.
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
