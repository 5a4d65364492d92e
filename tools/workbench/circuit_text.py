"""A circuit as text for a terminal or a language model: its parts from the first layer to the last, each with the
strongest edges into it and out of it. It has at most LINES lines; what is left out is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ...db.records import Circuit, CircuitEdge, CircuitSummary
from ...experiments.edge_names import parts_of, reader_of
from ..report.numbers import value_text

LINES, AT_PART = 38, 2
# In the answer of an experiment: between so many lines.
FEW, SOME = 4, 14


def circuit_text(circuit: Circuit, all_by: str, most: int = LINES) -> list[str]:
    """`all_by` is the call that shows all edges."""
    lines = heading(circuit)
    return lines + part_lines(circuit, all_by, most - len(lines))


def heading(circuit: Circuit) -> list[str]:
    """What it is, how it was found, how large it is, and what a share means."""
    lines = [circuit_line(circuit), how_found(circuit), how_large(circuit)]
    lines += [f"Of its edges, only the strongest {len(circuit.edges):,} are stored."] if not circuit.whole else []
    lines.append("A share is the change without the edge: -0.30 if 30% of the difference is lost. ~: estimated.")
    return lines


def circuit_line(circuit: Circuit | CircuitSummary) -> str:
    return f"{circuit.id}: a circuit of {circuit.model} for {circuit.task or 'no task'}, from {circuit.experiment}"


def how_found(circuit: Circuit | CircuitSummary) -> str:
    return (
        f"Found by {circuit.method}, {circuit.ranking} ranking, metric {circuit.metric}; the other edges are "
        f"{circuit.replacement}."
    )


def how_large(circuit: Circuit | CircuitSummary) -> str:
    """Its size and its faithfulness."""
    size, parts = circuit.size, len(circuit.members)
    words = f"{size:,} of {circuit.possible:,} edges ({100 * size / circuit.possible:.2g}%), {parts} parts"
    if circuit.faithfulness is None:
        return f"{words}."
    share = value_text(circuit.faithfulness, circuit.low, circuit.high)
    return f"{words}; faithfulness {share} on the {circuit.n} prompts that it was found on."


def with_parts(text: str, circuits: Sequence[Circuit], most: int) -> str:
    """The text of an experiment with the parts of its circuits, as many as fit into `most` characters."""
    for circuit in circuits:
        sql = "SELECT sender, receiver, share FROM circuit_edges WHERE circuit = "
        sql += f"{circuit.id[1:]} ORDER BY abs(share) DESC"
        all_by = f"query_tracker {json.dumps({'sql': sql})}"
        for count in range(SOME, FEW - 1, -1):
            lines = [f"{circuit.id} by part (share of the difference that changes without the edge):"]
            longer = "\n".join([text, *lines, *part_lines(circuit, all_by, count)])
            if len(longer) <= most:
                text = longer
                break
    return text


def part_lines(circuit: Circuit, all_by: str, most: int) -> list[str]:
    """At most `most` lines: those of the parts with the strongest edges, from the first layer to the last, and one that
    counts the edges left out."""
    order = [part for edge in circuit.edges for part in ends(edge)]
    chosen = set(list(dict.fromkeys(order))[: most - 1])
    shown = set[CircuitEdge]()
    lines = list[str]()
    for part in parts_of((edge.sender, edge.receiver) for edge in circuit.edges):
        if part not in chosen:
            continue
        reads = [edge for edge in circuit.edges if reader_of(edge.receiver)[0] == part]
        writes = [edge for edge in circuit.edges if edge.sender == part]
        said = [_said("reads", reads, _read), _said("writes to", writes, lambda edge: edge.receiver)]
        lines.append(f"  {part}: {'; '.join(text for text in said if text)}")
        shown |= {*reads[:AT_PART], *writes[:AT_PART]}
    left = circuit.size - len(shown)
    if left:
        lines.append(f"and {left:,} more edge{'s' * (left != 1)}; all: {all_by}")
    return lines


def edge_lines(circuit: Circuit) -> list[str]:
    """All edges, the strongest first."""
    return [f"  {edge.text} {share_text(edge)}" for edge in circuit.edges]


def ends(edge: CircuitEdge) -> tuple[str, str]:
    return edge.sender, reader_of(edge.receiver)[0]


def share_text(edge: CircuitEdge) -> str:
    """The share with its sign; ~ marks an estimate."""
    small = edge.share and abs(edge.share) < 0.005
    return f"{'' if edge.measured else '~'}{edge.share:{'+.0e' if small else '+.2f'}}"


def _read(edge: CircuitEdge) -> str:
    by = reader_of(edge.receiver)[1]
    return f"{by} {edge.sender}" if by else edge.sender


def _said(does: str, edges: Sequence[CircuitEdge], named: Callable[[CircuitEdge], str]) -> str:
    if not edges:
        return ""
    more = len(edges) - AT_PART
    said = ", ".join(f"{named(edge)} {share_text(edge)}" for edge in edges[:AT_PART])
    return f"{does} {said}" + (f" and {more} more" if more > 0 else "")
