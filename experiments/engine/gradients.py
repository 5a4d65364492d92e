"""First-order estimates of the effect of editing every head, MLP or neuron, from one backward pass.

An edit changes an activation from old to new, and the metric changes by about (new - old) . d metric / d old:
attribution patching (Nanda 2023; Syed et al. 2023, arXiv 2310.10348). It takes one forward pass for the replacement
values, unless they are zero, and one forward and one backward pass for all sites at once. It is an estimate: if the
metric is not linear in the activation, above all in the first layers, it can be small for a strong site, or have the
wrong sign.

Integrated gradients (arXiv 2403.17806, on inputs) do better: the slopes are means over runs whose embeddings are on the
way from these prompts to others, at the middles of equal steps. For the embeddings themselves, all together, the
estimates then add up to the whole change of the metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..interventions import Edit
from ..model.anatomy import Anatomy
from ..model.subject import Subject
from ..sites import Site
from ..tasks.batch import Batch
from .activations import flat_heads, unflat_heads
from .edits import Editor, Source
from .forward import KVSlot, Window, attention, gather_columns, mlp, record_batch, tail, through, unembed
from .readout import Readout, read_columns

if TYPE_CHECKING:
    from .sweep import Progress

# Tokens whose activations are kept for one backward pass. A layer keeps some 20 numbers per token and d_model.
BACKWARD_TOKENS = 4096
# The name under which an Editor finds the embeddings that integrated gradients go to.
TOWARDS = "the other embeddings"


@dataclass
class Traced:
    """A forward pass whose activations can be asked for their gradients. Values by (layer, part) as the graph has them.

    entry   per layer, the stream before it, [row, position, d_model]
    middle  per layer, the stream that its MLP sees
    metric  [row]
    """

    values: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    entry: list[Tensor] = field(default_factory=list)
    middle: list[Tensor] = field(default_factory=list)
    final: Tensor = field(default_factory=lambda: torch.empty(0))
    metric: Tensor = field(default_factory=lambda: torch.empty(0))


def trace(
    subject: Subject,
    batch: Batch,
    rows: Tensor,
    readout: Readout,
    metric: str,
    moved: Callable[[Tensor], Tensor] | None = None,
    patterns: bool = False,
) -> tuple[Traced, Window]:
    """Run some prompts of the batch with gradients, and keep every part of every layer; patterns only on request.

    `moved` maps the embedded tokens to the input of the first layer."""
    anatomy = subject.anatomy
    with torch.no_grad():
        part = batch.rows(int(rows[0]), int(rows[-1]) + 1)
        recording = record_batch(subject.model, anatomy, part)
        window = Window(recording, torch.arange(len(rows), device=rows.device), 0, batch.length)
    traced = Traced()
    with torch.enable_grad():
        x = recording.embedded.detach()
        x = (x if moved is None else moved(x)).requires_grad_()
        for layer in range(anatomy.n_layers):
            traced.entry.append(x)
            x = trace_block(traced, anatomy, layer, x, window, patterns)
        traced.final = x
        read = gather_columns(x, read_columns(batch, readout)[rows])
        tokens = None if readout.tokens is None else readout.tokens[rows]
        traced.metric = readout.measure(unembed(subject.model, anatomy, read, tokens), rows)[metric]
    return traced, window


def trace_block(
    traced: Traced, anatomy: Anatomy, layer: int, x: Tensor, window: Window, patterns: bool = False
) -> Tensor:
    block = anatomy.blocks[layer]
    keep: dict[str, Tensor] = {"resid_pre": x}

    def kept(part: str, value: Tensor) -> Tensor:
        keep[part] = value
        return value

    def keep_kv(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        k, v = kept("k", flat_heads(k)), kept("v", flat_heads(v))
        return unflat_heads(k, block.n_kv_heads), unflat_heads(v, block.n_kv_heads)

    def keep_pattern(p: Tensor) -> Tensor:
        return unflat_heads(kept("pattern", flat_heads(p)), p.shape[1])

    slot = KVSlot()
    slot.edit = keep_kv
    seen = keep_pattern if patterns else None
    kwargs = window.kwargs(layer)
    keep["attn_raw"] = attention(block, x, kwargs, slot, lambda z: kept("z", z), seen)
    attn_out = kept("attn_out", through(block.attn_post, keep["attn_raw"]))
    u = x if block.parallel else x + attn_out
    traced.middle.append(u)
    mlp_out = kept("mlp_out", mlp(block, u, lambda h: kept("neurons", h)))
    out = kept("resid_post", tail(block, x + attn_out + mlp_out, kwargs))
    traced.values.update({(layer, part): value for part, value in keep.items()})
    return out


def gradients(metric: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """d metric / d each of the tensors; 0 if the metric does not depend on one. The graph is kept."""
    found = torch.autograd.grad(metric.sum(), list(at), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(at, found, strict=True)]


def slices(batch: Batch, tokens: int = BACKWARD_TOKENS) -> list[Tensor]:
    """The rows of the batch in parts of at most this many tokens."""
    return list(torch.arange(len(batch), device=batch.ids.device).split(max(1, tokens // batch.length)))


def attribution(
    subject: Subject,
    batch: Batch,
    edits: Sequence[Edit],
    readout: Readout,
    metric: str,
    sources: Mapping[str, Source] | None = None,
    progress: Progress | None = None,
    towards: Source | None = None,
    steps: int = 1,
) -> list[Tensor]:
    """The estimated change of the metric by each edit, per prompt and unit: per edit [batch, unit].

    An edit names a whole part (`L7.z`, `L7.neurons`), and its units are the part's heads, KV heads or neurons; the
    other parts are one unit. With `towards`, a source of other embeddings, the slopes are integrated over `steps` runs
    on the way there. Raises BadConfiguration if an edit lacks its source.
    """
    found: list[list[Tensor]] = [[] for _ in edits]
    patterns = any(e.site.part == "pattern" for e in edits)
    all_sources = {**(sources or {}), **({} if towards is None else {TOWARDS: towards})}
    for done, rows in enumerate(parts := slices(batch)):
        editor = Editor(batch, all_sources, subject.anatomy, rows, 0, batch.length)
        values, slopes = traced_slopes(subject, batch, edits, rows, readout, metric, patterns, None)
        if towards is not None:
            ways = [part_of_the_way(editor, rows, (step + 0.5) / steps) for step in range(steps)]
            runs = [traced_slopes(subject, batch, edits, rows, readout, metric, patterns, way)[1] for way in ways]
            slopes = [torch.stack(of_one).mean(0) for of_one in zip(*runs, strict=True)]
        for into, edit, value, slope in zip(found, edits, values, slopes, strict=True):
            # Some architectures flatten rows and positions before their projections.
            old = value.view(len(rows), batch.length, -1)
            product = (editor.changed(old, edit, rows) - old) * slope.view_as(old)
            into.append(
                product.unflatten(-1, (subject.anatomy.blocks[edit.site.layer].units(edit.site.part), -1)).sum((1, 3))
            )
        if progress is not None:
            progress(done + 1, len(parts))
    return [torch.cat(pieces).float().cpu() for pieces in found]


def traced_slopes(
    subject: Subject,
    batch: Batch,
    edits: Sequence[Edit],
    rows: Tensor,
    readout: Readout,
    metric: str,
    patterns: bool,
    moved: Callable[[Tensor], Tensor] | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """The values that the edits are about, and d metric / d each of them; nothing of the graph."""
    traced, _ = trace(subject, batch, rows, readout, metric, moved, patterns)
    places = [(e.site.layer, e.site.part) for e in edits]
    distinct = list(dict.fromkeys(places))
    found = dict(zip(distinct, gradients(traced.metric, [traced.values[p] for p in distinct]), strict=True))
    return [traced.values[p].detach() for p in places], [found[p] for p in places]


def part_of_the_way(editor: Editor, rows: Tensor, share: float) -> Callable[[Tensor], Tensor]:
    """Embedded tokens moved by a share of the way to other ones."""
    there = Edit(site=Site(layer=0, part="resid_pre"), op="replace", source=TOWARDS)
    return lambda x: x + share * (editor.changed(x, there, rows) - x)
