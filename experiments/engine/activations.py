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
    """Values by (layer, part), each [batch, position, width]; k and v have their KV heads side by side."""

    values: dict[tuple[int, Part], Tensor] = field(default_factory=dict)

    def at(self, layer: int, part: Part) -> Tensor:
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
    """Run the batch intact and keep `parts` of `layers` (None: all). resid_post is the next layer's resid_pre."""
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
    keep: dict[Part, Tensor] = {"resid_pre": x}
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
    keep |= {"attn_out": attn_out, "mlp_out": mlp_out, "resid_post": out}
    if slot is not None and slot.k is not None and slot.v is not None:
        keep |= {"k": flat_heads(slot.k), "v": flat_heads(slot.v)}
    if parts:
        run.values[layer, "attn_raw"] = raw  # type: ignore[index]  # for the engine: what a post-norm reads
    for part in parts:
        run.values[layer, part] = keep[part]
    return out


# --- sources -------------------------------------------------------------------------------------------------


@dataclass
class Mean(Activations):
    """Means over the batch, expanded per prompt. `matched` of the `n` prompts had a partner position by position."""

    clean: Activations | None = None
    batch: Batch | None = None
    matched: int = 0
    n: int = 0

    def at(self, layer: int, part: Part) -> Tensor:
        if (layer, part) not in self.values:
            assert self.clean is not None and self.batch is not None
            self.values[layer, part] = group_means(self.clean.at(layer, part), self.batch)
        return self.values[layer, part]


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
    out = torch.empty_like(values)
    inside = content(batch)
    for members in partners(batch).values():
        index = torch.tensor(members, device=values.device)
        if len(members) > 1:
            out[index] = values[index].mean(0, keepdim=True)
        else:
            out[index] = values[inside].mean(0)
    return out


def mean_source(clean: Activations, batch: Batch) -> Mean:
    matched = sum(len(m) for m in partners(batch).values() if len(m) > 1)
    return Mean(clean=clean, batch=batch, matched=matched, n=len(batch))


@dataclass
class Resample(Activations):
    """Each prompt gets another prompt's activations, column by column: `rows` and `columns` [batch, position]."""

    clean: Activations | None = None
    rows: Tensor | None = None
    columns: Tensor | None = None
    matched: int = 0
    n: int = 0

    def at(self, layer: int, part: Part) -> Tensor:
        if (layer, part) not in self.values:
            assert self.clean is not None
            self.values[layer, part] = self.clean.at(layer, part)[self.rows, self.columns]
        return self.values[layer, part]


def resample_source(clean: Activations, batch: Batch, seed: int) -> Resample:
    """A seeded cyclic shift within each group of aligned prompts; a lone prompt draws positions from the others."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(len(batch))[:, None].repeat(1, batch.length)
    columns = torch.arange(batch.length)[None].repeat(len(batch), 1)
    inside = content(batch).cpu().nonzero()
    matched = 0
    for members in partners(batch).values():
        if len(members) > 1:
            order = [members[i] for i in torch.randperm(len(members), generator=generator).tolist()]
            for member, other in zip(order, order[1:] + order[:1], strict=True):
                rows[member] = other
            matched += len(members)
        else:
            others = inside[inside[:, 0] != members[0]] if len(batch) > 1 else inside
            drawn = others[torch.randint(len(others), (batch.length,), generator=generator)]
            rows[members[0]], columns[members[0]] = drawn[:, 0], drawn[:, 1]
    device = batch.ids.device
    return Resample(clean=clean, rows=rows.to(device), columns=columns.to(device), matched=matched, n=len(batch))
