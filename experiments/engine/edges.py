"""How much of a sender's change reaches the metric by way of one receiver: edge attribution (arXiv 2310.10348).

The stream that a receiver reads is a sum of what senders wrote. So the metric changes by about (new - old of the
sender's writing) . (slope of the metric along the receiver's input, through this receiver alone). One backward pass
gives the slopes at all receivers' outputs; each is then carried back over its own module. To first order a sender's
edges add up to its attribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..interventions import Edit
from ..model.anatomy import Anatomy
from ..model.subject import Subject
from ..sites import Part, Site, head
from ..tasks.batch import Batch
from .edits import Editor, Source
from .forward import through
from .gradients import Traced, gradients, slices, trace
from .readout import Readout
from .sweep import Progress

# What all senders write and all receivers read is held at once: two numbers for each token, component and d_model.
EDGE_TOKENS = 256


@dataclass(frozen=True)
class Edges:
    """values [batch, sender, receiver]; 0 where a receiver does not come after the sender.

    A sender is the embedding (`L0.resid_pre`), a head or an MLP; a receiver is a head (through its queries, keys and
    values together), an MLP, or the logits (`resid_post` of the last layer).
    """

    senders: tuple[Site, ...]
    receivers: tuple[Site, ...]
    values: Tensor


def edge_attribution(
    subject: Subject,
    batch: Batch,
    edit: Edit,
    readout: Readout,
    metric: str,
    sources: Mapping[str, Source] | None = None,
    progress: Progress | None = None,
) -> Edges:
    """The estimates for all edges if `edit` (its site is not used) is made to each sender."""
    anatomy = subject.anatomy
    anatomy.require_sum()
    senders, receivers = all_senders(anatomy), all_receivers(anatomy)
    after = torch.tensor([[follows(anatomy, r, s) for r in receivers] for s in senders], device=subject.device)
    found: list[Tensor] = []
    for done, rows in enumerate(parts := slices(batch, EDGE_TOKENS)):
        traced, _ = trace(subject, batch, rows, readout, metric)
        read = torch.stack(slopes(anatomy, traced))
        editor = Editor(batch, sources or {}, anatomy, rows, 0, batch.length)
        with torch.no_grad():
            written = torch.stack(changes(anatomy, traced, edit, editor))
            found.append(torch.einsum("sbpd,rbpd->bsr", written, read) * after)
        if progress is not None:
            progress(done + 1, len(parts))
    return Edges(tuple(senders), tuple(receivers), torch.cat(found).float().cpu())


def all_senders(anatomy: Anatomy) -> list[Site]:
    return [Site(layer=0, part="resid_pre"), *components(anatomy)]


def all_receivers(anatomy: Anatomy) -> list[Site]:
    return [*components(anatomy), Site(layer=anatomy.n_layers - 1, part="resid_post")]


def components(anatomy: Anatomy) -> list[Site]:
    """Layer by layer, the heads and then the MLP."""
    found: list[Site] = []
    for layer, block in enumerate(anatomy.blocks):
        found += [head(layer, h) for h in range(block.n_heads)]
        found += [Site(layer=layer, part="mlp_out")] if block.has_mlp else []
    return found


def follows(anatomy: Anatomy, receiver: Site, sender: Site) -> bool:
    """Whether the receiver reads a stream that the sender has written to."""
    if sender.part == "resid_pre" or receiver.part == "resid_post":
        return True
    same = receiver.layer == sender.layer and receiver.part == "mlp_out" and sender.part == "z"
    return receiver.layer > sender.layer or (same and not anatomy.blocks[sender.layer].parallel)


def slopes(anatomy: Anatomy, traced: Traced) -> list[Tensor]:
    """d metric / d what each receiver reads, through it alone: [row, position, d_model], in `all_receivers` order."""
    outputs = [(layer, part) for layer, block in enumerate(anatomy.blocks) for part, there in
               (("z", block.n_heads), ("mlp_out", block.has_mlp)) if there]  # fmt: skip
    *at, final = gradients(traced.metric, [*(traced.values[place] for place in outputs), traced.final])
    found: list[Tensor] = []
    for (layer, part), slope in zip(outputs, at, strict=True):
        out, block = traced.values[layer, part], anatomy.blocks[layer]
        for h in range(block.n_heads) if part == "z" else ():
            width = slice(h * block.d_head, (h + 1) * block.d_head)
            own = torch.zeros_like(slope)
            own[..., width] = slope[..., width]
            found.append(carried(out, traced.entry[layer], own))
        if part == "mlp_out":
            found.append(carried(out, traced.middle[layer], slope))
    return [*found, final]


def carried(out: Tensor, back_to: Tensor, slope: Tensor) -> Tensor:
    return torch.autograd.grad(out, back_to, slope, retain_graph=True)[0]


def changes(anatomy: Anatomy, traced: Traced, edit: Edit, editor: Editor) -> list[Tensor]:
    """New minus old of what each sender writes, [row, position, d_model], as `all_senders` has them."""

    def change(layer: int, part: Part) -> Tensor:
        old = traced.values[layer, part].detach()
        at = edit.model_copy(update={"site": Site(layer=layer, part=part)})
        return editor.changed(old, at, editor.prompt) - old

    found = [change(0, "resid_pre")]
    for layer, block in enumerate(anatomy.blocks):
        dz, raw = change(layer, "z") if block.n_heads else None, traced.values[layer, "attn_raw"].detach()
        for h in range(block.n_heads):
            assert dz is not None
            width = slice(h * block.d_head, (h + 1) * block.d_head)
            written = dz[..., width] @ block.W_O[width]
            # A norm after the attention sees all heads at once, so the change is taken after the norm.
            post = block.attn_post
            found.append(through(post, raw + written) - through(post, raw) if post else written)
        found += [change(layer, "mlp_out")] if block.has_mlp else []
    return found
