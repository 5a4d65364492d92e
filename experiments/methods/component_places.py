"""Where a head attends, if it is a fixed place: a number of tokens back, or a position.

On random tokens alone a head at rest looks like one that reads the first position, and on the task alone a head that
looks for content may always find it at the same distance. So both are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import engine
from ..interventions import Edit
from ..lab import numbers
from ..sites import Site
from ..tasks.batch import token_batch
from .component_roles import Place
from .detectors import repeated_tokens

if TYPE_CHECKING:
    from ..model.subject import Subject
    from ..statistics.intervals import Array
    from .circuits import Prepared

# Numbers of tokens that a random text repeats. They differ, so the same token earlier is at no fixed distance. A place
# is chosen on every other length, and its weight is measured on the rest.
LENGTHS = (11, 14, 17, 20)


def places_of(made: Prepared, heads: Sequence[Site], steps: int, seed: str, texts: int) -> list[Place]:
    """The fixed place of each head."""
    named, on_random = on_random_tokens(made.lab.subject, heads, seed, texts)
    own = on_the_task(made, heads, named, steps)
    return [Place(place_name(*at), float(weight), there)
            for at, weight, there in zip(named, on_random, own, strict=True)]  # fmt: skip


def on_random_tokens(
    subject: Subject, heads: Sequence[Site], seed: str, texts: int
) -> tuple[list[tuple[bool, int]], Array]:
    """For each head, the place with the most attention in random tokens repeated once, and its weight [head] on other
    such texts. A place is (True, tokens back) or (False, position)."""
    found: list[Tensor] = []
    for length in LENGTHS:
        ids = repeated_tokens(subject, texts, length, f"{seed} {length}")
        seen = engine.read(subject, token_batch(ids), {"pattern"}, layers=sorted({h.layer for h in heads}))
        queries = torch.arange(ids.shape[1] - length, ids.shape[1])
        count = LENGTHS[0]
        back = (queries[:, None] - torch.arange(count)).expand(-1, count)
        there = torch.arange(count).expand(len(queries), -1)
        keys = torch.cat([back, there], 1)
        patterns = torch.stack([seen.pattern(h.layer)[:, h.index or 0].float().cpu() for h in heads])
        found.append(patterns[:, :, queries[:, None], keys].mean((1, 2)))
    weights = torch.stack(found)
    best = weights[::2].mean(0).argmax(-1)
    named = [(at < LENGTHS[0], at % LENGTHS[0]) for at in best.tolist()]
    return named, numbers(weights[1::2].mean(0).gather(-1, best[:, None])[:, 0])


def on_the_task(
    made: Prepared, heads: Sequence[Site], named: Sequence[tuple[bool, int]], steps: int
) -> list[float | None]:
    """The attention of each head at its place on the task's prompts: the mean over queries, each weighted by how much a
    patch of the head there changes the metric (by integrated gradients)."""
    subject, batch = made.lab.subject, made.pair.clean
    layers = sorted({h.layer for h in heads})
    columns = range(batch.length)
    marked = {f"c{c}": (c, c + 1) for c in columns}
    batch = replace(batch, spans=tuple(spans | marked for spans in batch.spans))
    other = engine.read(subject, made.pair.corrupted, ("resid_pre", "z"))
    source = engine.patch_source(other, batch, made.pair.corrupted)
    edits = [Edit(site=Site(layer=layer, part="z"), op="replace", source="other", positions=f"c{c}")
             for layer in layers for c in columns]  # fmt: skip
    changes = engine.attribution(subject, batch, edits, made.readout, made.metric, {"other": source},
                                 made.lab.steps("where the heads are needed"), source, steps)  # fmt: skip
    # [layer, column, row, head], and 0 at pads.
    by_layer = torch.stack(changes).unflatten(0, (len(layers), len(columns))).abs().cpu()
    by_layer = by_layer * batch.mask.T[None, :, :, None].cpu()
    seen = engine.read(subject, batch, {"pattern"}, layers=layers)
    first = batch.mask.argmax(-1).cpu()
    found: list[float | None] = []
    for site, (back, at) in zip(heads, named, strict=True):
        pattern = seen.pattern(site.layer)[:, site.index or 0].float().cpu()
        queries = torch.arange(batch.length)[None].expand(len(batch), -1)
        keys = (queries - at if back else (first + at)[:, None].expand_as(queries)).clamp(0, batch.length - 1)
        weight = pattern.gather(-1, keys[..., None])[..., 0]
        needed = by_layer[layers.index(site.layer), :, :, site.index or 0].T
        whole = float(needed.sum())
        found.append(None if whole < 1e-3 * abs(made.scale.gap) else float((needed * weight).sum() / whole))
    return found


def place_name(back: bool, at: int) -> str:
    usual = {(True, 0): "the token itself", (True, 1): "the previous token", (False, 0): "the first token"}
    return usual.get((back, at), f"{at} tokens back" if back else f"token {at}")
