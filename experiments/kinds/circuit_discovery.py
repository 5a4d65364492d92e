"""Find the edges between parts that carry the difference between a prompt and its corrupted prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.circuit_settings import Level, Method, OnEdges
from ..metrics import require_slope
from ..questions import WHICH_READS_FROM_WHICH
from ..result import MOST_EDGES, Circuit, CircuitEdge, Effect, Measurement, Result

if TYPE_CHECKING:
    from torch import Tensor

    from ..lab import Lab
    from ..methods.circuit_levels import Kept
    from ..methods.circuits import Prepared
    from ..statistics.intervals import Array
    from ..tasks.task import Task

# A circuit that carries so much is large enough, if no number of edges is asked for.
ENOUGH = 0.8
LISTED = 60


class CircuitDiscovery(OnEdges):
    """Which parts talk to which? Ranks the edges of the whole model, and keeps the smallest circuit that carries the
    task.

    An edge is what one part writes and another reads: from the embeddings, a head or an MLP, to a head's queries, keys
    or values, an MLP, or the logits (`L1.H2 -> L3.H1.k`). An edge that is not in the circuit carries what its sender
    writes on the corrupted prompt (or a mean, or nothing). Methods: eap estimates all edges from one backward pass;
    eap_ig averages slopes over `steps` runs, which is much better; exact replaces each edge by itself; acdc takes edges
    out from the logits back, as long as each costs less than `threshold` (exact and acdc: small models). Effects are
    shares of the difference: -0.3 means that 30% is lost without this edge. The strongest are measured exactly
    (recovery, with q); the others are estimates (attribution). `faithfulness` is on the prompts that the circuit was
    found on: circuit_faithfulness tests it on others. With level part, whole heads and MLPs are ranked and kept, with
    all edges between them. Cost: a few passes (eap_ig: for each step), then a run for each
    size tried and each edge verified. Sources: arXiv 2310.10348, 2403.17806, 2304.14997.
    """

    kind: ClassVar[str] = "circuit_discovery"
    later: ClassVar[frozenset[str]] = OnEdges.later | {"level"}
    question: ClassVar[str] = WHICH_READS_FROM_WHICH

    method: Annotated[Method, Field(description="eap, eap_ig, or for small models exact or acdc.")] = "eap_ig"
    level: Annotated[Level, Field(description="Keep single edges, or whole parts.")] = "edge"
    threshold: Annotated[
        float, Field(gt=0, lt=1, description="For acdc: the share of the difference below which an edge is left out.")
    ] = 0.01
    edges: Annotated[
        int | None,
        Field(ge=1, description="How many edges (or parts) to keep. Null: the smallest usual size that carries 80%."),
    ] = None
    compare: Annotated[Method | None, Field(description="A second method, for the agreement of the two.")] = None
    verify: Annotated[int, Field(ge=0, le=200, description="How many of the strongest to measure exactly.")] = 16

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if {self.method, self.compare} & {"eap", "eap_ig"}:
            require_slope(self.metric, "use metric logit_diff, or method exact")
        if self.level == "part" and {self.method, self.compare} & {"exact", "acdc"}:
            raise BadConfiguration("exact and acdc rank edges. With level part, use method eap or eap_ig.")
        if self.level == "part" and self.compare is not None:
            raise BadConfiguration("compare ranks edges. With level part, leave it out and run the other method, too.")

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods.circuit_drawing import circuit_figure
        from ..methods.circuit_levels import level_of
        from ..methods.circuits import prepare
        from ..methods.controls import TOLERANCE, per_prompt
        from ..notes import note
        from ..statistics.intervals import questions_asked
        from ..statistics.recovery import RECOVERY, UNIT, WHOLE
        from ..tasks.corrupted_prompts import corrupted_prompts

        pair = corrupted_prompts(lab, self.draw)
        made = prepare(lab, pair, self.metric, self.replacement)
        graph, scale = made.graph, made.scale
        changes, kept = self.changes(made, self.method)
        mean = changes.mean(0)
        of = level_of(graph, self.level)
        order = of.order(mean, scale.gap, self.ranking)
        if kept is not None:
            # What acdc keeps comes first.
            order = sorted(order, key=lambda edge: not bool(kept[edge]))
        circuit, carried = self.chosen(made, of, order, kept)
        inside = graph.pruned(circuit)
        strongest = order[: min(self.verify, len(order))]
        exact: tuple[Effect, ...] = ()
        values = scale.clean[None]
        if strongest:
            left_out = [of.without(item) for item in strongest]
            values = made.run(f"the strongest {of.unit}s, each by itself", left_out, prune=False)
            exact = scale.effects([of.name(item) for item in strongest], values - scale.clean, family=of.size)
        rest = order[len(strongest) : max(LISTED, len(strongest))]
        guessed: tuple[Effect, ...] = ()
        if rest:
            guesses = np.stack([of.change(changes, item) for item in rest])
            guessed = scale.untested([of.name(item) for item in rest], "attribution", guesses)
        failed = made.identity.value > TOLERANCE
        notes = (
            *pair.notes,
            *((note("identity_failed", metric=self.metric, off=made.identity.value),) if failed else ()),
        )
        faithful = scale.share("faithfulness", carried)
        found = self.stored(made, inside, mean / scale.gap, exact, faithful)
        title = f"Circuit ({self.method}): {lab.subject.name}, {self.task}"
        agreed = self.agreement(made, order) if self.compare is not None else []
        return Result(
            measurements=(
                *scale.measurements(), questions_asked(pair.asked), made.identity,
                faithful,
                Measurement(name="edges", value=graph.size), Measurement(name="kept", value=int(circuit.sum())),
                Measurement(name="on_a_path", value=int(inside.sum())),
                Measurement(name="parts", value=len(graph.members(inside))), *agreed,
            ),
            effects=(*exact, *guessed),
            figures=() if found is None else (circuit_figure(found, title, UNIT, self.n, graph.shared),),
            circuits=() if found is None else (found,),
            found=self.summary(made, circuit, inside, carried, exact),
            notes=notes,
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: np.concatenate([scale.clean[None], values])}, pair.asked),
                    WHOLE: scale.whole, "edges": (mean / scale.gap).astype(np.float32),
                    "circuit": pairs_of(inside)},
        )  # fmt: skip

    def changes(self, made: Prepared, method: Method) -> tuple[Array, Tensor | None]:
        """The change if an edge is replaced, [n, sender, receiver], and for acdc the edges that it keeps."""
        from ..lab import numbers
        from ..methods.circuits import exact_changes, pruned_greedily

        match method:
            case "exact":
                return exact_changes(made), None
            case "acdc":
                kept, changes = pruned_greedily(made, self.threshold)
                return changes, kept
            case "eap":
                return numbers(made.estimates(1, "estimates")), None
            case "eap_ig":
                return numbers(made.estimates(self.steps, "estimates, on the way")), None

    def chosen(self, made: Prepared, of: Kept, order: Sequence[Any], kept: Tensor | None) -> tuple[Tensor, Array]:
        """The circuit [sender, receiver], and the metric with it minus with no edge, [n]."""
        from ..methods.circuits import usual_counts

        if kept is not None and self.edges is None:
            return kept, made.carried(made.run("the circuit", [kept]))[0]
        counts = list(usual_counts(of.size)) if self.edges is None else [min(self.edges, of.size)]
        mask, change = made.graph.after, made.scale.whole
        for count in counts:
            mask = of.circuit(order[:count])
            change = made.carried(made.run(f"the strongest {count} {of.unit}s", [mask]))[0]
            if float(made.scale.mean(change)) >= ENOUGH:
                break
        return mask, change

    def agreement(self, made: Prepared, order: Sequence[tuple[int, int]]) -> list[Measurement]:
        """How the ranks of a second method agree, over all edges and among as many of the strongest as are kept."""
        import numpy as np
        from scipy.stats import hypergeom

        from ..methods.circuits import all_edges, order_of

        assert self.compare is not None
        changes, _ = self.changes(made, self.compare)
        graph = made.graph
        other = order_of(graph, changes.mean(0), made.scale.gap, self.ranking)
        places = [{edge: i for i, edge in enumerate(one)} for one in (order, other)]
        edges = all_edges(graph)
        # Spearman's: each order has every rank once.
        ranks = np.array([[place[edge] for edge in edges] for place in places], dtype=float)
        together = float(np.asarray(np.corrcoef(ranks))[0, 1])
        count = min(graph.size, max(1, min(100, graph.size // 20)))
        shared = len(set(order[:count]) & set(other[:count]))
        p = float(hypergeom.sf(shared - 1, graph.size, count, count))
        return [
            Measurement(name="rank_correlation", value=together, n=graph.size),
            Measurement(name=f"shared_of_top_{count}", value=shared, n=count),
            Measurement(name="shared_p", value=p),
        ]

    def summary(self, made: Prepared, circuit: Tensor, inside: Tensor, carried: Array, exact: Sequence[Effect]) -> str:
        from ..statistics.strongest import largest

        scale, graph = made.scale, made.graph
        share = scale.share("faithfulness", carried)
        parts = graph.members(inside)
        some = ", ".join(parts[:20]) + (f" and {len(parts) - 20} more" if len(parts) > 20 else "")
        words = f"{scale.summary}. Of {graph.size} edges ({self.method}, {self.ranking} ranking), {int(circuit.sum())} "
        words += (
            f"({100 * int(circuit.sum()) / graph.size:.2g}%) carry {share.text} of the difference on these prompts, "
        )
        words += f"with the others from {self.replaced}. {int(inside.sum())} of them lie on a path from the embeddings "
        words += f"to the logits, through {len(parts)} parts: {some}."
        if exact:
            words += f" {self.level.capitalize()}s measured exactly: {largest(exact, ' by recovery', said=scale.said)}."
        return words

    @property
    def replaced(self) -> str:
        return {"corrupted": "the corrupted prompt", "mean": "the mean of other corrupted prompts",
                "zero": "nothing (zero)"}[self.replacement]  # fmt: skip

    def stored(
        self, made: Prepared, inside: Tensor, shares: Array, exact: Sequence[Effect], carried: Measurement
    ) -> Circuit | None:
        """The circuit [sender, receiver] as data, with the share of each edge; None if no edge is on a path."""
        from ..engine.graph import sender_name

        graph, named = made.graph, {one.site: one.value for one in exact}
        run = self.method in ("exact", "acdc")
        edges = [
            CircuitEdge(sender=sender_name(graph.senders[s]), receiver=graph.receivers[r].name,
                        share=named.get(name, float(shares[s, r])), measured=run or name in named)
            for s, r in inside.nonzero().tolist() for name in [graph.edge(s, r)]
        ]  # fmt: skip
        if not edges:
            return None
        edges.sort(key=lambda edge: -abs(edge.share))
        return Circuit(
            method=self.method, ranking=self.ranking, replacement=self.replacement, metric=self.metric,
            size=len(edges), possible=graph.size, members=tuple(graph.members(inside)),
            faithfulness=carried.value, low=carried.low, high=carried.high, n=carried.n,
            edges=tuple(edges[:MOST_EDGES]),
        )  # fmt: skip


def pairs_of(mask: Tensor) -> Array:
    """The edges of a mask as pairs of numbers [edge, 2]: sender and receiver."""
    return mask.nonzero().numpy()
