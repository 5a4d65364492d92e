"""Whether a stored circuit contains an edge: "C1 contains L1.H2 -> L3.H1.k"."""

from __future__ import annotations

import re

from ...db.records import Circuit, Json
from ...experiments.edge_names import canonical

CONTAINS = re.compile(r"\s*(C\d{1,18})\s+contains\s+(\S+)\s*->\s*(\S+)\s*")


def contains(circuit: Circuit, edge: str, anatomy: Json) -> tuple[bool | None, str]:
    """Whether it contains the edge, and that in words. None if that is unknown, because not all edges are stored."""
    sender, _, receiver = edge.partition(" -> ")
    heads, keys = int(anatomy.get("n_heads") or 1), int(anatomy.get("n_kv_heads") or 1)
    name = f"{sender} -> {canonical(receiver, max(1, heads // max(1, keys)))}"
    found = next((one for one in circuit.edges if one.text == name), None)
    if found is not None:
        how = "measured" if found.measured else "estimated"
        return True, f"{circuit.id} contains {name}, whose share is {found.share:+.3f} ({how})"
    if not circuit.whole:
        return None, f"{name} is not among the strongest {len(circuit.edges)} edges of {circuit.id}, which are stored"
    return False, f"{circuit.id} does not contain {name}"
