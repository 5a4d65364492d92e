"""How much every edge carries, to first order: edge attribution patching (EAP, arXiv 2310.10348) and its integrated
form (EAP-IG, arXiv 2403.17806).

If one edge gets a replacement, its receiver's input changes by what the sender writes in the other run minus what it
writes in this one. To first order the metric changes by this, times the slope of the metric along the input of that
receiver alone. One backward pass gives the slopes at all projections and MLPs; through its head's columns and the norm
before it, each is carried to the stream. With integrated gradients the slopes are means over runs whose embeddings are
on the way to the other run's, at the middles of equal steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..model.block import Block
from ..tasks.batch import Batch
from .circuit_run import Wiring
from .forward import KVSlot, Window, attention, gather_columns, mlp, record_batch, through, unembed
from .gradients import slices
from .projections import By, Projections
from .readout import Readout, read_columns
from .sweep import Progress
from .writing import Written

# What all senders write is held at once: a number for each token, sender and d_model.
EDGE_TOKENS = 512
# So many receivers are multiplied with all changes at once: to read the changes takes longer than the products.
RECEIVERS = 64
# Numbers that go through a norm at once: what fits into a cache.
NORMED = 400_000


def edge_attribution(
    wired: Wiring,
    batch: Batch,
    own: Written,
    other: Written,
    readout: Readout,
    metric: str,
    steps: int | Sequence[float] = 1,
    progress: Progress | None = None,
) -> Tensor:
    """The estimated change of the metric if one edge gets its replacement, [batch, sender, receiver]; 0 where there is
    no edge.

    own, other  what the parts write in the intact run of the batch, and what they write instead
    steps       1: slopes of the intact run (EAP); more: integrated over the middles of as many equal steps (EAP-IG);
                or the shares of the way at which to take the slopes
    """
    found: list[Tensor] = []
    parts = slices(batch, EDGE_TOKENS)
    shares: Sequence[float | None] = [None]
    if steps != 1:
        shares = [(k + 0.5) / steps for k in range(steps)] if isinstance(steps, int) else steps
    for done, rows in enumerate(parts):
        with torch.no_grad():
            changes = written_changes(wired, own, other, rows) * batch.mask[rows][:, None, :, None]
        ways = [None if share is None else on_the_way(own, other, rows, share) for share in shares]
        total = torch.zeros(len(rows), *wired.graph.after.shape, device=changes.device)
        for k, way in enumerate(ways):
            with Slopes(wired, batch, rows, readout, metric, way) as slopes:
                for first, receivers, reached in slopes.blocks():
                    # [row, sender, position * d_model] with [row, receiver, position * d_model]
                    carried = torch.bmm(changes[:, :reached].flatten(2), receivers.flatten(2).transpose(1, 2))
                    total[:, :reached, first : first + receivers.shape[1]] += carried.float()
            if progress is not None:
                progress(done * len(ways) + k + 1, len(parts) * len(ways))
        found.append(total.cpu() * wired.graph.after / len(ways))
    return torch.cat(found)


def on_the_way(own: Written, other: Written, rows: Tensor, share: float) -> Callable[[Tensor], Tensor]:
    """Embedded tokens moved by a share of the way to the other run's."""
    return lambda x: x + share * (other.embedded[rows] - own.embedded[rows])


def written_changes(wired: Wiring, own: Written, other: Written, rows: Tensor) -> Tensor:
    """What every sender writes in the other run minus what it writes in this one, [row, sender, position, d_model]."""
    embedded = other.embedded[rows] - own.embedded[rows]
    found = embedded.new_empty(len(rows), len(wired.graph.senders), *embedded.shape[1:])
    found[:, 0] = embedded
    at = 1
    for layer, block in enumerate(wired.subject.anatomy.blocks):
        here, there, writing = own.z[layer], other.z[layer], wired.writings[layer]
        if here is not None and there is not None and writing is not None:
            moved = (there[rows] - here[rows]).unflatten(-1, (block.n_heads, -1))
            found[:, at : at + block.n_heads] = torch.einsum("bphd,hdm->bhpm", moved, writing.W)
            at += block.n_heads
        mine, theirs = own.mlp[layer], other.mlp[layer]
        if mine is not None and theirs is not None:
            found[:, at] = theirs[rows] - mine[rows]
            at += 1
    return found


