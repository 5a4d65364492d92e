"""The graph of a model: which part reads what which other part wrote.

Every part writes into one stream, and every later part reads the sum of what was written before it. So there is an edge
from each sender (the embeddings, a head, an MLP) to each receiver after it: the queries of a head, the keys or values
of a KV head, the input of an MLP, or the logits. An edge is written `L1.H2 -> L3.H1.k`; keys and values that several
heads share belong to the KV head, as in `L1.H2 -> L3.K0`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..model.anatomy import Anatomy
from ..sites import Site, head

Reading = Literal["q", "k", "v", "mlp", "logits"]
EMBED, LOGITS, ARROW = "embed", "logits", " -> "
EMBEDDINGS = Site(layer=0, part="resid_pre")
HEAD_READS = re.compile(r"^(L\d+)\.H(\d+)\.([qkv])$")
KV_READS = re.compile(r"^(L\d+)\.([KV])(\d+)$")


@dataclass(frozen=True)
class Receiver:
    """What reads the stream: `index` is a head for q, a KV head for k and v, None otherwise."""

    layer: int
    by: Reading
    index: int | None
    name: str


@dataclass(frozen=True)
class Graph:
    """senders and receivers in the order in which a model computes them.

    after   [sender, receiver] of bool: whether there is an edge
    """

    senders: tuple[Site, ...]
    receivers: tuple[Receiver, ...]
    after: Tensor
    # How many heads share each KV head, by layer.
    shared: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of edges."""
        return int(self.after.sum())

    @cached_property
    def numbers(self) -> tuple[dict[str, int], dict[str, int]]:
        """The places of senders and receivers by name."""
        return ({sender_name(s): i for i, s in enumerate(self.senders)},
                {r.name: i for i, r in enumerate(self.receivers)})  # fmt: skip

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """The receivers that belong to each head (its queries, keys and values) and to each MLP (its input)."""
        found: dict[int, list[int]] = {}
        for i, sender in enumerate(self.senders):
            if sender == EMBEDDINGS:
                continue
            kv = 0 if sender.index is None else sender.index // max(1, self.shared[sender.layer])
            found[i] = [
                j for j, r in enumerate(self.receivers)
                if r.layer == sender.layer and r.by != "logits"
                and ((sender.part == "mlp_out") == (r.by == "mlp"))
                and (r.by == "mlp" or r.index == (sender.index if r.by == "q" else kv))
            ]  # fmt: skip
        return found

    def edge(self, sender: int, receiver: int) -> str:
        return f"{sender_name(self.senders[sender])}{ARROW}{self.receivers[receiver].name}"

    def edges(self, mask: Tensor) -> list[str]:
        """The names of the edges of a mask [sender, receiver], by sender and receiver."""
        return [self.edge(s, r) for s, r in mask.nonzero().tolist()]

    def mask(self, edges: Iterable[str]) -> Tensor:
        """The edges by name as a mask [sender, receiver]. Raises BadConfiguration for an edge that does not exist."""
        mask = torch.zeros_like(self.after)
        for text in edges:
            sender, receiver = self.parse(text)
            mask[sender, receiver] = True
        return mask

    def parse(self, text: str) -> tuple[int, int]:
        """'L1.H2 -> L3.H1.k' as places. Raises BadConfiguration."""
        senders, receivers = self.numbers
        ends = [part.strip() for part in text.split(ARROW.strip())]
        if len(ends) != 2:
            raise BadConfiguration(
                f"'{text}' is not an edge. Write L1.H2 -> L3.H1.k, embed -> L0.mlp or L3.mlp -> logits."
            )
        sender = senders.get(EMBED if ends[0] == str(EMBEDDINGS) else ends[0])
        receiver = receivers.get(self.canonical(ends[1]))
        if sender is None:
            raise BadConfiguration(
                f"{ends[0]} is not a sender of this model. Use embed, a head (L1.H2) or an MLP (L1.mlp)."
            )
        if receiver is None:
            raise BadConfiguration(
                f"{ends[1]} is not a receiver of this model. Use a head's queries, keys or values (L3.H1.q), an MLP "
                "(L3.mlp) or logits."
            )
        if not self.after[sender, receiver]:
            raise BadConfiguration(f"{ends[1]} comes before {ends[0]}, so there is no edge. Name a later receiver.")
        return sender, receiver

    def canonical(self, name: str) -> str:
        """The receiver's own name: L3.H5.k is L3.K1 where heads share keys, and L3.K1 is L3.H1.k where they do not."""
        if found := HEAD_READS.match(name):
            layer, index, by = int(found[1][1:]), int(found[2]), found[3]
            if by != "q" and layer < len(self.shared) and self.shared[layer] > 1:
                return f"{found[1]}.{by.upper()}{index // self.shared[layer]}"
        elif (found := KV_READS.match(name)) and self.shared[int(found[1][1:]) :][:1] == (1,):
            return f"{found[1]}.H{found[3]}.{found[2].lower()}"
        return name

    def pruned(self, mask: Tensor) -> Tensor:
        """The edges of a mask that lie on a path from the embeddings to the logits."""
        mask, readers = mask & self.after, self.readers
        reached = torch.zeros(len(self.senders), dtype=torch.bool, device=mask.device)
        for s, sender in enumerate(self.senders):
            reached[s] = sender == EMBEDDINGS or bool((mask[:, readers[s]] & reached[:, None]).any())
        mask = mask & reached[:, None]
        used = torch.zeros(len(self.receivers), dtype=torch.bool, device=mask.device)
        used[-1] = True
        for s in reversed(range(len(self.senders))):
            # All that reads the sender is later, so it is settled.
            if s in readers and bool((mask[s] & used).any()):
                used[readers[s]] = True
        return mask & used

    def members(self, mask: Tensor) -> list[str]:
        """The parts at the ends of the edges of a mask: senders, and the heads and MLPs that receive."""
        inside = {s for s in range(len(self.senders)) if bool(mask[s].any())}
        inside |= {s for s, reads in self.readers.items() if bool(mask[:, reads].any())}
        return [sender_name(self.senders[s]) for s in sorted(inside)]


