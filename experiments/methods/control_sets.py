"""Random heads, MLPs or neurons as controls for those that are removed: sets of the same size, or single ones."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations

from ..interventions import Intervention
from ..sites import Part, Site, count, head, sites_of
from ..statistics.random_sets import DRAWS, possible_sets
from .control_pool import Pool, ends
from .nearest import Near, nearest_sets
from .removal import Method, removal


def random_sets(
    sites: Sequence[Site], sizes: Mapping[str, int], method: Method, seed: int, count: int = DRAWS,
    pool: Pool = "matched",
) -> list[Intervention]:  # fmt: skip
    """`count` different sets of as many others of the same parts, or all of them if there are fewer."""
    drawn = matched_sets(sites, sizes, seed, count) if pool == "matched" else sets_anywhere(sites, sizes, seed, count)
    return [removal(f"random {i}", sorted(taken, key=str), method) for i, taken in enumerate(drawn)]


def matched_sets(sites: Sequence[Site], sizes: Mapping[str, int], seed: int, count: int) -> list[list[Site]]:
    """Sets in which another site of the same layer replaces each site, or one of the nearest layers if these give no
    more different sets. If a model has fewer than 20 sets, for heads and neurons, only the nearest."""
    groups = kv_groups(sites, sizes)
    if groups and possible_matched(groups, sizes) >= DRAWS:
        drawn = matched_sets(groups, sizes, seed, count)
        return [[one for group in taken for one in heads_of(group, sizes)] for taken in drawn]
    free, whole = free_places(sites, sizes), any(site.index is None for site in sites)
    there = possible_matched(sites, sizes)
    if DRAWS <= there <= count and not whole:
        places = [place for pieces in free.values() for (place,) in pieces]
        return [list(taken) for taken in combinations(places, len(sites))]
    by_layer = {(site.part, site.layer): near(site, free, sizes["n_layers"]) for site in sites}
    members = [by_layer[site.part, site.layer] for site in sites]
    return nearest_sets(members, seed, count, closest=there < DRAWS and not whole)


def possible_matched(sites: Sequence[Site], sizes: Mapping[str, int]) -> int:
    """The number of sets in a matched pool."""
    outer, ways = ends(sizes["n_layers"]), 1
    free = free_places(sites, sizes)
    for part in {site.part for site in sites}:
        asked = [site for site in sites if site.part == part]
        inside, outside = (
            sum(len(pieces) for (of, layer), pieces in free.items() if of == part and (layer in outer) == at_an_end)
            for at_an_end in (False, True)
        )
        # Whole end layers are controls only for end layers, so a set has at most as many of them as the edit.
        most = len(asked) if asked[0].index is not None else sum(site.layer in outer for site in asked)
        ways *= sum(math.comb(outside, k) * math.comb(inside, len(asked) - k) for k in range(most + 1))
    return ways


def free_places(sites: Sequence[Site], sizes: Mapping[str, int]) -> dict[tuple[Part, int], list[tuple[Site]]]:
    """The other places of the same parts, by part and layer."""
    asked, found = set(sites), dict[tuple[Part, int], list[tuple[Site]]]()
    parts: dict[Part, None] = {site.part: None for site in sites}
    for part in parts:
        for place in sites_of(part, sizes):
            if place not in asked:
                found.setdefault((part, place.layer), []).append((place,))
    return found


def near(site: Site, free: Mapping[tuple[Part, int], Sequence[tuple[Site]]], n_layers: int) -> Near[Site]:
    """The possible replacements of a site, by distance."""
    found: dict[int, list[tuple[Site]]] = {}
    for (part, layer), pieces in free.items():
        far = distance(layer, site, n_layers)
        if part == site.part and far is not None:
            found.setdefault(far, []).extend(pieces)
    return found


def distance(layer: int, site: Site, n_layers: int) -> int | None:
    """The distance of a layer from a site, in layers; ends are farther than all others. None if it cannot replace the
    site."""
    apart, outer = abs(layer - site.layer), ends(n_layers)
    if layer not in outer or site.layer in outer:
        return apart
    return None if site.index is None else n_layers + apart


def kv_groups(sites: Sequence[Site], sizes: Mapping[str, int]) -> list[Site]:
    """The KV heads whose query heads are exactly these sites; empty if they are something else, or if each query head
    has its own keys."""
    if "n_kv_heads" not in sizes or any(site.part != "z" or site.index is None for site in sites):
        return []
    layers = {site.layer for site in sites}
    groups = [group for group in sites_of("k", sizes) if group.layer in layers] if sizes["n_kv_heads"] else []
    inside = [group for group in groups if set(heads_of(group, sizes)) <= set(sites)]
    heads = [one for group in inside for one in heads_of(group, sizes)]
    return inside if len(heads) == len(sites) > len(inside) else []


def heads_of(group: Site, sizes: Mapping[str, int]) -> list[Site]:
    """The query heads that share the keys of this KV head."""
    assert group.index is not None
    each = count("z", group.layer, sizes) // count("k", group.layer, sizes)
    return [head(group.layer, index) for index in range(group.index * each, (group.index + 1) * each)]


def sets_anywhere(sites: Sequence[Site], sizes: Mapping[str, int], seed: int, count: int) -> list[list[Site]]:
    """Sets in the same layers, then in any layers when these have no more."""
    draw, part = random.Random(seed), sites[0].part
    chosen = {(s.layer, s.index) for s in sites}
    free = [place for s in sites_of(part, sizes) if (place := (s.layer, s.index)) not in chosen]
    by_layer = {layer: [place for place in free if place[0] == layer] for layer in {s.layer for s in sites}}
    possible = possible_sets(len(free) + len(chosen), len(chosen))
    strict = 10 if possible < DRAWS else 5
    sets: list[set[tuple[int, int | None]]] = []
    if DRAWS < possible <= count:
        sets = [set(taken) for taken in combinations(free, len(chosen))]
    for tries in range(10 * count) if len(free) >= len(chosen) and not sets else ():
        taken: set[tuple[int, int | None]] = set()
        for site in sites:
            beside = [p for p in by_layer[site.layer] if p not in taken] if tries < strict * count else []
            taken.add(draw.choice(beside or [p for p in free if p not in taken]))
        if taken not in sets:
            sets.append(taken)
        if len(sets) == count:
            break
    return [[Site(layer=layer, part=part, index=index) for layer, index in taken] for taken in sets]


def random_others(
    sites: Sequence[Site], sizes: Mapping[str, int], method: Method, seed: int, count: int | None = None,
    pool: Pool = "matched",
) -> list[Intervention]:  # fmt: skip
    """Single other sites of the same part, first in the same layers: `count`, or enough that each site has 20 others to
    compare with. Then those of the nearest layers or, with anywhere, of any."""
    part, chosen, layers = sites[0].part, set(sites), {s.layer for s in sites}
    free = [s for s in sites_of(part, sizes) if s not in chosen]
    random.Random(seed).shuffle(free)
    if pool == "anywhere":
        free.sort(key=lambda s: s.layer not in layers)
    else:
        far = {layer: [at for site in sites if (at := distance(layer, site, sizes["n_layers"])) is not None]
               for layer in range(sizes["n_layers"])}  # fmt: skip
        free = sorted((s for s in free if far[s.layer]), key=lambda s: min(far[s.layer]))
    wanted = max(0, DRAWS - (len(sites) - 1) if count is None else count)
    return [removal(f"random {s}", [s], method) for s in free[:wanted]]
