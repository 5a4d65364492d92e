"""The clean pass, and where edits take their values from.

`read` runs the prompts once and keeps what is asked for. Means are position-matched: an average over the
prompts of one template and one length, column by column. A resample takes another such prompt's activation.
A prompt with no partner of its length falls back on all positions of the others, and the count says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..anatomy import Block
from ..batch import Batch
from ..sites import Part
from ..subject import Subject
from .forward import KVSlot, Recording, Window, attention, mlp, record_batch, through


@dataclass
class Activations:
    """Values by (layer, part), each [batch, position, width]; k and v have their KV heads side by side.

    Besides the parts that edits can name there is "attn_raw", the attention's output before any post-norm.
    """

    values: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    def at(self, layer: int, part: str) -> Tensor:
        return self.values[layer, part]


@dataclass
class CleanRun(Activations):
    """An intact pass: its recording, its kept activations, and the last layer's output."""

    recording: Recording | None = None
    final: Tensor | None = None


def flat_heads(x: Tensor) -> Tensor:
    """[row, kv_head, position, d_head] -> [row, position, kv_head * d_head]."""
    return x.transpose(1, 2).flatten(2)


def unflat_heads(x: Tensor, n: int) -> Tensor:
    """The inverse of `flat_heads`."""
    return x.unflatten(2, (n, -1)).transpose(1, 2)


@torch.inference_mode()
def read(subject: Subject, batch: Batch, parts: Iterable[Part], layers: Iterable[int] | None = None) -> CleanRun:
    """Run the batch intact and keep `parts` of `layers` (None: all); attn_raw comes with attn_out."""
    anatomy = subject.anatomy
    parts = set(parts)
    wanted = set(range(anatomy.n_layers)) if layers is None else set(layers)
    recording = record_batch(subject.model, anatomy, batch)
    window = Window(recording, torch.arange(len(batch), device=batch.ids.device), 0, batch.length)
    run = CleanRun(recording=recording)
    x = recording.embedded
    for layer, block in enumerate(anatomy.blocks):
        x = read_block(run, layer, block, x, window, parts if layer in wanted else set())
    run.final = x
    return run


def read_block(run: CleanRun, layer: int, block: Block, x: Tensor, window: Window, parts: set[Part]) -> Tensor:
    keep: dict[str, Tensor] = {"resid_pre": x}
    slot = KVSlot(keep=True) if parts & {"k", "v"} else None

    def keep_z(z: Tensor) -> Tensor:
        keep["z"] = z
        return z

    def keep_neurons(h: Tensor) -> Tensor:
        keep["neurons"] = h.view(*x.shape[:2], -1)
        return h

    raw = attention(block, x, window.kwargs(layer), slot, keep_z if "z" in parts else None)
    attn_out = through(block.attn_post, raw)
    u = x if block.parallel else x + attn_out
    mlp_out = mlp(block, u, keep_neurons if "neurons" in parts else None)
    out = x + attn_out + mlp_out
    keep |= {"attn_raw": raw, "attn_out": attn_out, "mlp_out": mlp_out, "resid_post": out}
    if slot is not None and slot.k is not None and slot.v is not None:
        keep |= {"k": flat_heads(slot.k), "v": flat_heads(slot.v)}
    for part in (*parts, *({"attn_raw"} if "attn_out" in parts else ())):
        run.values[layer, part] = keep[part]
    return out


# --- sources -------------------------------------------------------------------------------------------------


@dataclass
class Mean:
    """Means over the batch, per prompt. `matched` of the `n` prompts had a partner position by position."""

    clean: Activations
    batch: Batch
    matched: int
    n: int
    _means: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    def at(self, layer: int, part: Part) -> Tensor:
        if (layer, part) not in self._means:
            self._means[layer, part] = group_means(self.clean.at(layer, part), self.batch)
        return self._means[layer, part]


def partners(batch: Batch) -> dict[tuple[str, int], list[int]]:
    """Rows by what aligns them. A prompt without a template aligns with nothing, so it stands alone."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, (template, length) in enumerate(batch.groups):
        groups.setdefault((template or f"alone {i}", length), []).append(i)
    return groups


def content(batch: Batch) -> Tensor:
    """[batch, position] of bool: tokens that are neither pads nor the first token (a BOS, or its stand-in)."""
    return (batch.mask.bool()) & (batch.position_ids > 0)


def group_means(values: Tensor, batch: Batch) -> Tensor:
    """values [batch, position, width] -> for each prompt the mean over its partners, column by column, or over all
    positions of the other prompts where it has none. Pads enter no mean."""
    out = values.clone()
    inside = content(batch)
    for members in partners(batch).values():
        index = torch.tensor(members, device=values.device)
        if len(members) > 1:
            # Answers may differ in length, so that a column is a token of one prompt and a pad of another.
            there = batch.mask[index][..., None].to(values.dtype)
            out[index] = (values[index] * there).sum(0) / there.sum(0).clamp(min=1)
        else:
            out[index] = values[others(inside, members[0])].mean(0)
    return out


def others(inside: Tensor, prompt: int) -> Tensor:
    """Where a prompt without a partner takes its values from: all content but its own, unless there is no other."""
    if len(inside) == 1:
        return inside
    return inside & (torch.arange(len(inside), device=inside.device) != prompt)[:, None]


def mean_source(clean: Activations, batch: Batch) -> Mean:
    matched = sum(len(m) for m in partners(batch).values() if len(m) > 1)
    return Mean(clean, batch, matched, len(batch))


@dataclass
class Resample:
    """Each prompt gets another prompt's activations, column by column: `rows` and `columns` [batch, position]."""

    clean: Activations
    rows: Tensor
    columns: Tensor
    matched: int
    n: int

    def at(self, layer: int, part: Part) -> Tensor:
        return self.clean.at(layer, part)[self.rows, self.columns]


def resample_source(clean: Activations, batch: Batch, seed: int) -> Resample:
    """A seeded cyclic shift within each group of aligned prompts; a lone prompt draws positions from the others."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(len(batch))[:, None].repeat(1, batch.length)
    columns = torch.arange(batch.length)[None].repeat(len(batch), 1)
    inside, mask = content(batch).cpu(), batch.mask.cpu()
    matched = 0
    for members in partners(batch).values():
        if len(members) > 1:
            order = [members[i] for i in torch.randperm(len(members), generator=generator).tolist()]
            for member, other in zip(order, order[1:] + order[:1], strict=True):
                rows[member] = other
                # A partner with a shorter answer gives its last token's for what it has no token for.
                columns[member].clamp_(max=int(mask[other].nonzero().max()))
            matched += len(members)
        else:
            places = others(inside, members[0]).nonzero()
            drawn = places[torch.randint(len(places), (batch.length,), generator=generator)]
            rows[members[0]], columns[members[0]] = drawn[:, 0], drawn[:, 1]
    device = batch.ids.device
    return Resample(clean, rows.to(device), columns.to(device), matched, len(batch))
