"""Circuits: which edges of a model carry the difference between two runs, and how much of it a set of edges carries.

Faithfulness is the share of the whole: (m - m_none) / (m_all - m_none), where m is the metric with only the circuit's
edges intact (MIB, arXiv 2504.13151). It depends on what replaces the others (arXiv 2407.08734), so the replacement is
always named.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import engine
from ..engine.edges import edge_attribution
from ..engine.graph import Graph
from ..errors import BadConfiguration
from ..lab import INTACT, numbers
from ..metrics import unit_of
from ..result import Measurement
from ..statistics.recovery import Scale

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine.activations import CleanRun
    from ..engine.circuit_run import Replaced, Wiring
    from ..engine.readout import Readout
    from ..engine.writing import Written
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..tasks.corrupted_prompts import CorruptedPrompts
    from .circuit_settings import Method, Ranking, Replacement

PARTS = ("resid_pre", "z", "attn_out", "mlp_out")
# The sizes of MIB, as shares of all edges.
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# exact and acdc run the model once for each edge.
MOST_RUNS = 5000


@dataclass(frozen=True)
class Prepared:
    """Two runs over the same prompts, ready for circuits. `scale` has the metric with all edges and with none."""

    lab: Lab
    wired: Wiring
    pair: CorruptedPrompts
    clean: CleanRun
    own: Written
    other: Written
    between: Replaced
    readout: Readout
    metric: str
    scale: Scale
    identity: Measurement

    @property
    def graph(self) -> Graph:
        return self.wired.graph

    def run(self, doing: str, masks: Sequence[Tensor], prune: bool = True) -> Array:
        """The metric under each circuit, [circuit, n]."""
        found = engine.run_circuits(
            self.wired, self.pair.clean, masks, self.between, self.readout, self.lab.steps(doing), prune
        )
        return numbers(found[self.metric])

    def carried(self, values: Array) -> Array:
        """The metric under circuits [circuit, n] -> its change from the model without any edge."""
        return values - self.scale.corrupted

    def estimates(self, steps: int, doing: str) -> Tensor:
        """The estimated change if an edge is replaced, [n, sender, receiver]; `steps` as in `edge_attribution`."""
        return edge_attribution(
            self.wired, self.pair.clean, self.own, self.other, self.readout, self.metric, steps, self.lab.steps(doing)
        )

    def without_each(self, edges: Sequence[tuple[int, int]], circuit: Tensor, doing: str) -> Array:
        """The metric if one edge at a time is taken out of a circuit, [edge, n]."""
        masks = [circuit.clone() for _ in edges]
        for mask, (sender, receiver) in zip(masks, edges, strict=True):
            mask[sender, receiver] = False
        return self.run(doing, masks, prune=False)


def prepare(
    lab: Lab, pair: CorruptedPrompts, metric: str, replacement: Replacement, wired: Wiring | None = None
) -> Prepared:
    """Raises BadConfiguration if the model with all edges and with none do not differ, and UnsupportedModel."""
    wired = wired or engine.wiring(lab.subject)
    batch, readout = pair.clean, lab.readout(metric, pair.clean)
    clean = engine.read(lab.subject, batch, PARTS)
    own = engine.written_in(lab.subject, clean, wired.writings)
    other = replacement_of(lab, pair, wired, replacement)
    between = engine.replaced(wired, clean, own, other)
    whole, none = wired.graph.after, torch.zeros_like(wired.graph.after)
    ends = numbers(engine.run_circuits(wired, batch, [whole, none], between, readout, prune=False)[metric])
    intact = numbers(lab.run("clean prompts", batch, [INTACT], readout)[metric][0])
    off = float(np.abs(ends[0] - intact).max())
    identity = Measurement(name="identity", value=off, n=len(intact), unit=unit_of(metric))
    scale = Scale(metric, ends[0], ends[1], pair.asked)
    scale.require(f"The model with all edges, and the model in which all are replaced ({replacement}),")
    return Prepared(lab, wired, pair, clean, own, other, between, readout, metric, scale, identity)


def replacement_of(lab: Lab, pair: CorruptedPrompts, wired: Wiring, replacement: Replacement) -> Written:
    """What the parts write where an edge is replaced: what they write on the corrupted prompt; the mean of what they
    write on the corrupted prompts of other questions; or nothing."""
    other = engine.read(lab.subject, pair.corrupted, PARTS)
    if replacement == "mean":
        return mean_written(lab, pair, wired, other)
    written = engine.written_in(lab.subject, other, wired.writings)
    if replacement != "zero":
        return written
    return type(written)(
        torch.zeros_like(written.embedded),
        [None if z is None else torch.zeros_like(z) for z in written.z],
        [None if m is None else torch.zeros_like(m) for m in written.mlp],
    )


def mean_written(lab: Lab, pair: CorruptedPrompts, wired: Wiring, run: CleanRun) -> Written:
    """The mean of what the parts write in a run over the questions of these prompts, for each prompt over others."""
    source = engine.mean_source(run, pair.clean)
    values = {key: source.at(*key) for key in run.values if key[1] in PARTS and key[0] < len(wired.writings)}  # type: ignore[arg-type]
    return engine.written_in(lab.subject, type(run)(values), wired.writings)


def require_few(graph: Graph, method: Method) -> None:
    if graph.size > MOST_RUNS:
        raise BadConfiguration(
            f"{method} runs the model once for each edge, and this model has {graph.size}. Use method eap_ig, or a "
            f"model with at most {MOST_RUNS} edges."
        )


def all_edges(graph: Graph) -> list[tuple[int, int]]:
    return [(int(s), int(r)) for s, r in graph.after.nonzero().tolist()]


def exact_changes(prepared: Prepared) -> Array:
    """The change of the metric if an edge is replaced, for each edge by itself, [n, sender, receiver]."""
    require_few(prepared.graph, "exact")
    edges = all_edges(prepared.graph)
    values = prepared.without_each(edges, prepared.graph.after, "each edge by itself")
    found = np.zeros((values.shape[1], *prepared.graph.after.shape))
    for (sender, receiver), value in zip(edges, values, strict=True):
        found[:, sender, receiver] = value - prepared.scale.clean
    return found


def pruned_greedily(prepared: Prepared, threshold: float) -> tuple[Tensor, Array]:
    """ACDC (arXiv 2304.14997): from the logits back, each edge is taken out if that changes the metric by less than a
    share of the whole. The edges that stay, and what taking out each one changed, [n, sender, receiver]."""
    graph = prepared.graph
    require_few(graph, "acdc")
    tell = prepared.lab.steps("edges from the logits back")
    now = prepared.scale.clean
    kept, changes = graph.after.clone(), np.zeros((len(now), *graph.after.shape))
    done = 0
    for receiver in reversed(range(len(graph.receivers))):
        for sender in reversed(range(len(graph.senders))):
            if not graph.after[sender, receiver]:
                continue
            kept[sender, receiver] = False
            found = engine.run_circuits(
                prepared.wired, prepared.pair.clean, [kept], prepared.between, prepared.readout, prune=False
            )
            value = numbers(found[prepared.metric])[0]
            changes[:, sender, receiver] = value - now
            if abs(prepared.scale.mean(changes[:, sender, receiver])) < threshold:
                now = value
            else:
                kept[sender, receiver] = True
            done += 1
        tell(done, graph.size)
    return kept, changes


def order_of(graph: Graph, changes: Array, gap: float, ranking: Ranking) -> list[tuple[int, int]]:
    """The edges, the most important first, from the mean changes if each is replaced [sender, receiver]: by size, or,
    signed, by how much of the difference is lost."""
    lost = torch.from_numpy(-changes * np.sign(gap))
    return engine.ranked(graph, lost, absolute=ranking == "absolute")


def usual_counts(size: int) -> dict[int, float]:
    """The usual sizes of a circuit among so many edges or parts, each once, and the first share that gives it."""
    found: dict[int, float] = {}
    for share in SHARES:
        found.setdefault(max(1, round(share * size)), share)
    return found


def sizes_of(graph: Graph) -> list[tuple[str, int]]:
    """The usual sizes of a circuit: a name for each, and its number of edges."""
    usual = usual_counts(graph.size).items()
    return [(f"{100 * share:g}% ({count} edge{'s' * (count != 1)})", count) for count, share in usual]


def random_circuit(graph: Graph, mask: Tensor, seed: int) -> Tensor:
    """As many other edges, drawn between the same layers into the same kinds of receivers."""
    rng = random.Random(seed)
    groups: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    for s, r in all_edges(graph):
        sender, receiver = graph.senders[s], graph.receivers[r]
        groups.setdefault((sender.layer, sender.part, receiver.layer, receiver.by), []).append((s, r))
    drawn = torch.zeros_like(mask)
    for edges in groups.values():
        count = sum(bool(mask[s, r]) for s, r in edges)
        for s, r in rng.sample(edges, count):
            drawn[s, r] = True
    return drawn


def areas(shares: Sequence[float], faithfulness: Sequence[float]) -> tuple[float, float]:
    """MIB's CPR and CMD: the area under the curve of faithfulness over the share of edges, and the area between it and
    1, by trapezoids (arXiv 2504.13151)."""
    x, y = np.asarray(shares), np.asarray(faithfulness)
    return float(np.trapezoid(y, x)), float(np.trapezoid(np.abs(1 - y), x))
