"""How something is removed: what takes its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from .errors import BadConfiguration
from .sites import Part, Site, check_site, count, sites_of
from .tasks.prompt import Split

if TYPE_CHECKING:
    from .batch import Batch
    from .engine import Source
    from .interventions import Intervention
    from .lab import Lab

Method = Literal["zero", "mean", "resample"]
Parts = Literal["heads", "mlps", "layers"]


def elements(
    parts: Parts, sizes: Mapping[str, int], layers: Sequence[int] | None = None
) -> dict[str, tuple[Site, ...]]:
    """All heads, MLPs or layers (of these layers) by name, and the sites that go with each: of a layer, attention and
    MLP. Raises BadConfiguration for a layer that is not there."""
    chosen = range(sizes["n_layers"]) if layers is None else sorted(set(layers))
    if not chosen:
        raise BadConfiguration("layers is empty; null means all.")
    for layer in chosen:
        check_site(Site(layer=layer, part="resid_post"), sizes)
    if parts != "layers":
        return {str(s): (s,) for s in sites_of("z" if parts == "heads" else "mlp_out", sizes, layers)}
    branches: tuple[Part, ...] = ("attn_out", "mlp_out")
    return {
        f"L{layer}": tuple(Site(layer=layer, part=part) for part in branches if count(part, layer, sizes))
        for layer in chosen
    }


def removal(name: str, sites: Sequence[Site], method: Method) -> Intervention:
    from .interventions import Edit, Intervention

    op = "zero" if method == "zero" else "replace"
    source = None if method == "zero" else method
    return Intervention(name=name, edits=tuple(Edit(site=s, op=op, source=source) for s in sites))


def replacements(
    lab: Lab,
    draw: tuple[int, Split, int],
    method: Method,
    parts: Collection[Part],
    layers: Collection[int] | None = None,
) -> tuple[dict[str, Source], tuple[str, ...]]:
    """The values that take the place of what is removed (of `layers`; None: all), and what has to be said about them.

    Where few of the drawn prompts share template and length, more such prompts are run for nothing but their values.
    """
    from . import engine

    if method == "zero":
        return {}, ()
    more, n = lab.partnered(*draw), draw[0]
    seen = engine.read(lab.subject, more, parts, layers)
    source = engine.mean_source(seen, more) if method == "mean" else engine.resample_source(seen, more, draw[-1])
    alone = sum(members == 1 for members in partner_counts(more)[:n])
    notes: list[str] = []
    if len(more) > n:
        notes.append(
            f"The {method} is taken over {len(more) - n} more prompts of the explore split, so that each "
            "prompt has others of its template and length beside it."
        )
    if alone:
        notes.append(
            f"{alone} of {n} prompts share template and length with no other prompt; "
            f"their {method} is taken over all positions of the others."
        )
    return {method: engine.RowsOfSource(source, 0, n)}, tuple(notes)


def partner_counts(batch: Batch) -> list[int]:
    """Per row, how many prompts there are of its template and length, itself among them."""
    return [1 if not group[0] else batch.groups.count(group) for group in batch.groups]
