"""The names of edges, read without a model: which part reads through a receiver, and where a part lies.

A head reads by its queries, keys and values. Keys and values that several heads share are a part of their own, such as
L3.KV0. A model computes the parts of a layer in this order: shared keys and values, heads, the MLP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_HEAD_READS = re.compile(r"(L\d+\.H\d+)\.([qkv])")
_KV_READS = re.compile(r"(L\d+)\.([KV])(\d+)")
_PART = re.compile(r"L(\d+)\.(KV|H|mlp)(\d*)")
_ROWS = {"KV": 0, "H": 1, "mlp": 2}
# After the last layer of any model.
LAST = 1_000_000


class Place(NamedTuple):
    """Where a part lies: embeddings in layer -1, logits after all layers; `row` is its place within the layer."""

    layer: int
    row: int
    number: int


def reader_of(receiver: str) -> tuple[str, str]:
    """The part that reads, and how: L3.H1.k -> (L3.H1, k), L3.K0 -> (L3.KV0, k), L3.mlp -> (L3.mlp, "")."""
    if found := _HEAD_READS.fullmatch(receiver):
        return found[1], found[2]
    if found := _KV_READS.fullmatch(receiver):
        return f"{found[1]}.KV{found[3]}", found[2].lower()
    return receiver, ""


def place_of(part: str) -> Place:
    if found := _PART.fullmatch(part):
        return Place(int(found[1]), _ROWS[found[2]], int(found[3] or 0))
    return Place(LAST if part == "logits" else -1, 0, 0)


def parts_of(edges: Iterable[tuple[str, str]]) -> list[str]:
    """The parts at the ends of edges (sender, receiver), in the order in which a model computes them."""
    found = {part for sender, receiver in edges for part in (sender, reader_of(receiver)[0])}
    return sorted(found, key=lambda part: (place_of(part), part))


def without_edges(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as a reader sees it: the id of a stored circuit stands for its edges, which may be thousands."""
    return {name: value for name, value in config.items() if name != "edges" or not config.get("circuit")}


def canonical(receiver: str, shared: int) -> str:
    """The receiver's own name where `shared` heads have the same keys and values: L3.H5.k is L3.K1 if there are 3."""
    if (found := _HEAD_READS.fullmatch(receiver)) and found[2] != "q" and shared > 1:
        layer, _, head = found[1].partition(".H")
        return f"{layer}.{found[2].upper()}{int(head) // shared}"
    if (found := _KV_READS.fullmatch(receiver)) and shared == 1:
        return f"{found[1]}.H{found[3]}.{found[2].lower()}"
    return receiver