def sender_name(sender: Site) -> str:
    return EMBED if sender == EMBEDDINGS else str(sender)


def graph_of(anatomy: Anatomy) -> Graph:
    """The graph of a model. Raises UnsupportedModel if its stream is not the sum of what its parts write."""
    anatomy.require_sum()
    senders = [EMBEDDINGS, *components(anatomy)]
    receivers: list[Receiver] = []
    for layer, block in enumerate(anatomy.blocks):
        shared = block.n_heads // max(1, block.n_kv_heads)
        receivers += [Receiver(layer, "q", h, f"L{layer}.H{h}.q") for h in range(block.n_heads)]
        for by in ("k", "v"):
            receivers += [
                Receiver(layer, by, i, f"L{layer}.H{i}.{by}" if shared == 1 else f"L{layer}.{by.upper()}{i}")
                for i in range(block.n_kv_heads)
            ]
        receivers += [Receiver(layer, "mlp", None, f"L{layer}.mlp")] if block.has_mlp else []
    receivers.append(Receiver(anatomy.n_layers - 1, "logits", None, LOGITS))
    after = torch.tensor([[comes_after(anatomy, r, s) for r in receivers] for s in senders])
    shares = tuple(b.n_heads // max(1, b.n_kv_heads) for b in anatomy.blocks)
    return Graph(tuple(senders), tuple(receivers), after, shares)


def components(anatomy: Anatomy) -> list[Site]:
    """Layer by layer, the heads and then the MLP."""
    found: list[Site] = []
    for layer, block in enumerate(anatomy.blocks):
        found += [head(layer, h) for h in range(block.n_heads)]
        found += [Site(layer=layer, part="mlp_out")] if block.has_mlp else []
    return found


def comes_after(anatomy: Anatomy, receiver: Receiver, sender: Site) -> bool:
    if receiver.by == "logits":
        return True
    return follows(anatomy, Site(layer=receiver.layer, part="mlp_out" if receiver.by == "mlp" else "z"), sender)


def follows(anatomy: Anatomy, receiver: Site, sender: Site) -> bool:
    """Whether the receiver (a head, an MLP or the last stream) reads a stream that the sender has written to."""
    if sender == EMBEDDINGS or receiver.part == "resid_post":
        return True
    same = receiver.layer == sender.layer and receiver.part == "mlp_out" and sender.part == "z"
    return receiver.layer > sender.layer or (same and not anatomy.blocks[sender.layer].parallel)


def ranked(graph: Graph, scores: Tensor, absolute: bool = True) -> list[tuple[int, int]]:
    """The edges from the highest score [sender, receiver] to the lowest: by size, or by value (`absolute` false)."""
    places = graph.after.nonzero()
    values = scores[places[:, 0], places[:, 1]]
    order = torch.argsort(values.abs() if absolute else values, descending=True, stable=True)
    return [(int(s), int(r)) for s, r in places[order].tolist()]


def top(graph: Graph, order: Sequence[tuple[int, int]], count: int) -> Tensor:
    """The mask [sender, receiver] of the first `count` edges of an order."""
    mask = torch.zeros_like(graph.after)
    if count:
        chosen = torch.tensor(order[:count])
        mask[chosen[:, 0], chosen[:, 1]] = True
    return mask
