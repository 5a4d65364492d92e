"""The drawing of a circuit as data: its strongest edges, and the parts at their ends by layer."""

from __future__ import annotations

from collections.abc import Sequence

from ..edge_names import parts_of, place_of, reader_of
from ..result import Circuit, CircuitEdge, Figure

# So many edges can be followed by eye. A mark names the strongest edges of its part.
DRAWN, NAMED = 60, 6


def circuit_figure(circuit: Circuit, title: str, unit: str, n: int, shared: Sequence[int] = ()) -> Figure:
    """The figure of a circuit whose edges are sorted by strength; `shared` is how many heads share keys, by layer."""
    drawn = circuit.edges[:DRAWN]
    parts = parts_of((edge.sender, edge.receiver) for edge in drawn)
    places = {part: i for i, part in enumerate(parts)}
    nodes = [
        {
            "name": part,
            "row": list(place_of(part)[:2]),
            "reads": listed([(f"{e.sender}{by(e)}", e) for e in circuit.edges if reads(e) == part]),
            "writes": listed([(e.receiver, e) for e in circuit.edges if e.sender == part]),
        }
        for part in parts
    ]
    data = {
        "nodes": nodes,
        "edges": [[places[edge.sender], places[reads(edge)], reader_of(edge.receiver)[1], edge.share, edge.measured]
                  for edge in drawn],
        "shared": [[places[kv], places[part]] for kv in parts for part in parts if through(part, kv, shared)],
        "size": circuit.size,
        "parts": len(circuit.members),
    }  # fmt: skip
    return Figure(name="circuit", kind="circuit", title=title, unit=unit, n=n, data=data)


def reads(edge: CircuitEdge) -> str:
    return reader_of(edge.receiver)[0]


def by(edge: CircuitEdge) -> str:
    """How a head reads: " by k"."""
    how = reader_of(edge.receiver)[1]
    return f" by {how}" if how else ""


def through(part: str, kv: str, shared: Sequence[int]) -> bool:
    """Whether a head reads through these shared keys and values."""
    head, keys = place_of(part), place_of(kv)
    if head.layer != keys.layer or head.row != 1 or keys.row != 0 or not 0 <= head.layer < len(shared):
        return False
    return head.number // shared[head.layer] == keys.number


def listed(edges: Sequence[tuple[str, CircuitEdge]]) -> str:
    """The edges of one part, each by what is at its other end, with their shares; the rest counted."""
    more = len(edges) - NAMED
    said = ", ".join(f"{name} {share_text(edge)}" for name, edge in edges[:NAMED])
    return said + (f" and {more} more" if more > 0 else "")


def share_text(edge: CircuitEdge) -> str:
    """The share with its sign; ~ marks an estimate."""
    small = edge.share and abs(edge.share) < 0.005
    return f"{'' if edge.measured else '~'}{edge.share:{'+.0e' if small else '+.2f'}}"
