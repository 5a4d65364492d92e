"""How to remove a part: what replaces its value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..notes import note
from ..result import Note
from ..sites import Part, Site, check_site, count, sites_of
from ..tasks.prompt import Split

if TYPE_CHECKING:
    from ..engine import Source
    from ..interventions import Intervention
    from ..lab import Lab
    from ..model.subject import Subject

Method = Literal["zero", "mean", "resample"]
# The field of kinds that remove something.
Removed = Annotated[
    Method,
    Field(
        description="zero: 0. mean: the mean over other prompts with another question and answer. resample: the value "
        "on one of these."
    ),
]
Parts = Literal["heads", "mlps", "layers"]


def elements(
    parts: Parts, sizes: Mapping[str, int], layers: Sequence[int] | None = None
) -> dict[str, tuple[Site, ...]]:
    """All heads, MLPs or layers (of these layers) by name, and the sites of each: for a layer, attention and MLP.
    Raises BadConfiguration for a layer that does not exist."""
    chosen = range(sizes["n_layers"]) if layers is None else sorted(set(layers))
    if not chosen:
        raise BadConfiguration("layers is empty. Use null for all.")
    for layer in chosen:
        check_site(Site(layer=layer, part="resid_post"), sizes)
    if parts != "layers":
        return {str(s): (s,) for s in sites_of("z" if parts == "heads" else "mlp_out", sizes, layers)}
    branches: tuple[Part, ...] = ("attn_out", "mlp_out")
    return {
        f"L{layer}": tuple(Site(layer=layer, part=part) for part in branches if count(part, layer, sizes))
        for layer in chosen
    }


def removal(name: str, sites: Sequence[Site], method: Method, positions: str = "all") -> Intervention:
    from ..interventions import Edit, Intervention

    op = "zero" if method == "zero" else "replace"
    source = None if method == "zero" else method
    edits = tuple(Edit(site=s, op=op, source=source, positions=positions) for s in sites)
    return Intervention(name=name, edits=edits)


def require_only_two_branches(subject: Subject, way_out: str) -> None:
    """Raises BadConfiguration if a layer does more to the stream than add its attention and its MLP, so that without
    these two it still does something."""
    if any(block.tail for block in subject.anatomy.blocks):
        raise BadConfiguration(
            f"Layers of {subject.name} also multiply the stream or have a third branch, so they can only be left out "
            f"everywhere. {way_out}"
        )


def replacements(
    lab: Lab,
    draw: tuple[int, Split, int],
    method: Method,
    parts: Collection[Part],
    layers: Collection[int] | None = None,
) -> tuple[dict[str, Source], tuple[Note, ...]]:
    """The values that replace what is removed (of `layers`; None: all), and notes about them.

    They come from other prompts with another question and answer (`engine.donors`). If few of the drawn prompts can be
    donors, more prompts are run only for their values. Raises BadConfiguration if a prompt has no donor.
    """
    from .. import engine

    if method == "zero":
        return {}, ()
    more, n = lab.with_donors(*draw), draw[0]
    seen = engine.read(lab.subject, more, parts, layers)
    source = engine.mean_source(seen, more, n) if method == "mean" else engine.resample_source(seen, more, draw[-1], n)
    notes: list[Note] = []
    if len(more) > n:
        notes.append(note("more_prompts_lent", method=method, more=len(more) - n))
    scattered, like = source.lent.scattered.any(-1), source.lent.like
    if other := int((~like & ~scattered).sum()):
        notes.append(note("other_templates_lent", few=other, n=n, method=method))
    if lone := int(scattered.sum()):
        notes.append(note("all_positions_lent", few=lone, n=n, method=method))
    return {method: source}, tuple(notes)