@dataclass
class Slopes:
    """A run with gradients. Use as a context: the graph is dropped at its end."""

    wired: Wiring
    batch: Batch
    rows: Tensor
    readout: Readout
    metric: str
    moved: Callable[[Tensor], Tensor] | None = None
    # By layer: the stream before the attention, what each projection gave, and what the MLP read.
    _streams: list[Tensor] = field(default_factory=list)
    _projected: list[list[Tensor]] = field(default_factory=list)
    _read_by_mlp: list[Tensor | None] = field(default_factory=list)
    _final: Tensor = field(default_factory=lambda: torch.empty(0))

    def __enter__(self) -> Slopes:
        subject, rows = self.wired.subject, self.rows
        with torch.no_grad():
            part = self.batch.rows(int(rows[0]), int(rows[-1]) + 1)
            recording = record_batch(subject.model, subject.anatomy, part)
            window = Window(recording, torch.arange(len(rows), device=rows.device), 0, self.batch.length)
        with torch.enable_grad():
            x = recording.embedded.detach()
            x = (x if self.moved is None else self.moved(x)).requires_grad_()
            for layer in range(subject.anatomy.n_layers):
                x = self.layer(layer, x, window.kwargs(layer))
            self._final = x
            read = gather_columns(x, read_columns(self.batch, self.readout)[rows])
            tokens = None if self.readout.tokens is None else self.readout.tokens[rows]
            logits = unembed(subject.model, subject.anatomy, read, tokens)
            metric = self.readout.measure(logits, rows)[self.metric]
        at = [*(p for layer in self._projected for p in layer), *(u for u in self._read_by_mlp if u is not None), x]
        slopes = torch.autograd.grad(metric.sum(), at, allow_unused=True)
        given = iter([torch.zeros_like(t) if s is None else s for t, s in zip(at, slopes, strict=True)])
        self._projected = [[next(given) for _ in layer] for layer in self._projected]
        self._read_by_mlp = [None if u is None else next(given) for u in self._read_by_mlp]
        self._final = next(given)
        return self

    def __exit__(self, *_: object) -> None:
        self._streams.clear()
        self._projected.clear()
        self._read_by_mlp.clear()

    def layer(self, layer: int, x: Tensor, kwargs: dict[str, Any]) -> Tensor:
        block, made = self.wired.subject.anatomy.blocks[layer], self.wired.projections[layer]
        kept: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, _: Any, out: Tensor) -> None:
            kept[module] = out

        self._streams.append(x.detach())
        with ExitStack() as stack:
            for module in () if made is None else made.modules:
                stack.callback(module.register_forward_hook(keep).remove)
            raw = attention(block, x, kwargs, KVSlot() if block.cache_arg else None, None)
        attn_out = through(block.attn_post, raw)
        self._projected.append([] if made is None else [kept[m] for m in made.modules])
        if not block.has_mlp:
            self._read_by_mlp.append(None)
            return x + attn_out
        # A view of its own, so that its slope is that by way of the MLP alone.
        u = (x if block.parallel else x + attn_out).view_as(x)
        self._read_by_mlp.append(u)
        return x + attn_out + mlp(block, u)

    def blocks(self) -> Iterator[tuple[int, Tensor, int]]:
        """Receivers in their order, some at a time: the number of the first, their slopes [row, receiver, position,
        d_model], and how many senders come before them at most."""
        waiting: list[Tensor] = []
        first, senders = 0, 1
        for layer, block in enumerate(self.wired.subject.anatomy.blocks):
            made, read = self.wired.projections[layer], self._read_by_mlp[layer]
            if made is not None:
                waiting.append(self.of_heads(layer, block, made))
            if read is not None:
                waiting.append(read[:, None])
            senders += block.n_heads
            width = sum(slopes.shape[1] for slopes in waiting)
            if width >= RECEIVERS:
                yield first, torch.cat(waiting, 1), senders
                first, waiting = first + width, []
            senders += block.has_mlp
        yield first, torch.cat([*waiting, self._final[:, None]], 1), senders

    def of_heads(self, layer: int, block: Block, made: Projections) -> Tensor:
        """d metric / d the stream by way of each head's queries, keys, values: [row, receiver, position, d_model]."""
        x = self._streams[layer]
        found: list[Tensor] = []
        ways: tuple[By, ...] = ("q", "k", "v")
        for by in ways:
            weights, _ = self.wired.weights(layer, by)
            slopes = [self._projected[layer][c.module].view(*x.shape[:2], -1)[..., c.columns] for c in made.heads[by]]
            found.append(torch.einsum("hbpc,hmc->bhpm", torch.stack(slopes), weights))
        normed = torch.cat(found, 1)
        if not block.attn_pre:
            return normed
        some = max(1, NORMED // x.numel())
        return torch.cat([through_norm(block, x, part) for part in normed.split(some, 1)], 1)


def through_norm(block: Block, x: Tensor, slopes: Tensor) -> Tensor:
    """Slopes behind the norm before the attention [row, receiver, position, d_model] -> before it."""
    with torch.enable_grad():
        stream = x[:, None].expand_as(slopes).flatten(0, 1).detach().requires_grad_()
        found = torch.autograd.grad(through(block.attn_pre, stream), stream, slopes.flatten(0, 1))[0]
    return found.unflatten(0, slopes.shape[:2])
