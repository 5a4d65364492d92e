"""The page of one circuit: its drawing, its parts, its edges, and the commands that use it."""

from __future__ import annotations

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...tools.report.numbers import number
from ...tools.report.shown import Shown
from ...tools.workbench.circuit_text import how_found, how_large, part_lines
from .figures import drawn

EDGES = 200


def circuit(reader: Reader, of: int) -> tuple[str, Shown]:
    row = reader.circuit(of)
    found_by = reader.experiment(parse_id(row.experiment)[1])
    tested = f"agent experiment circuit_faithfulness --model {row.model} --task {row.task} --circuit {row.id} --seed 1"
    page: Shown = {
        "here": "/experiments",
        "c": row,
        "about": [how_found(row), how_large(row)],
        "figures": [drawn(one, found_by.id, ()) for one in found_by.figures if one.kind == "circuit"],
        "parts_of": [line.strip() for line in part_lines(row, "the table below", 40)],
        "edges": [(edge.text, number(edge.share), edge.measured) for edge in row.edges[:EDGES]],
        "more": row.size - min(EDGES, len(row.edges)),
        "commands": [
            ("Test it on other prompts", tested),
            ("Export it as a graph", f"agent export {row.id} --format networkx"),
        ],
    }
    return "circuit.html.j2", page
