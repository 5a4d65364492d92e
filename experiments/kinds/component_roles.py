"""Name what each part of a circuit does, from measured scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..metrics import OwnMetric, require_slope
from ..questions import WHICH_READS_FROM_WHICH
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.circuits import Prepared
    from ..methods.component_roles import Role
    from ..sites import Site
    from ..statistics.intervals import Array
    from ..tasks.task import Task

MOST = 40
# Edges listed into a part and out of it; the smallest share of the difference that is shown in words.
LISTED, SHOWN = 3, 0.01


class ComponentRoles(Experiment):
    """What does each part of a circuit do? Names the role of heads and MLPs, each by scores beyond their controls.

    Roles: reads_position (attends to a fixed place), moves_token (attends by content and raises that token), computes
    (its inputs act together, not as a sum), suppresses and writes_answer (its direct share of the answer's logit),
    adds_constant (only zero in its place matters), idle, unclear. Measurement role[L1.H2, moves_token] is the role,
    also[...] what else holds. Controls: the same scores of `controls` other heads or MLPs; a role that no score shows
    is unclear. Edges are estimates, as shares of the difference. Name the parts by circuit_discovery.
    """

    kind: ClassVar[str] = "component_roles"
    question: ClassVar[str] = WHICH_READS_FROM_WHICH
    aspect: ClassVar[str] = "What does each part of a circuit do?"
    example: ClassVar[str] = "--parts L5.H3"

    parts: Annotated[list[str], Field(description="Heads and MLPs, such as L7.H3 and L7.mlp.")]
    controls: Annotated[
        int, Field(ge=1, le=500, description="Most other heads, and most other MLPs, to compare with.")
    ] = 30
    steps: Annotated[int, Field(ge=2, le=64, description="Runs on the way to the corrupted prompt, for edges.")] = 5
    metric: Annotated[OwnMetric, Field(description="Metric.")] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        self.require_metric(self.metric, task)
        require_slope(self.metric, "use metric logit_diff")
        if {"n_layers", "n_heads"} <= set(sizes):
            self.named(sizes)

    def check_sites(self) -> None:
        from ..sites import parse_site

        for name in self.parts:
            parse_site(name)

    def named(self, sizes: Mapping[str, int]) -> list[Site]:
        """The parts. Raises BadConfiguration for one that is neither a head nor an MLP of this model."""
        from ..sites import check_site, parse_site

        found = [check_site(parse_site(text), sizes) for text in self.parts]
        for site in found:
            if site.part not in ("z", "mlp_out"):
                raise BadConfiguration(f"{site} is neither a head nor an MLP. Write it as L7.H3 or L7.mlp.")
        if not found or len(set(found)) < len(found) or len(found) > MOST:
            raise BadConfiguration(f"parts must name 1 to {MOST} heads and MLPs, each once.")
        return found

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..lab import numbers
        from ..methods.circuits import prepare
        from ..methods.component_roles import roles_of
        from ..methods.component_scores import evidence_of
        from ..methods.controls import TOLERANCE, per_prompt
        from ..notes import note
        from ..statistics.intervals import questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE
        from ..tasks.corrupted_prompts import corrupted_prompts

        parts = self.named(lab.subject.sizes)
        pair = corrupted_prompts(lab, self.draw)
        made = prepare(lab, pair, self.metric, "corrupted")
        changes = numbers(made.estimates(self.steps, "edges"))
        seed = f"{self.split} {self.seed}"
        evidence, values = evidence_of(made, parts, self.controls, self.steps, seed, max(4, self.n // 4))
        roles = [roles_of(each) for each in evidence]
        effects, measured, rows = list[Effect](), list[Measurement](), list[str]()
        for part, each, found in zip(parts, evidence, roles, strict=True):
            edges = self.edges(made, part, changes)
            effects += [*each.scores, *edges]
            measured += [Measurement(name=f"{'also' if i else 'role'}[{part}, {role}]", value=1)
                         for i, role in enumerate(found)]  # fmt: skip
            rows.append(f"{part} {', also '.join(found)}: {each.summary}{joined(part, edges)}")
        failed = made.identity.value > TOLERANCE
        return Result(
            measurements=(*made.scale.measurements(), questions_asked(pair.asked), made.identity, *measured),
            effects=tuple({(e.site, e.metric): e for e in effects}.values()),
            figures=(self.drawing(lab, parts, roles),),
            found=f"{made.scale.summary}. {'. '.join(rows)}.",
            notes=(*pair.notes,
                   *((note("identity_failed", metric=self.metric, off=made.identity.value),) if failed else ())),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: np.concatenate([made.scale.clean[None], values])}, pair.asked),
                    WHOLE: made.scale.whole},
        )  # fmt: skip

    def edges(self, made: Prepared, part: Site, changes: Array) -> tuple[Effect, ...]:
        """The strongest edges into the part and out of it, as estimated shares of the difference."""
        import numpy as np

        graph, place = made.graph, made.graph.senders.index(part)
        found: list[Effect] = []
        into = [(s, r) for r in graph.readers[place] for s in range(len(graph.senders)) if graph.after[s, r]]
        out = [(place, r) for r in range(len(graph.receivers)) if graph.after[place, r]]
        for some in (into, out):
            shares = made.scale.mean(np.stack([changes[:, s, r] for s, r in some]))
            best = [some[i] for i in np.argsort(-np.abs(shares), kind="stable")[:LISTED]]
            found += made.scale.untested([graph.edge(*e) for e in best], "attribution",
                                         np.stack([changes[:, s, r] for s, r in best]))  # fmt: skip
        return tuple(found)

    def drawing(self, lab: Lab, parts: Sequence[Site], roles: Sequence[Sequence[Role]]) -> Figure:
        """Parts by roles: 1 for the role, one half for what else holds."""
        from ..methods.component_roles import ROLES

        values = [[0.0 if role not in found else 1.0 if role == found[0] else 0.5 for role in ROLES] for found in roles]
        data = {"values": values, "rows": list(map(str, parts)), "columns": list(ROLES), "row_label": "part",
                "column_label": "role", "scale": "sequential"}  # fmt: skip
        title = f"What each part does: {lab.subject.name}, {self.task}"
        return Figure(name="roles", kind="matrix", title=title, unit="role", n=self.n, data=data)


def joined(part: Site, edges: Sequence[Effect]) -> str:
    """The edges into the part and out of it that carry at least a hundredth of the difference."""
    strong = [e for e in edges if abs(e.value) >= SHOWN]
    into = [f"{e.site} {e.value:+.2f}" for e in strong if not e.site.startswith(f"{part} ->")]
    out = [f"{e.site} {e.value:+.2f}" for e in strong if e.site.startswith(f"{part} ->")]
    words = f"; reads {', '.join(into)}" if into else ""
    return words + (f"; read by {', '.join(out)}" if out else "")
