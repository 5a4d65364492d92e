"""Random layer programs as controls: the same change to other layers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations, groupby

from ..interventions import Intervention
from ..statistics.random_sets import DRAWS
from .control_pool import Pool, ends
from .nearest import Near, nearest_sets


def moved_programs(
    program: tuple[int, ...], n_layers: int, seed: int, count: int = DRAWS, pool: Pool = "matched"
) -> list[Intervention]:
    """Up to `count` programs of the same form: as many other layers left out, or the same pattern elsewhere.

    In a matched pool, the left-out stretches are as long as those of the program, and no control changes a layer that
    the program changes; the nearest come first. Empty if there is none: the program changes nothing, leaves out more
    than half of the layers, or there is no other place for the change.
    """
    every = tuple(range(n_layers))
    if program == every:
        return []
    leaves_out = set(program) < set(every) and list(program) == sorted(set(program))
    if pool == "anywhere":
        found = programs_anywhere(program, n_layers, seed, count, leaves_out)
    elif leaves_out:
        found = [tuple(layer for layer in every if layer not in out)
                 for out in stretches_beside(sorted(set(every) - set(program)), n_layers, seed, count)]  # fmt: skip
    else:
        found = moves_beside(program, n_layers, seed, count)
    return [Intervention(name=f"random {i}", program=layers) for i, layers in enumerate(found)]


def stretches_beside(gone: Sequence[int], n_layers: int, seed: int, count: int) -> list[list[int]]:
    """Sets of other layers with as many stretches of the same lengths."""
    outer, stretches = ends(n_layers), stretches_of(gone)
    members: list[Near[int]] = []
    for stretch in stretches:
        near: dict[int, list[tuple[int, ...]]] = {}
        for first in range(n_layers - len(stretch) + 1):
            other = range(first, first + len(stretch))
            at_an_end = not outer.isdisjoint(other) and outer.isdisjoint(stretch)
            if not at_an_end and not set(gone) & set(other):
                near.setdefault(abs(first - stretch[0]), []).append(tuple(other))
        members.append(near)
    # Two adjacent stretches count as one.
    return nearest_sets(members, seed, count, beside=lambda layer: (layer - 1, layer, layer + 1))


def stretches_of(layers: Sequence[int]) -> list[list[int]]:
    """Layers in ascending order, grouped into consecutive stretches."""
    return [[layer for _, layer in run] for _, run in groupby(enumerate(layers), key=lambda one: one[1] - one[0])]


def moves_beside(program: tuple[int, ...], n_layers: int, seed: int, count: int) -> list[tuple[int, ...]]:
    """The program's change elsewhere, where it changes none of the layers that the program changes."""
    outer, own = ends(n_layers), changed(program, n_layers)
    near: dict[int, list[tuple[tuple[int, ...]]]] = {}
    for by, other in shifted(program, n_layers).items():
        there = {layer + by for layer in own}
        at_an_end = not outer.isdisjoint(there) and outer.isdisjoint(own)
        if not at_an_end and not there & set(own):
            near.setdefault(abs(by), []).append((other,))
    return [one for (one,) in nearest_sets([near], seed, count)]


def programs_anywhere(
    program: tuple[int, ...], n_layers: int, seed: int, count: int, leaves_out: bool
) -> list[tuple[int, ...]]:
    """Programs that leave out as many layers, contiguous or not, or have the same pattern elsewhere."""
    draw = random.Random(seed)
    if leaves_out:
        gone = n_layers - len(program)
        if math.comb(len(program), gone) <= count:
            sets = list(combinations(program, gone))
        else:
            drawn: dict[tuple[int, ...], None] = {}
            while len(drawn) < count:
                drawn[tuple(sorted(draw.sample(program, gone)))] = None
            sets = list(drawn)
        return [tuple(layer for layer in range(n_layers) if layer not in out) for out in sets]
    found = list(shifted(program, n_layers).values())
    return draw.sample(found, min(count, len(found)))


def shifted(program: tuple[int, ...], n_layers: int) -> dict[int, tuple[int, ...]]:
    """The program's change at every other depth, by how far it was moved."""
    before, middle, after = parts_of(program, n_layers)
    lowest, highest = min(middle, default=before), max(middle, default=n_layers - after - 1)
    return {
        by: (*range(before + by), *(layer + by for layer in middle), *range(n_layers - after + by, n_layers))
        for by in range(-min(before, lowest), min(after, n_layers - 1 - highest) + 1)
        if by
    }


def parts_of(program: tuple[int, ...], n_layers: int) -> tuple[int, tuple[int, ...], int]:
    """How many layers the program runs as usual at its start, its changed part, and how many at its end."""
    shortest = min(len(program), n_layers)
    before = next((i for i in range(shortest) if program[i] != i), shortest)
    after = next((i for i in range(shortest - before) if program[-1 - i] != n_layers - 1 - i), shortest - before)
    return before, program[before : len(program) - after], after


def changed(program: tuple[int, ...], n_layers: int) -> list[int]:
    """The layers that a program leaves out, repeats or moves, and those between them."""
    before, middle, after = parts_of(program, n_layers)
    return list(range(min(before, *middle, n_layers), max(n_layers - after - 1, *middle, 0) + 1))
