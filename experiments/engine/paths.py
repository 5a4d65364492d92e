"""Path patching: the effect of one head or MLP on what another one reads, with everything between them held.

A sender's change is what it would write, new minus old (arXiv 2304.05969). Everything after it keeps its intact value,
so the stream before any receiver is the intact one plus this change; or the MLPs on the way are recomputed from the
changed stream, and only heads are held (arXiv 2211.00593). The receiver is computed from that, optionally for only its
queries, keys or values, and its new output replaces the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..interventions import Edit, Intervention
from ..model.anatomy import Anatomy
from ..model.block import Block
from ..model.subject import Subject
from ..sites import Part, Site
from ..tasks.batch import Batch
from .activations import CleanRun, flat_heads, unflat_heads
from .edits import Editor, Source
from .forward import KVSlot, Window, attention, mlp, record_batch, through
from .graph import follows

Through = Literal["q", "k", "v", "all"]
# Which parts of the intact run path patching needs.
NEEDED: tuple[Part, ...] = ("resid_pre", "z", "k", "v", "attn_out", "mlp_out", "resid_post")


@dataclass(frozen=True)
class Edge:
    """A sender (a head, an MLP, or `L0.resid_pre`, the embeddings), a receiver (a head, an MLP, or the stream after the
    last layer, for the logits) and, for a head, what it reads the sender through."""

    sender: Site
    receiver: Site
    by: Through = "all"


@dataclass
class HeadValues:
    """A source that knows one part of one layer; of a head's part the values of that head alone."""

    site: Site
    values: Tensor
    width: int = 0

    def at(self, layer: int, part: Part) -> Tensor:
        if (layer, part) != (self.site.layer, self.site.part):
            raise BadConfiguration(f"This path ends at {self.site}, not at {part} of layer {layer}.")
        if self.site.index is None:
            return self.values
        whole = self.values.new_zeros(*self.values.shape[:2], self.width)
        first = self.site.index * self.values.shape[2]
        whole[..., first : first + self.values.shape[2]] = self.values
        return whole


