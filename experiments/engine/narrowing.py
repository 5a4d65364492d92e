"""Runs with fewer positions in later layers: for screens of many edits, never for a measurement.

A change at a position matters only as long as the readout depends on it. The slopes of a metric, from one backward
pass, show where that is, layer by layer: in the upper layers mostly at the last positions. A position with a small
slope is dropped: from there on it has its clean values, and the change there counts to first order, change . slope.
The other positions are computed in full. In the layer where a run starts, positions that the next layer drops are
dropped in the middle, before the MLP, which is most of the work.

The columns of a prompt are sorted by when they are dropped, in all of its runs, so the remaining ones are always the
last. So the attention must not depend on key order: it must identify keys by their mask and angles, not their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.subject import Subject
from ..tasks.batch import Batch
from .activations import CleanRun
from .forward import Recording, Window, attention, gather_columns, mlp, picked, record_batch, tail, through
from .gradients import gradients, slices, trace
from .readout import Readout, read_columns

# What stays of the slope at the first layer and at the last, in equal steps between. The upper layers are run by most
# of a sweep, and what is left of the way there is nearer to linear.
SHARES = (0.95, 0.7)
# A change of a stream by more than this share of its own size counts as one of this share: norms let nothing through
# that is as large as its slope says, above all at the first token.
LARGEST = 0.2
# How far attentions over the same tokens in another order may be apart, as a share of their size; bf16 makes it 0.01.
APART = 0.05
# Tokens whose slopes are found at once; with SmolLM2 each takes some 1.5 MB.
BACKWARD_TOKENS = 256


@dataclass(frozen=True)
class Narrowing:
    """How the runs of some prompts become narrower.

    metric     the slopes are of this metric
    order      [batch, position] the columns, in the order in which they are dropped
    place      [batch, position] the index of each column in that order
    first      per layer, how many columns have been dropped before it
    slopes     per layer [batch, position, d_model]: d metric / d resid_pre, columns as in the batch
    middles    the same of the stream after the attention; without meaning if a layer's MLP does not see that stream
    recording  the arguments of the attentions, columns in this order
    clean      the clean run, columns in this order
    """

    metric: str
    order: Tensor
    place: Tensor
    first: tuple[int, ...]
    slopes: tuple[Tensor, ...]
    middles: tuple[Tensor, ...]
    recording: Recording
    clean: OrderedRun

    @property
    def width(self) -> int:
        """How many columns a layer computes on average, at least 1."""
        return max(1, round(self.order.shape[1] - sum(self.first) / len(self.first)))

    def dropped(self, step: int, x: Tensor, rows: Tensor, clean: CleanRun) -> tuple[Tensor, Tensor]:
        """The stream x [row, column, d_model] before a layer, in this order and not yet cut for it, of the prompts rows
        [row] -> the rest of the stream, and what the dropped columns count for, [row]."""
        had = x.shape[1]
        begin, end = self.order.shape[1] - had, self.first[step]
        if end <= begin:
            return x, x.new_zeros(len(x), dtype=torch.float32)
        columns = picked(self.order, rows)[:, begin:end].to(x.device)
        before, slope = (
            gather_columns(picked(values, rows).to(x.device), columns)
            for values in (clean.at(step, "resid_pre"), self.slopes[step])
        )
        return x[:, end - begin :], to_first_order(x[:, : end - begin], before, slope)

    def dropped_in_the_middle(self, step: int, x: Tensor, rows: Tensor, clean: CleanRun) -> tuple[Tensor, Tensor]:
        """The stream x [row, column, d_model] after a layer's attention, columns as in the batch, of the prompts rows
        [row] -> which columns [row, k] the next layer has, in this order, and what the rest counts for, [row]."""
        order = picked(self.order, rows).to(x.device)
        gone, stay = order[:, : self.first[step + 1]], order[:, self.first[step + 1] :]
        before, attn_out, slope = (
            gather_columns(picked(values, rows).to(x.device), gone)
            for values in (clean.at(step, "resid_pre"), clean.at(step, "attn_out"), self.middles[step])
        )
        return stay, to_first_order(gather_columns(x, gone), before + attn_out, slope)


def to_first_order(x: Tensor, before: Tensor, slope: Tensor) -> Tensor:
    """What it counts for, [row], that streams are x instead of what they were before, [row, column, d_model]."""
    change, before = x.float() - before.float(), before.float()
    size = change.norm(dim=-1) / before.norm(dim=-1).clamp(min=1e-12)
    return ((change * slope.float()).sum(-1) * (LARGEST / size.clamp(min=LARGEST))).sum(-1)


@dataclass
class OrderedRun(CleanRun):
    """A clean run with its columns in another order, [batch, position]; for what is kept column by column.

    What was asked for once is kept: keys and values, for all runs to come.
    """

    clean: CleanRun = field(default_factory=CleanRun)
    order: Tensor = field(default_factory=lambda: torch.empty(0))

    def at(self, layer: int, part: str) -> Tensor:
        if (layer, part) not in self.values:
            values = self.clean.at(layer, part)
            self.values[layer, part] = gather_columns(values, self.order.to(values.device))
        return self.values[layer, part]


def narrowing(
    subject: Subject, batch: Batch, clean: CleanRun, recording: Recording, readout: Readout, metric: str,
    first: tuple[int, ...] | None = None,
) -> Narrowing:  # fmt: skip
    """Find the columns that the readout depends on, with one forward and one backward pass; what these keep is not in
    any budget.

    `first` is the number of columns dropped before each layer, if these prompts are part of more (`how_many`).
    """
    parts = [slopes_of(subject, batch, rows, readout, metric) for rows in slices(batch, BACKWARD_TOKENS)]
    slopes, middles = (tuple(map(torch.cat, zip(*half, strict=True))) for half in zip(*parts, strict=True))
    first = first or how_many(subject, batch, readout, metric, parts[0][0])
    gone_at = when_dropped(slopes, batch, read_columns(batch, readout), first)
    order = gone_at.argsort(dim=1, stable=True)
    return Narrowing(metric, order, order.argsort(dim=1), first, slopes, middles, in_order(recording, order),
                     OrderedRun(clean=clean, order=order))  # fmt: skip


def slopes_of(
    subject: Subject, batch: Batch, rows: Tensor, readout: Readout, metric: str
) -> tuple[list[Tensor], list[Tensor]]:
    """d metric / d the stream before each layer, and after its attention, of some prompts: per layer [row, position,
    d_model]. Nothing else of the graph is left."""
    with torch.inference_mode(False):
        traced, _ = trace(subject, batch, rows, readout, metric)
        added = [traced.values[layer, "attn_out"] for layer in range(len(traced.entry))]
        # A layer without an attention adds nothing: its middle is its start.
        middle = [a if a.requires_grad else x for a, x in zip(added, traced.entry, strict=True)]
        found = gradients(traced.metric, [*traced.entry, *middle])
        return found[: len(middle)], found[len(middle) :]


def how_many(
    subject: Subject, batch: Batch, readout: Readout, metric: str, slopes: list[Tensor] | None = None
) -> tuple[int, ...]:
    """How many columns are dropped before each layer, of every prompt; never those that are read.

    It depends only on the first prompts, whose `slopes` can be passed, so it is the same however many of the others run
    at once.
    """
    rows = slices(batch, BACKWARD_TOKENS)[0]
    slopes = slopes or slopes_of(subject, batch, rows, readout, metric)[0]
    reads, mask = read_columns(batch, readout).shape[1], batch.mask[rows]
    first: list[int] = []
    stay = batch.length
    for slope, share in zip(slopes, np.linspace(*SHARES, len(slopes)), strict=True):
        weight = slope.float().norm(dim=-1).to(mask.device) * mask
        held = weight.sort(dim=1, descending=True).values.cumsum(1)
        enough = (held / held[:, -1:].clamp(min=1e-30)).mean(0) < share
        stay = min(stay, max(int(enough.sum()) + 1, reads))
        first.append(batch.length - stay)
    return tuple(first)


def when_dropped(slopes: tuple[Tensor, ...], batch: Batch, read_at: Tensor, first: tuple[int, ...]) -> Tensor:
    """Before which layer each column is dropped, [batch, position]; those that stay, after the last one.

    As many of every prompt, those with the least slope; never what is read; and none comes back.
    """
    gone_at = torch.full_like(batch.mask, len(slopes))
    reads = torch.zeros_like(batch.mask, dtype=torch.bool).scatter(1, read_at, True)
    for layer, slope in enumerate(slopes):
        weight = slope.float().norm(dim=-1).to(gone_at.device) * batch.mask
        weight = weight.masked_fill(gone_at < layer, -1).masked_fill(reads, torch.inf)
        gone = weight.argsort(dim=1, descending=True, stable=True)[:, batch.length - first[layer] :]
        gone_at.scatter_reduce_(1, gone, torch.full_like(gone, layer), "amin")
    return gone_at


@torch.inference_mode()
def narrowable(subject: Subject, batch: Batch) -> bool:
    """Whether the attentions give the same for tokens in another order. Tried on the longest prompt, in every layer.
    GPT-Neo's do not: they have their own mask, by position."""
    if not subject.anatomy.by_column:
        return False
    longest = int(batch.mask.sum(1).argmax())
    recording = record_batch(subject.model, subject.anatomy, batch.rows(longest, longest + 1))
    row = torch.zeros(1, dtype=torch.long, device=batch.ids.device)
    turned = in_order(recording, torch.arange(batch.length - 1, -1, -1, device=row.device)[None])
    usual, other = (Window(one, row, 0, batch.length) for one in (recording, turned))
    x = recording.embedded
    for layer, block in enumerate(subject.anatomy.blocks):
        x = x.to(recording.devices[layer])
        raw = attention(block, x, usual.kwargs(layer), None, None)
        again = attention(block, x.flip(1), other.kwargs(layer), None, None).flip(1)
        if not float((raw - again).norm()) <= APART * float(raw.norm()):
            return False
        attn_out = through(block.attn_post, raw)
        x = x + attn_out + mlp(block, x if block.parallel else x + attn_out)
        x = tail(block, x, usual.kwargs(layer))
    return True


def in_order(recording: Recording, order: Tensor) -> Recording:
    """The recording with the columns of each prompt in another order, queries and keys alike."""
    known: dict[int, Any] = {}
    n, length = order.shape

    def moved(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(moved(v) for v in value)
        if isinstance(value, dict):
            return {name: moved(v) for name, v in value.items()}
        if not isinstance(value, Tensor):
            return value
        if id(value) not in known:
            known[id(value)] = moved_tensor(value)
        return known[id(value)]

    def moved_tensor(value: Tensor) -> Tensor:
        here = order.to(value.device)
        if value.dim() == 4 and value.shape[2] == length:
            value = value.expand(n, -1, -1, -1)
            queries = here[:, None, :, None].expand(-1, value.shape[1], -1, value.shape[3])
            value = value.gather(2, queries)
            return value.gather(3, here[:, None, None].expand(-1, *value.shape[1:3], -1))
        if value.dim() in (2, 3) and value.shape[1] == length:
            value = value.expand(n, *value.shape[1:])
            return value.gather(1, here if value.dim() == 2 else here[..., None].expand(-1, -1, value.shape[2]))
        return value

    return replace(recording, kwargs=tuple(moved(given) for given in recording.kwargs))
