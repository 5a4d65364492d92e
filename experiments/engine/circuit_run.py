"""Run a model in which only some edges carry what happens in this run; the others carry replacement values.

A circuit is a set of edges. Every receiver reads, from each sender before it, what the sender writes in this run if the
edge belongs to the circuit, and otherwise what it writes in another run (the corrupted prompts, a mean, nothing). With
all edges this is the intact model, with none the replaced one (arXiv 2304.14997, 2403.17806).

A receiver's input is the replaced stream plus the changes of its senders in the circuit. So queries, keys and values of
each head have a stream of their own; their projections cost what those of one stream cost, since each head uses its own
columns. Senders without an edge are not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..model.subject import Subject
from ..tasks.batch import Batch
from .activations import CleanRun
from .forward import Window, gather_columns, mlp, record_batch, through, unembed
from .graph import Graph, graph_of
from .projections import By, Projections, all_projections, with_projections
from .readout import Readout, read_columns
from .sweep import Progress
from .writing import HeadWriting, Written, head_writings

# Numbers held at once, [circuit, sender, row, position, d_model].
HELD = 128_000_000
# The changes that reach the receivers of so many layers are summed together: reading all changes again for each layer
# takes longer than the sums.
LAYERS = 5


@dataclass(frozen=True)
class Wiring:
    """What running circuits of a subject needs: its graph, and each layer's projections and output weights."""

    subject: Subject
    graph: Graph
    projections: list[Projections | None]
    writings: list[HeadWriting | None]
    _stacked: dict[tuple[int, By], tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def weights(self, layer: int, by: By) -> tuple[Tensor, Tensor | None]:
        """Of all heads of a layer (or KV heads): [head, d_model, column], and the biases [head, 1, column]."""
        if (layer, by) not in self._stacked:
            own = self.projections[layer]
            assert own is not None
            matrices, biases = zip(*(own.weight(by, i) for i in range(len(own.heads[by]))), strict=True)
            bias = None if biases[0] is None else torch.stack(biases)[:, None]
            self._stacked[layer, by] = torch.stack(matrices), bias
        return self._stacked[layer, by]


@torch.inference_mode(False)
def wiring(subject: Subject) -> Wiring:
    """Raises UnsupportedModel for a subject whose edges cannot be told from each other."""
    graph = graph_of(subject.anatomy)
    return Wiring(subject, graph, all_projections(subject), head_writings(subject))


@dataclass(frozen=True)
class Replaced:
    """Two runs over one batch: what happens where an edge is in a circuit, and what is read where it is not.

    attn, mlp   by layer, the stream that a receiver with no edge in the circuit reads, [row, position, d_model]
    last        the same for the logits
    embedded    the embeddings' own value minus the other one
    other       what the parts write in the other run
    """

    attn: list[Tensor]
    mlp: list[Tensor]
    last: Tensor
    embedded: Tensor
    other: Written


@torch.inference_mode()
def replaced(wired: Wiring, clean: CleanRun, own: Written, other: Written) -> Replaced:
    """clean is the intact run with resid_pre and attn_out; `own` is what the parts write in it, `other` what they write
    where an edge is not in a circuit."""
    blocks = wired.subject.anatomy.blocks
    moved = other.embedded - own.embedded
    before: list[Tensor] = []
    middle: list[Tensor] = []
    for layer, (block, writing) in enumerate(zip(blocks, wired.writings, strict=True)):
        x = clean.at(layer, "resid_pre") + moved
        before.append(x)
        here, there = own.z[layer], other.z[layer]
        written = None
        if writing is not None and here is not None and there is not None:
            written = (there - here) @ writing.flat
            moved = moved + written
        if block.parallel:
            middle.append(x)
        else:
            middle.append(clean.at(layer, "resid_pre") + clean.at(layer, "attn_out") + moved)
        mine, theirs = own.mlp[layer], other.mlp[layer]
        if mine is not None and theirs is not None:
            moved = moved + (theirs - mine)
    last = clean.at(len(blocks), "resid_pre") + moved
    return Replaced(before, middle, last, own.embedded - other.embedded, other)


@torch.inference_mode()
def run_circuits(
    wired: Wiring,
    batch: Batch,
    masks: Sequence[Tensor],
    between: Replaced,
    readout: Readout,
    progress: Progress | None = None,
    prune: bool = True,
) -> dict[str, Tensor]:
    """The readout under each circuit, name -> [circuit, batch, ...]. Each mask is [sender, receiver] of bool.

    `prune` leaves out the edges on no path from the embeddings to the logits, which changes nothing where the other run
    is a run of the model on other prompts. Raises BadConfiguration for no circuit.
    """
    if not masks:
        raise BadConfiguration("There is no circuit to run. Give at least one set of edges.")
    subject, graph = wired.subject, wired.graph
    recording = record_batch(subject.model, subject.anatomy, batch)
    columns = read_columns(batch, readout)
    kept = [graph.pruned(m) if prune else m & graph.after for m in masks]
    one_row = (len(graph.senders) + 24 * LAYERS) * batch.length * subject.anatomy.d_model
    pieces_of_rows = -(-len(batch) * one_row // HELD)
    rows_at_once = max(1, -(-len(batch) // pieces_of_rows))
    at_once = max(1, HELD // (one_row * len(batch))) if rows_at_once == len(batch) else 1
    found: list[dict[str, Tensor]] = []
    for first in range(0, len(kept), at_once):
        some = torch.stack(kept[first : first + at_once]).to(batch.ids.device)
        pieces: list[dict[str, Tensor]] = []
        for rows in torch.arange(len(batch), device=batch.ids.device).split(rows_at_once):
            window = Window(recording, rows.repeat(len(some)), 0, batch.length)
            hidden = Run(wired, between, some, rows, window).hidden(columns[rows])
            tokens = None if readout.tokens is None else readout.tokens[rows].repeat(len(some), 1)
            logits = unembed(subject.model, subject.anatomy, hidden.flatten(0, 1), tokens)
            read = readout.measure(logits, rows.repeat(len(some)))
            pieces.append({name: v.float().cpu().unflatten(0, (len(some), -1)) for name, v in read.items()})
        found.append({name: torch.cat([p[name] for p in pieces], 1) for name in pieces[0]})
        if progress is not None:
            progress(first + len(some), len(kept))
    return {name: torch.cat([f[name] for f in found]) for name in found[0]}


class Run:
    """Some circuits, `masks` [circuit, sender, receiver], on some rows of the batch.

    What each sender with an edge writes in this run, minus what it writes in the other, is kept in `changes` [circuit,
    sender, row, position, d_model], in the order in which the senders are computed.
    """

    def __init__(self, wired: Wiring, between: Replaced, masks: Tensor, rows: Tensor, window: Window) -> None:
        self.wired, self.between, self.masks, self.rows, self.window = wired, between, masks, rows, window
        used = masks.any(0)
        self.active = used.any(1).nonzero()[:, 0].tolist()
        self.read = used.any(0).tolist()
        base = between.attn[0]
        self.changes = base.new_empty(len(masks), len(self.active), len(rows), *base.shape[1:])
        self.done = 0
        # What reaches the receivers of the next layers from the first `_since` senders, by receiver.
        self._since = 0
        self._partial: dict[int, Tensor] = {}

    def hidden(self, columns: Tensor) -> Tensor:
        """The stream after the last layer at the columns that are read, [circuit, row, k, d_model]."""
        graph, blocks = self.wired.graph, self.wired.subject.anatomy.blocks
        active = set(self.active)
        if 0 in active:
            self.keep(self.between.embedded[self.rows][None])
        sender, receiver = 1, 0
        for layer, block in enumerate(blocks):
            if layer % LAYERS == 0:
                self.sum_up(range(layer, layer + LAYERS))
            heads = [h for h in range(block.n_heads) if sender + h in active]
            if heads:
                self.keep_heads(layer, heads, receiver)
            sender, receiver = sender + block.n_heads, receiver + block.n_heads + 2 * block.n_kv_heads
            if block.has_mlp:
                if sender in active:
                    self.keep_mlp(layer, receiver)
                sender, receiver = sender + 1, receiver + 1
        last = gather_columns(self.between.last[self.rows], columns)
        found = last[None].expand(len(self.masks), *last.shape)
        if not self.done:
            return found
        at = columns[None, None, :, :, None].expand(*self.changes.shape[:3], -1, self.changes.shape[-1])
        moved = self.summed(self.changes.gather(3, at), [len(graph.receivers) - 1], 0)
        return found + moved[:, 0]

    def keep(self, change: Tensor) -> None:
        self.changes[:, self.done] = change
        self.done += 1

    def summed(self, changes: Tensor, receivers: Sequence[int], since: int) -> Tensor:
        """The changes that reach some receivers, from the sender at place `since` on.

        [circuit, receiver, row, position, d_model]"""
        chosen = self.active[since : self.done]
        weights = self.masks[:, chosen][:, :, list(receivers)].to(changes).transpose(1, 2)
        flat = changes[:, since : self.done].flatten(2)
        return torch.bmm(weights, flat).unflatten(2, changes.shape[2:])

    def sum_up(self, layers: range) -> None:
        """Sum what reaches the receivers of these layers from all senders so far."""
        coming = [
            i
            for i, r in enumerate(self.wired.graph.receivers)
            if r.layer in layers and r.by != "logits" and self.read[i]
        ]
        self._since = self.done
        sums = self.summed(self.changes, coming, 0)
        self._partial = {receiver: sums[:, i] for i, receiver in enumerate(coming)}

    def inputs(self, base: Tensor, receivers: Sequence[int]) -> Tensor:
        """What some receivers read, [circuit, receiver, row, position, d_model]."""
        sums = torch.stack([self._partial[r] for r in receivers], 1)
        if self.done > self._since:
            sums += self.summed(self.changes, receivers, self._since)
        sums += base[self.rows]
        return sums

    def keep_mlp(self, layer: int, receiver: int) -> None:
        block, other = self.wired.subject.anatomy.blocks[layer], self.between.other.mlp[layer]
        assert other is not None
        base = self.between.mlp[layer]
        if self.read[receiver]:
            x = self.inputs(base, [receiver])[:, 0]
        else:
            # Without an edge into it, it reads the other run, and its edges carry what it makes of that.
            x = base[self.rows][None].expand(len(self.masks), -1, -1, -1)
        self.keep(mlp(block, x.flatten(0, 1)).view_as(x) - other[self.rows])

    def keep_heads(self, layer: int, heads: Sequence[int], receiver: int) -> None:
        """`receiver` is the number of the layer's first receiver."""
        block, writing = self.wired.subject.anatomy.blocks[layer], self.wired.writings[layer]
        made, other = self.wired.projections[layer], self.between.other.z[layer]
        assert writing is not None
        assert made is not None
        assert other is not None
        count, base = len(self.masks), self.between.attn[layer]
        numbers: list[tuple[By, int]] = [
            *(("q", h) for h in range(block.n_heads)), *(("k", h) for h in range(block.n_kv_heads)),
            *(("v", h) for h in range(block.n_kv_heads)),
        ]  # fmt: skip
        reading = [i for i in range(len(numbers)) if self.read[receiver + i]]
        if len(reading) == len(numbers):
            width = [sum(len(c.columns) for by in made.heads for c in made.heads[by] if c.module == m)
                     for m in range(len(made.modules))]  # fmt: skip
            projected = [base.new_empty(count, len(self.rows), base.shape[1], w) for w in width]
        else:
            normed = through(block.attn_pre, base[self.rows])
            projected = [m(normed).view(*normed.shape[:2], -1)[None].repeat(count, 1, 1, 1) for m in made.modules]
        if reading:
            x = self.inputs(base, [receiver + i for i in reading])
            normed = through(block.attn_pre, x.flatten(0, 2)).view_as(x)
            for by in ("q", "k", "v"):
                at = [place for place, i in enumerate(reading) if numbers[i][0] == by]
                if not at:
                    continue
                units = [numbers[reading[place]][1] for place in at]
                weights, bias = self.wired.weights(layer, by)
                streams = normed[:, at].transpose(0, 1).flatten(1, 3)
                every = len(units) == len(weights)
                values = torch.bmm(streams, weights if every else weights[units])
                values = values if bias is None else values + (bias if every else bias[units])
                values = values.unflatten(1, (count, *x.shape[2:4]))
                for unit, value in zip(units, values, strict=True):
                    one = made.heads[by][unit]
                    projected[one.module][..., one.columns] = value
        z: list[Tensor] = []

        def keep_z(value: Tensor) -> Tensor:
            z.append(value)
            return value

        hidden = base[self.rows].repeat(count, 1, 1)
        with_projections(
            block, made, [p.flatten(0, 1) for p in projected], hidden, self.window.kwargs(layer), keep_z, write=False
        )
        now = writing.scaled(z[0].view(*hidden.shape[:2], -1)).unflatten(0, (count, -1)) - other[self.rows]
        for h in heads:
            self.keep(now[..., h * block.d_head : (h + 1) * block.d_head] @ writing.W[h])
