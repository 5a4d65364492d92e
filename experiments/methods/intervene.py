"""Lines of text as interventions of the engine, and the same interventions at random other places as controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..edit_lines import Line, Place, layers_named, places_of
from ..errors import BadConfiguration
from ..interventions import Edit, Intervention, parse_layers
from ..sites import Part, Site
from .control_pool import Pool
from .control_programs import moved_programs
from .control_sets import matched_sets, sets_anywhere

PROGRAMS = ("skip", "repeat", "swap", "layers")


def interventions(lines: Sequence[Line], sizes: Mapping[str, int]) -> list[Intervention]:
    """One for each name, in the order of their first lines. Raises BadConfiguration for a place that does not exist,
    and for lines that do not go together."""
    by_name: dict[str, list[Line]] = {}
    for line in lines:
        by_name.setdefault(line.name, []).append(line)
    return [_intervention(name, own, sizes) for name, own in by_name.items()]


def _intervention(name: str, lines: Sequence[Line], sizes: Mapping[str, int]) -> Intervention:
    edits: list[Edit] = []
    program: list[int] | None = None
    for line in lines:
        if line.verb not in PROGRAMS or at_positions(line):
            edits += _edits(line, sizes)
            continue
        if line.verb == "layers":
            if program is not None:
                raise BadConfiguration(f"'{line.text}' must come before the other layer edits of {name}.")
            program = list(parse_layers(line.program, sizes["n_layers"]))
            continue
        program = _changed(list(range(sizes["n_layers"])) if program is None else program, line, sizes)
    return Intervention(name=name, edits=tuple(edits), program=None if program is None else tuple(program))


def at_positions(line: Line) -> bool:
    """Whether it is a skip of layers at some positions, which is an edit: there the layers add nothing."""
    at = [one.partition("@")[2] for one in line.places]
    if line.verb not in PROGRAMS or not any(at):
        return False
    if line.verb != "skip":
        raise BadConfiguration(f"'{line.text}' cannot be limited to positions. Only skip can: skip L5@first.")
    if not all(at):
        raise BadConfiguration(f"'{line.text}' mixes whole layers with layers at positions. Write two lines.")
    return True


def _changed(program: list[int], line: Line, sizes: Mapping[str, int]) -> list[int]:
    layers = layers_named(line, sizes)
    if line.verb == "skip":
        return [layer for layer in program if layer not in layers]
    if line.verb == "repeat":
        return [layer for one in program for layer in ([one, one] if one in layers else [one])]
    exchanged = dict(zip(layers, reversed(layers), strict=True))
    return [exchanged.get(layer, layer) for layer in program]


def _edits(line: Line, sizes: Mapping[str, int]) -> list[Edit]:
    if line.verb == "skip":
        layers_named(line, sizes)
    return [_edit(line, place) for place in places_of(line, sizes)]


def _edit(line: Line, place: Place) -> Edit:
    site, at = place.site, place.at
    match line.verb:
        case "zero" | "skip":
            return Edit(site=site, positions=at)
        case "freeze":
            return Edit(site=site, op="freeze", positions=at)
        case "scale":
            return Edit(site=site, op="scale", factor=line.by, positions=at)
        case "cut" if at != "all":
            raise BadConfiguration(f"'{line.text}' names the queries after to; leave out @{at}.")
        case "cut":
            return Edit(site=site, op="cut", source=source_name(line, at), positions=line.queries)
        case "add":
            _require_width(line, site)
            return Edit(site=site, op="add", source=source_name(line, at), factor=line.by, positions=at)
        case "project_out":
            _require_width(line, site)
            return Edit(site=site, op="project_out", source=source_name(line, at), positions=at)
        case _:
            return Edit(site=site, op="replace", source=source_name(line, at), positions=at)


def until(layer: int, named: Sequence[Intervention]) -> list[Intervention]:
    """The intact model and each intervention, up to a layer (-1: only the embedding)."""
    some = tuple(range(layer + 1))
    return [Intervention(name=one.name, program=some, edits=tuple(e for e in one.edits if e.site.layer in some))
            for one in (Intervention(name="intact"), *named)]  # fmt: skip


def _require_width(line: Line, site: Site) -> None:
    """Directions of tokens are vectors of the stream."""
    assert line.along is not None
    stream = ("resid_pre", "resid_post", "attn_out", "mlp_out")
    if site.part == "pattern" or (line.along.runs != "corrupted - clean" and site.part not in stream):
        raise BadConfiguration(f"'{line.text}': {site} has no such direction. Use resid_pre, resid_post, attn or mlp.")


def source_name(line: Line, at: str) -> str:
    """The name of the source that a line's edits take their values from."""
    if line.verb in ("mean", "resample"):
        return line.verb
    if line.donor is not None:
        donor = line.donor
        rules = " and ".join(map(" ".join, donor.rules))
        return donor.run or (rules if donor.text is None else f"{donor.text!r}@{donor.token}")
    if line.along is not None:
        if line.along.runs:
            # The mean difference is taken at the positions of the edit.
            return f"{line.along.runs}@{at}" if line.along.runs == "corrupted - clean" else line.along.runs
        return " - ".join(map(repr, (*line.along.plus, *line.along.minus)))
    return f"{'all but' if line.verb == 'cut' else 'only'} {line.keys}"


# --- controls -------------------------------------------------------------------------------------------------


def moved(
    one: Intervention, sizes: Mapping[str, int], seed: int, count: int, pool: Pool = "matched"
) -> list[Intervention]:
    """The same edits at random other sites of the same parts, or the same program with other layers; empty if there
    are no such places, or if it has both edits and a program."""
    if one.program is not None:
        return [] if one.edits else moved_programs(one.program, sizes["n_layers"], seed, count, pool)
    sites = list(dict.fromkeys(edit.site for edit in one.edits if edit.op != "freeze"))
    parts = {site.part for site in sites}
    if not sites or (pool == "anywhere" and len(parts) > 1):
        return []
    # A pattern is a head's, so its controls are other heads.
    asked = [_as_head(site) for site in sites]
    drawn = (matched_sets if pool == "matched" else sets_anywhere)(asked, sizes, seed, count)
    found: list[Intervention] = []
    for i, taken in enumerate(drawn):
        other = _paired(sites, taken)
        edits = tuple(edit.model_copy(update={"site": other.get(edit.site, edit.site)}) for edit in one.edits)
        found.append(Intervention(name=f"random {i}", edits=edits))
    return found


def _as_head(site: Site) -> Site:
    return site.model_copy(update={"part": "z"}) if site.part == "pattern" else site


def _paired(sites: Sequence[Site], taken: Sequence[Site]) -> dict[Site, Site]:
    """Each site with another one of its part, the early ones with early ones."""
    parts: dict[Part, list[Site]] = {}
    for site in sorted(taken, key=lambda s: (s.layer, s.index or 0)):
        parts.setdefault(site.part, []).append(site)
    found: dict[Site, Site] = {}
    for site in sorted(sites, key=lambda s: (s.layer, s.index or 0)):
        other = parts[_as_head(site).part].pop(0)
        found[site] = other.model_copy(update={"part": site.part})
    return found
