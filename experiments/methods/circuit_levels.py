"""What a circuit keeps: single edges, or whole parts with all edges between them.

A part's estimated effect is the sum over the edges that leave it: all that it writes is replaced, and the slopes at its
receivers add up to the slope at what it writes. So the same estimates serve both levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from .. import engine
from ..engine.graph import EMBEDDINGS, sender_name
from .circuits import order_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine.graph import Graph
    from ..statistics.intervals import Array
    from .circuit_settings import Level, Ranking


class Kept(Protocol):
    """An item is an edge or a part; `unit` its name in a sentence."""

    @property
    def unit(self) -> str: ...

    @property
    def size(self) -> int: ...

    def order(self, mean: Array, gap: float, ranking: Ranking) -> list[Any]:
        """The items, the most important first, from the mean changes if each edge is replaced [sender, receiver]."""
        ...

    def name(self, item: Any) -> str: ...

    def circuit(self, items: Sequence[Any]) -> Tensor:
        """The edges [sender, receiver] of a circuit that keeps these."""
        ...

    def without(self, item: Any) -> Tensor:
        """All edges [sender, receiver] but those of the item."""
        ...

    def change(self, changes: Array, item: Any) -> Array:
        """changes [n, sender, receiver] -> the estimated change if the item is replaced, [n]."""
        ...


def level_of(graph: Graph, level: Level) -> Kept:
    return Edges(graph) if level == "edge" else Parts(graph)


@dataclass(frozen=True)
class Edges:
    graph: Graph
    unit: str = "edge"

    @property
    def size(self) -> int:
        return self.graph.size

    def order(self, mean: Array, gap: float, ranking: Ranking) -> list[tuple[int, int]]:
        return order_of(self.graph, mean, gap, ranking)

    def name(self, item: tuple[int, int]) -> str:
        return self.graph.edge(*item)

    def circuit(self, items: Sequence[tuple[int, int]]) -> Tensor:
        return engine.top(self.graph, items, len(items))

    def without(self, item: tuple[int, int]) -> Tensor:
        mask = self.graph.after.clone()
        mask[item] = False
        return mask

    def change(self, changes: Array, item: tuple[int, int]) -> Array:
        return changes[:, item[0], item[1]]


@dataclass(frozen=True)
class Parts:
    """The heads and MLPs. The embeddings belong to every circuit."""

    graph: Graph
    unit: str = "part"

    @property
    def size(self) -> int:
        return len(self.graph.readers)

    def order(self, mean: Array, gap: float, ranking: Ranking) -> list[int]:
        lost = -mean.sum(1) * np.sign(gap)
        value = np.abs(lost) if ranking == "absolute" else lost
        return sorted(self.graph.readers, key=lambda part: (-value[part], part))

    def name(self, item: int) -> str:
        return sender_name(self.graph.senders[item])

    def circuit(self, items: Sequence[int]) -> Tensor:
        senders = torch.zeros(len(self.graph.senders), dtype=torch.bool)
        senders[[*items, self.graph.senders.index(EMBEDDINGS)]] = True
        receivers = torch.zeros(len(self.graph.receivers), dtype=torch.bool)
        receivers[[-1, *(reader for item in items for reader in self.graph.readers[item])]] = True
        return self.graph.after & senders[:, None] & receivers

    def without(self, item: int) -> Tensor:
        mask = self.graph.after.clone()
        mask[item] = False
        return mask

    def change(self, changes: Array, item: int) -> Array:
        return changes[:, item].sum(-1)
