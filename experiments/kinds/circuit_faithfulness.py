"""Test how much of a task a circuit carries on prompts that it was not found on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.circuit_settings import REPLACEMENTS, OnEdges
from ..metrics import require_slope
from ..questions import WHICH_READS_FROM_WHICH
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine.graph import Graph
    from ..lab import Lab
    from ..methods.circuits import Prepared
    from ..statistics.intervals import Array
    from ..tasks.task import Task

# With more edges than this, they are not left out one by one.
MINIMAL = 60


class CircuitFaithfulness(OnEdges):
    """How much of the task does a circuit carry, on prompts that it was not found on?

    Finds the edges on prompts of the explore split (as circuit_discovery), or takes `edges` or a stored `circuit` (with
    another seed than the one that it was found with), and runs the model on
    other prompts with only these edges intact. faithfulness is the share of the difference that they carry: 0 is the
    model with all edges replaced, 1 the intact one. At ten sizes, from 0.1% to all edges: cpr is the area under the
    curve, cmd the area between it and 1 (MIB, arXiv 2504.13151). Controls: random circuits with as many edges between
    the same layers; `without`, the model without the circuit (0 if it is complete); and the curves with the other
    replacements, because the number depends on what replaces the rest (arXiv 2407.08734). With `edges`, each is also
    left out by itself (recovery: 0 for an edge that is not needed). Cost: some seventy runs of the model.
    """

    kind: ClassVar[str] = "circuit_faithfulness"
    question: ClassVar[str] = WHICH_READS_FROM_WHICH
    aspect: ClassVar[str] = "How much of the task do these edges carry on other prompts?"

    # A configuration without a stored circuit has the hash that it had before there were any.
    later: ClassVar[frozenset[str]] = OnEdges.later | {"circuit"}

    edges: Annotated[
        list[str] | None,
        Field(description="A circuit as edges such as L1.H2 -> L3.H1.k. Null: find the edges by `method`."),
    ] = None
    circuit: Annotated[str | None, Field(description="Or a stored circuit by its id: C1.")] = None
    method: Annotated[Literal["eap", "eap_ig"], Field(description="How to find the edges.")] = "eap_ig"
    found_on: Annotated[int, Field(ge=4, le=512, description="How many other prompts to find the edges on.")] = 32
    controls: Annotated[int, Field(ge=1, le=100, description="Random circuits for each size.")] = 3

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.circuit is not None and self.edges is None:
            raise BadConfiguration(f"Only a tracker knows circuit {self.circuit}. Name its edges.")
        if self.edges is None:
            require_slope(self.metric, "use metric logit_diff, or name the edges")
        elif not self.edges or len(set(self.edges)) < len(self.edges):
            raise BadConfiguration("edges must name at least one edge, each once, or be null.")

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods.circuits import areas, prepare, random_circuit
        from ..methods.controls import TOLERANCE, per_prompt
        from ..notes import note
        from ..statistics.intervals import questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE
        from ..tasks.corrupted_prompts import corrupted_prompts

        pair = corrupted_prompts(lab, self.draw)
        made = prepare(lab, pair, self.metric, self.replacement)
        graph, scale = made.graph, made.scale
        circuits = self.circuits(lab, made)
        names, masks = list(circuits), list(circuits.values())
        values = made.run("circuits", masks)
        carried = scale.effects(names, made.carried(values))
        without = made.run("without each circuit", [graph.after & ~m for m in masks], prune=False)
        drawn = [random_circuit(graph, m, self.seed + 1 + i) for m in masks for i in range(self.controls)]
        beside = made.carried(made.run("random circuits", drawn)).reshape(len(masks), self.controls, -1)
        random = scale.untested(names, "random", beside.mean(1))
        complement = scale.untested(names, "without", made.carried(without))
        others, measured, curves = list[Effect](), list[Measurement](), {self.replacement: carried}
        for replacement in REPLACEMENTS:
            if replacement == self.replacement:
                continue
            again = prepare(lab, pair, self.metric, replacement, made.wired)
            change = again.carried(again.run(f"circuits, {replacement}", masks))
            curves[replacement] = again.scale.untested(names, replacement, change)
            others += curves[replacement]
        shares = [int(m.sum()) / graph.size for m in masks]
        if self.edges is None:
            for replacement, curve in curves.items():
                found = areas(shares, [e.value for e in curve])
                where = "" if replacement == self.replacement else f"[{replacement}]"
                measured += [Measurement(name=f"{name}{where}", value=value)
                             for name, value in zip(("cpr", "cmd"), found, strict=True)]  # fmt: skip
            found = areas(shares, [e.value for e in random])
            measured += [Measurement(name=f"{name}[random]", value=value)
                         for name, value in zip(("cpr", "cmd"), found, strict=True)]  # fmt: skip
        else:
            own = made.carried(values)[0]
            measured += [scale.share("faithfulness", own), scale.share("random", beside[0].mean(0)),
                         scale.share("above_random", own - beside[0].mean(0))]  # fmt: skip
        left_out = self.each_left_out(made, masks[0], values[0])
        failed = made.identity.value > TOLERANCE
        notes = (
            *pair.notes,
            *((note("identity_failed", metric=self.metric, off=made.identity.value),) if failed else ()),
        )
        return Result(
            measurements=(*scale.measurements(), questions_asked(pair.asked), made.identity, *measured,
                          Measurement(name="edges", value=graph.size)),
            effects=(*carried, *random, *complement, *others, *left_out),
            figures=(self.drawing(lab, names, shares, curves, random, complement),),
            found=self.summary(made, names, curves, random, complement, measured),
            notes=notes,
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: np.concatenate([scale.corrupted[None], values])}, pair.asked),
                    WHOLE: scale.whole},
        )  # fmt: skip

    def circuits(self, lab: Lab, made: Prepared) -> dict[str, Tensor]:
        """The circuits to test, by name."""
        from .. import engine
        from ..lab import numbers
        from ..methods.circuits import order_of, prepare, sizes_of
        from ..tasks.corrupted_prompts import corrupted_prompts

        graph: Graph = made.graph
        if self.edges is not None:
            mask = graph.mask(self.edges)
            return {f"{int(mask.sum())} named edges": mask}
        tested = {prompt.key for prompt in made.pair.prompts}
        more = self.n if self.split == "explore" else 0
        pair = corrupted_prompts(lab, (self.found_on + more, "explore", self.seed))
        rows = [i for i, prompt in enumerate(pair.prompts) if prompt.key not in tested][: self.found_on]
        if not rows:
            raise BadConfiguration("Every question that the edges could be found on is also tested. Use a smaller n.")
        elsewhere = prepare(lab, pair, self.metric, self.replacement, made.wired)
        changes = numbers(elsewhere.estimates(self.steps if self.method == "eap_ig" else 1, "estimates"))[rows]
        order = order_of(graph, changes.mean(0), elsewhere.scale.rows(rows).gap, self.ranking)
        return {name: engine.top(graph, order, count) for name, count in sizes_of(graph)}

    def each_left_out(self, made: Prepared, circuit: Tensor, whole: Array) -> tuple[Effect, ...]:
        """Each named edge left out of the circuit by itself: the share of the difference that this costs."""
        edges = [(int(s), int(r)) for s, r in circuit.nonzero().tolist()]
        if self.edges is None or not 1 < len(edges) <= MINIMAL:
            return ()
        changes = made.without_each(edges, circuit, "each edge left out") - whole
        names = [f"without {made.graph.edge(*edge)}" for edge in edges]
        return made.scale.effects(names, changes)

    def summary(
        self, made: Prepared, names: Sequence[str], curves: Mapping[str, Sequence[Effect]],
        random: Sequence[Effect], complement: Sequence[Effect], measured: Sequence[Measurement],
    ) -> str:  # fmt: skip
        carried, scale = curves[self.replacement], made.scale
        found = f"found on {self.found_on} other prompts by {self.method}"
        found = f"of {self.circuit}" if self.circuit else "named" if self.edges else found
        words = f"{scale.summary}. Edges {found}; the others are {self.replacement}. "
        if self.edges is None:
            sizes = ", ".join(name.split("%")[0] for name in names)
            words += f"Share of the difference carried at {sizes} % of {made.graph.size} edges: "
        else:
            words += f"Share of the difference carried by {names[0]}: {carried[0].text}; "
        rows = {"": carried} if self.edges is None else {}
        rows |= {"random circuits": random, "the rest, without them": complement}
        rows |= {f"with {name} instead": curve for name, curve in curves.items() if name != self.replacement}
        words += "; ".join(f"{name}{': ' if name else ''}{', '.join(f'{e.value:.2f}' for e in curve)}"
                           for name, curve in rows.items())  # fmt: skip
        if self.edges is None:
            named = {m.name: m.value for m in measured}
            words += f". CPR {named['cpr']:.2f} (random {named['cpr[random]']:.2f}), "
            words += f"CMD {named['cmd']:.2f} (random {named['cmd[random]']:.2f})"
        return words + "."

    def drawing(
        self, lab: Lab, names: Sequence[str], shares: Sequence[float], curves: Mapping[str, Sequence[Effect]],
        random: Sequence[Effect], complement: Sequence[Effect],
    ) -> Figure:  # fmt: skip
        from ..statistics.recovery import UNIT

        drawn = {f"circuit ({self.replacement})": curves[self.replacement], "random": random, "without": complement}
        drawn |= {f"circuit ({name})": curve for name, curve in curves.items() if name != self.replacement}
        title = f"Faithfulness by size of the circuit: {lab.subject.name}, {self.task}"
        if len(names) == 1:
            data = {"labels": list(drawn), "values": [c[0].value for c in drawn.values()],
                    "low": [c[0].low for c in drawn.values()], "high": [c[0].high for c in drawn.values()]}  # fmt: skip
            return Figure(name="faithfulness", kind="layer_bars", title=title, unit=UNIT, n=self.n, data=data)
        series = [{"name": name, "y": [e.value for e in curve], "low": [e.low for e in curve],
                   "high": [e.high for e in curve]} for name, curve in drawn.items()]  # fmt: skip
        data = {"x": [round(100 * share, 3) for share in shares], "x_label": "edges (%)", "series": series}
        return Figure(name="faithfulness", kind="lines", title=title, unit=UNIT, n=self.n, data=data)
