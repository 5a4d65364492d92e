"""How circuits look in a terminal: a list, one circuit, and two side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ....db.records import Circuit, CircuitEdge, CircuitSummary
from ....tools.report.numbers import p_text
from ....tools.workbench.circuit_difference import CircuitDifference
from ....tools.workbench.circuit_text import circuit_text, edge_lines, heading, how_large
from .diff import print_settings
from .style import indented, number, on, one_row, plain, print_heading, print_title, table

MOST = 12  # how many edges of each sort fit on a screen


def print_circuits(console: Console, rows: Sequence[CircuitSummary]) -> None:
    """Two rows per circuit: where it is from, and how large it is, cut to the width of the terminal."""
    for row in rows:
        about = f"{row.id:<4} {on(row.model, row.task, row.method)} · {row.experiment}"
        console.print(one_row(about, console.width, "bold"))
        console.print(one_row(f"     {how_large(row)}", console.width))


def print_circuit(console: Console, circuit: Circuit, everything: bool = False) -> None:
    brief = circuit_text(circuit, f"agent show {circuit.id} --all")
    first, *rest = [*heading(circuit), *edge_lines(circuit)] if everything else brief
    console.print(plain(first, "bold"), soft_wrap=True)
    for line in rest:
        console.print(plain(line), soft_wrap=True)


def print_circuit_difference(console: Console, found: CircuitDifference, everything: bool = False) -> None:
    one, other = found.ids
    print_title(console, f"{one} and {other}")
    print_settings(console, found.ids, found.settings)
    print_heading(console, "Edges")
    alone = [len(edges) for edges in found.only]
    console.print(indented(
        f"Shared: {len(found.shared):,}. Only in {one}: {alone[0]:,}. Only in {other}: {alone[1]:,}. "
        f"Edges of the model: {found.possible:,}."
    ))  # fmt: skip
    if found.jaccard is None or found.p is None:
        sizes = " and ".join(f"{size:,}" for size in found.sizes)
        console.print(indented(f"Not all edges are stored (they have {sizes}), so neither a Jaccard index nor p."))
    else:
        chance = "two random sets of as many edges share at least so many"
        p = p_text(found.p) if found.p else "below 1e-300"
        console.print(indented(f"Jaccard index {number(found.jaccard)}; p {p} that {chance}."))
    most = None if everything else MOST
    if found.shared:
        print_heading(console, f"Shared, strongest first{_of(len(found.shared), most)}")
        strongest = sorted(found.shared, key=lambda row: -max(map(abs, row.shares)))[:most]
        rows = [(row.edge, *map(number, row.shares)) for row in strongest]
        console.print(table(("~edge", f">{one}", f">{other}"), rows))
    for id, edges in zip(found.ids, found.only, strict=True):
        _only(console, id, edges, most)


def _only(console: Console, id: str, edges: Sequence[CircuitEdge], most: int | None) -> None:
    if edges:
        print_heading(console, f"Only in {id}, strongest first{_of(len(edges), most)}")
        console.print(table(("~edge", ">share"), [(edge.text, number(edge.share)) for edge in edges[:most]]))


def _of(count: int, most: int | None) -> str:
    return "" if most is None or count <= most else f" ({most} of {count:,}; --all shows all)"
