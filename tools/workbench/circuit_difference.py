"""What two stored circuits share: of two tasks, two methods, or two models of the same shape.

p compares with chance: how often two random sets of as many edges, out of all edges of the model, share so many. Some
edges belong to most circuits (`embed -> L0.mlp`), so a small p shows only that the two are not unrelated.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Circuit, CircuitEdge
from ..refusals import refused
from .difference import Setting

SHAPE = ("n_layers", "n_heads", "n_kv_heads", "block")


class SharedEdge(NamedTuple):
    """An edge of both, with its share in each."""

    edge: str
    shares: list[float]


class CircuitDifference(NamedTuple):
    """`only` are the edges of each that the other lacks. `jaccard` is the share that both have of the edges of either.
    It is None, as is p, if not all edges of both are stored."""

    ids: list[str]
    settings: list[Setting]
    sizes: list[int]
    possible: int
    shared: list[SharedEdge]
    only: list[list[CircuitEdge]]
    jaccard: float | None
    p: float | None


def circuit_difference(reader: Reader, one: int, other: int) -> CircuitDifference:
    """Raises NoSuchId, and ToolError for two models of different shapes."""
    pair = reader.circuit(one), reader.circuit(other)
    shapes = [shape_of(reader, circuit) for circuit in pair]
    if shapes[0] != shapes[1]:
        a, b = pair
        raise refused("other_shape", one=a.id, model=a.model, other=b.id, other_model=b.model)
    edges = [{edge.text: edge for edge in circuit.edges} for circuit in pair]
    both = [name for name in edges[0] if name in edges[1]]
    whole = pair[0].whole and pair[1].whole
    return CircuitDifference(
        ids=[circuit.id for circuit in pair],
        settings=[Setting(name, [a, b]) for name, a, b in zip(about(), about(pair[0]), about(pair[1]), strict=True)
                  if a != b],
        sizes=[circuit.size for circuit in pair],
        possible=pair[0].possible,
        shared=[SharedEdge(name, [own[name].share for own in edges]) for name in both],
        only=[[edge for name, edge in own.items() if name not in theirs] for own, theirs in (edges, edges[::-1])],
        jaccard=len(both) / len(edges[0].keys() | edges[1].keys()) if whole else None,
        p=by_chance(len(both), pair[0].size, pair[1].size, pair[0].possible) if whole else None,
    )  # fmt: skip


def by_chance(shared: int, one: int, other: int, possible: int) -> float:
    """The probability that random sets of `one` and of `other` edges out of `possible` share at least `shared`."""
    stats: Any = import_module("scipy.stats")
    return float(stats.hypergeom.sf(shared - 1, possible, one, other))


def shape_of(reader: Reader, circuit: Circuit) -> tuple[object, ...]:
    """What models must have in common so that an edge means the same in both."""
    anatomy = reader.experiment(parse_id(circuit.experiment)[1]).subject.anatomy
    return circuit.possible, *(anatomy.get(name) for name in SHAPE)


def about(circuit: Circuit | None = None) -> tuple[str, ...]:
    """The settings of a circuit; without one, their names."""
    if circuit is None:
        return "model", "weights", "task", "method", "ranking", "replacement", "metric"
    return (circuit.model, circuit.fingerprint[:12], circuit.task or "", circuit.method, circuit.ranking,
            circuit.replacement, circuit.metric)  # fmt: skip
