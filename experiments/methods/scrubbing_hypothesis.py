"""The hypothesis of causal scrubbing, as lines: "L1.H2 depends on answer" says which named values of the prompt a part
may depend on. `nothing` is what every part depends on that no line names; `everything` is the whole prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..errors import BadConfiguration
from ..result import Frozen
from ..sites import Site, check_site, parse_site

LINE = re.compile(r"\s*(\S+)\s+depends\s+on\s+(\S.*?)\s*", re.IGNORECASE)
NOTHING, EVERYTHING = "nothing", "everything"
# What the tokens add to the stream directly, without any part.
EMBED = "embed"


class Depends(Frozen):
    """A part (None: the embeddings) and the values that it may depend on; None stands for everything."""

    site: Site | None
    values: tuple[str, ...] | None

    def __str__(self) -> str:
        what = EVERYTHING if self.values is None else ", ".join(self.values) or NOTHING
        return f"{self.site or EMBED} depends on {what}"


class Group(Frozen):
    """The parts of one layer and kind that depend on the same values: one run gives the outputs of all of them."""

    sites: tuple[Site, ...]
    values: tuple[str, ...] | None

    @property
    def order(self) -> tuple[int, bool]:
        """A group reads what those of a lower order write: heads before the MLP of their layer."""
        return self.sites[0].layer, self.sites[0].part == "mlp_out"


def parsed(lines: Sequence[str]) -> tuple[Depends, ...]:
    """Raises BadConfiguration for a line of another form, and for a part that is named twice."""
    found: list[Depends] = []
    for line in lines:
        match = LINE.fullmatch(line)
        if match is None:
            raise BadConfiguration(
                f"'{line}' is not a line of a hypothesis. Write L1.H2 depends on a, b (or nothing, or everything)."
            )
        site = None if match[1].lower() == EMBED else parse_site(match[1])
        if site is not None and not (site.part == "mlp_out" or (site.part == "z" and site.index is not None)):
            raise BadConfiguration(f"{site} cannot be scrubbed. Use a head (L1.H2), an MLP (L1.mlp) or embed.")
        names = tuple(dict.fromkeys(name.strip() for name in match[2].split(",") if name.strip()))
        special = {name.lower() for name in names} & {NOTHING, EVERYTHING}
        if special and len(names) > 1:
            raise BadConfiguration(f"'{line}' names values and {special.pop()}. Name only one of them.")
        values = None if EVERYTHING in special else () if NOTHING in special else tuple(sorted(names))
        found.append(Depends(site=site, values=values))
    sites = [one.site for one in found]
    if not found or len(set(sites)) < len(sites):
        raise BadConfiguration("hypothesis must name at least one part, each once.")
    return tuple(found)


def check_parts(parts: Sequence[Depends], sizes: Mapping[str, int]) -> None:
    for one in parts:
        if one.site is not None:
            check_site(one.site, sizes)


def grouped(parts: Sequence[Depends]) -> tuple[Group, ...]:
    """The groups, first layers first; parts that depend on nothing are in none."""
    members: dict[tuple[int, str, tuple[str, ...] | None], list[Site]] = {}
    for one in parts:
        if one.site is not None and one.values != ():
            members.setdefault((one.site.layer, one.site.part, one.values), []).append(one.site)
    found = [Group(sites=tuple(sorted(sites, key=str)), values=values) for (_, _, values), sites in members.items()]
    return tuple(sorted(found, key=lambda group: (group.order, str(group.values))))


def runs_needed(groups: Sequence[Group]) -> int:
    """How often the model runs for one sample, at most: every group runs all groups before it."""
    runs: list[int] = []
    for place, group in enumerate(groups):
        before = zip(groups[:place], runs, strict=True)
        runs.append(1 + sum(count for other, count in before if other.order < group.order))
    return 1 + sum(runs)


def moved_to(parts: Sequence[Depends], sites: Sequence[Site]) -> tuple[Depends, ...]:
    """The same hypothesis about other parts: each gets the values of one of its kind and, as far as possible, layer."""
    named = sorted(((one.site, one.values) for one in parts if one.site is not None and one.values != ()), key=_first)
    pairs = zip(named, sorted(sites, key=_by_layer), strict=True)
    return (
        *(one for one in parts if one.site is None),
        *(Depends(site=to, values=values) for (_, values), to in pairs),
    )


def _by_layer(site: Site) -> tuple[str, int]:
    return site.part, site.layer


def _first(one: tuple[Site, tuple[str, ...] | None]) -> tuple[str, int]:
    return _by_layer(one[0])