@dataclass
class Paths:
    """The direct paths over one batch. `clean` is its intact run with the parts NEEDED; `source` what senders get;
    `recomputed` whether MLPs between sender and receiver answer to the change."""

    subject: Subject
    batch: Batch
    clean: CleanRun
    source: Source
    positions: str = "all"
    recomputed: bool = False
    _window: Window = field(init=False)
    _written: dict[Site, Tensor] = field(default_factory=dict)
    _moved: dict[tuple[Site, int], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        recording = self.clean.recording or record_batch(self.subject.model, self.subject.anatomy, self.batch)
        self._rows = torch.arange(len(self.batch), device=self.batch.ids.device)
        self._window = Window(recording, self._rows, 0, self.batch.length)

    @property
    def anatomy(self) -> Anatomy:
        return self.subject.anatomy

    @torch.inference_mode()
    def intervention(self, edge: Edge, name: str) -> tuple[Intervention, Source]:
        """The edit that is this path, and the source of its values, which it calls by its own name."""
        if not follows(self.anatomy, edge.receiver, edge.sender):
            raise BadConfiguration(f"{edge.receiver} is not after {edge.sender}, so there is no path.")
        self.anatomy.require_sum()
        new, block = self.received(edge), self.anatomy.blocks[edge.receiver.layer]
        width = block.n_heads * block.d_head
        edit = Edit(site=edge.receiver, op="replace", source=name)
        return Intervention(name=name, edits=(edit,)), HeadValues(edge.receiver, new, width)

    def received(self, edge: Edge) -> Tensor:
        """What the receiver gives with the sender's change in what it reads: a head's z [batch, position, d_head], an
        MLP's output or the last stream [batch, position, d_model]."""
        to = edge.receiver
        written = self.moved(edge.sender, to)
        block = self.anatomy.blocks[to.layer]
        if to.part == "resid_post":
            return self.clean.at(to.layer, "resid_post") + written
        x = self.clean.at(to.layer, "resid_pre")
        if to.part == "mlp_out":
            return mlp(block, (x if block.parallel else x + self.clean.at(to.layer, "attn_out")) + written)
        assert to.index is not None
        d = block.d_head
        return self.read(to.layer, block, x, x + written, edge.by)[..., to.index * d : (to.index + 1) * d].clone()

    def read(self, layer: int, block: Block, x: Tensor, moved: Tensor, by: Through) -> Tensor:
        """The heads' outputs z [batch, position, head * d_head] where what they read by `by` comes from the moved
        stream, and the rest from x."""
        if by != "all" and not block.units("k"):
            raise BadConfiguration(
                f"The keys and values of layer {layer} cannot be read. Patch its heads with by: all."
            )
        n, kept = block.n_kv_heads, dict[str, Tensor]()

        def keep(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            kept.update(k=flat_heads(k), v=flat_heads(v))
            return k, v

        def exchange(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            # By queries alone, keys and values are the intact ones; by keys alone, only those are moved.
            intact = {part: self.clean.at(layer, part) for part in ("k", "v")} if by == "q" else kept
            return (
                k if by == "v" else unflat_heads(intact["k"], n),
                v if by == "k" else unflat_heads(intact["v"], n),
            )

        if by in ("k", "v"):
            self.run(layer, block, moved, keep)
        return self.run(layer, block, moved if by in ("q", "all") else x, None if by == "all" else exchange)

    def run(self, layer: int, block: Block, x: Tensor, edit: object) -> Tensor:
        seen: list[Tensor] = []

        def keep_z(z: Tensor) -> Tensor:
            seen.append(z)
            return z

        slot = KVSlot()
        slot.edit = edit  # type: ignore[assignment]
        attention(block, x, self._window.kwargs(layer), slot, keep_z)
        return seen[0].view(*x.shape[:2], -1)

    def written(self, sender: Site) -> Tensor:
        """New minus old of what the sender writes to the stream, [batch, position, d_model]."""
        if sender not in self._written:
            # One sender after the other is asked for; the last is all that is worth keeping.
            self._written.clear()
            self._moved.clear()
            self._written[sender] = self.change(sender)
        return self._written[sender]

    def moved(self, sender: Site, receiver: Site) -> Tensor:
        """New minus old of the stream that a receiver reads, [batch, position, d_model]."""
        change = self.written(sender)
        if not self.recomputed:
            return change
        # The stream after a layer is what the logits read; all others read it before their layer's own MLP.
        stop = receiver.layer + 1 if receiver.part == "resid_post" else receiver.layer
        for layer in range(sender.layer, stop):
            # An MLP sends past itself; in parallel with an attention, it does not see what its heads write.
            first = layer == sender.layer
            if not (first and (sender.part == "mlp_out" or self.anatomy.blocks[layer].parallel)):
                if (sender, layer) not in self._moved:
                    self._moved[sender, layer] = self.answered(layer, change)
                change = change + self._moved[sender, layer]
        return change

    def answered(self, layer: int, change: Tensor) -> Tensor:
        """The change of an MLP's output if the stream before its layer (or, of the sender's own layer, after its
        attention) is moved by this change."""
        block, x = self.anatomy.blocks[layer], self.clean.at(layer, "resid_pre")
        before = x if block.parallel else x + self.clean.at(layer, "attn_out")
        return mlp(block, before + change) - self.clean.at(layer, "mlp_out")

    def change(self, sender: Site) -> Tensor:
        old = self.clean.at(sender.layer, sender.part)
        edit = Edit(site=sender, op="replace", source="sender", positions=self.positions)
        editor = Editor(self.batch, {"sender": self.source}, self.anatomy, self._rows, 0, self.batch.length)
        width = editor.width(edit)
        moved = editor.changed(old[..., width], edit, self._rows) - old[..., width]
        if sender.part != "z":
            return moved
        block = self.anatomy.blocks[sender.layer]
        out = moved @ block.W_O[width]
        if not block.attn_post:
            return out
        # A norm after the attention sees all heads at once, so the change is taken after the norm.
        raw = self.clean.at(sender.layer, "attn_raw")  # type: ignore[arg-type]
        return through(block.attn_post, raw + out) - through(block.attn_post, raw)


def all_edges(senders: Sequence[Site], receivers: Sequence[tuple[Site, Through]], anatomy: Anatomy) -> list[Edge]:
    """Every pair in which the receiver comes after the sender, sender by sender."""
    return [Edge(s, r, by) for s in senders for r, by in receivers if follows(anatomy, r, s)]
