"""A stored circuit for other programs: as JSON, as GraphViz text, and as the node-link JSON of networkx.

In a graph, the nodes are parts and each edge says how the receiver reads (q, k, v). Keys and values that several heads
share are a node of their own, with an edge to each of these heads, so paths lead through them.
"""

from __future__ import annotations

import json
from typing import Any

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Circuit, as_json
from ...experiments.edge_names import parts_of, place_of, reader_of

SHARED = "shared"


def exported(reader: Reader, number: int, form: str) -> str:
    """The circuit as json, dot or networkx."""
    circuit = reader.circuit(number)
    if form == "json":
        return json.dumps(as_json(circuit), indent=2)
    anatomy = reader.experiment(parse_id(circuit.experiment)[1]).subject.anatomy
    heads, keys = int(anatomy.get("n_heads") or 1), int(anatomy.get("n_kv_heads") or 1)
    nodes, edges = graph_of(circuit, max(1, heads // keys))
    if form == "dot":
        return as_dot(circuit, nodes, edges)
    about = {name: value for name, value in as_json(circuit).items() if name not in ("edges", "members")}
    graph = {"directed": True, "multigraph": True, "graph": about, "nodes": nodes, "edges": edges}
    return json.dumps(graph, indent=2)


def graph_of(circuit: Circuit, sharing: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The nodes and edges of a graph; `sharing` heads have the same keys and values."""
    parts = parts_of((edge.sender, edge.receiver) for edge in circuit.edges)
    nodes: list[dict[str, Any]] = [{"id": part, "layer": layer_of(part)} for part in parts]
    edges: list[dict[str, Any]] = []
    for edge in circuit.edges:
        target, by = reader_of(edge.receiver)
        edges.append({"source": edge.sender, "target": target, "key": by, "receiver": edge.receiver,
                      "share": edge.share, "measured": edge.measured})  # fmt: skip
    for keys in (part for part in parts if ".KV" in part):
        at = place_of(keys)
        for head in parts:
            place = place_of(head)
            if (place.layer, place.row) == (at.layer, 1) and place.number // sharing == at.number:
                edges.append({"source": keys, "target": head, "key": SHARED, "receiver": head, "share": None,
                              "measured": False})  # fmt: skip
    return nodes, edges


def layer_of(part: str) -> int | None:
    """None for the embeddings and the logits."""
    return None if part in ("embed", "logits") else place_of(part).layer


def as_dot(circuit: Circuit, nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> str:
    largest = max(abs(edge.share) for edge in circuit.edges) or 1.0
    lines = [f"digraph {circuit.id} {{", "  rankdir=BT; node [shape=box, style=rounded];"]
    lines.append(f"  label={quoted(f'{circuit.id}: {circuit.model}, {circuit.task} ({circuit.method})')};")
    by_layer: dict[int | None, list[str]] = {}
    for node in nodes:
        by_layer.setdefault(node["layer"], []).append(quoted(node["id"]))
    for layer, names in by_layer.items():
        if layer is None:
            lines += [f"  {name};" for name in names]
        else:
            lines.append(f"  subgraph layer_{layer} {{ {'; '.join(names)} }}")
    for edge in edges:
        ends = f"  {quoted(edge['source'])} -> {quoted(edge['target'])}"
        if edge["key"] == SHARED:
            lines.append(f"{ends} [style=dotted, arrowhead=none];")
            continue
        share = edge["share"]
        drawn = {"label": edge["key"], "tooltip": f"{share:+.3f}", "color": "#4393c3" if share < 0 else "#d6604d",
                 "penwidth": f"{0.5 + 3.5 * abs(share) / largest:.2f}",
                 "style": "solid" if edge["measured"] else "dashed"}  # fmt: skip
        lines.append(f"{ends} [{', '.join(f'{name}={quoted(value)}' for name, value in drawn.items())}];")
    return "\n".join([*lines, "}"])


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
