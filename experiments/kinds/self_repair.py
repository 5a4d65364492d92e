"""Ablate a head, and measure how much later heads, MLPs and the last norm restore of what it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ..experiment import Experiment
from ..methods.control_pool import BEFORE, ControlPool
from ..methods.removal import Removed
from ..notes import note
from ..questions import WHICH_PARTS
from ..result import Effect, Figure, Measurement, Note, Result
from ..statistics.strongest import clear

if TYPE_CHECKING:
    from ..engine import Direct
    from ..lab import Lab
    from ..methods.self_repair import Without
    from ..sites import Site
    from ..statistics.intervals import Array
    from ..tasks.task import Task

# Heads to remove unless they are named; components to report for each; columns of the drawing.
MOST, RESPONSES, COLUMNS = 8, 5, 14
# A direct share smaller than this part of the total change counts as none.
LEAST = 0.01


class SelfRepair(Experiment):
    """What do later heads and MLPs do when a head is removed? Splits the change into what the head wrote itself and the
    response of later components (arXiv 2402.15390, 2307.15771).

    Each head by itself: direct is the change of its own share in the logit difference, total the change of the whole,
    repair = total - direct: above 0 if later parts compensate for a head that helped. part splits repair exactly into
    heads, MLPs and norm (the last norm's scale); response names the components that respond most, `L10.H7 after L9.H6`.
    repaired is the share of all direct that is restored, for heads that write to the answer themselves: a head without
    a direct share has nothing to repair; its effect goes through others. Controls: single other heads (percentile,
    control_repair); the identity: total must equal the effect of the removal. A head with much repair matters more than
    its ablation shows: remove it together with those that respond. Responses are direct shares too: a component that
    responds by moving information for another head has none. Cost: a pass for each head and for each of 20 controls.
    """

    kind: ClassVar[str] = "self_repair"
    question: ClassVar[str] = WHICH_PARTS
    aspect: ClassVar[str] = "what compensates for a removed head"
    before: ClassVar[Mapping[str, Any]] = BEFORE

    heads: Annotated[
        list[str] | None, Field(description="Heads such as L7.H3. Null: the 8 that write most towards the answer.")
    ] = None
    method: Removed = "mean"
    control_pool: ControlPool = "matched"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        from ..sites import named_heads

        super().check(sizes, task)
        self.require_metric("logit_diff", task)
        if self.heads is not None and {"n_layers", "n_heads"} <= set(sizes):
            named_heads(self.heads, sizes)

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from .. import engine
        from ..lab import numbers
        from ..methods.answer_directions import answer_directions
        from ..methods.control_sets import random_others
        from ..methods.controls import among, compare, of_layers, per_prompt, unmatched
        from ..methods.lenses import with_zero
        from ..methods.removal import removal, replacements
        from ..methods.self_repair import PARTS, without
        from ..statistics.intervals import effects, measurement, questions_asked

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        towards = answer_directions(lab.subject, batch, others=False)
        directions = towards.vectors[:, None]
        intact = engine.direct(lab.subject, batch, directions)
        sites = self.sites(lab, intact)
        names = list(map(str, sites))
        removals = [removal(str(site), [site], self.method) for site in sites]
        sizes = lab.subject.sizes
        others = random_others(sites, sizes, self.method, self.seed, pool=self.control_pool)
        sources, notes = replacements(lab, self.draw, self.method, {"z"})
        every = without(lab, batch, intact, directions, [*removals, *others], sources)
        gone, beside = every[: len(sites)], [float(each.repair.mean()) for each in every[len(sites) :]]
        run = compare(lab, "heads removed", batch, removals, lab.readout("logit_diff", batch), sources)
        values = run.values("logit_diff")

        answering = [strongest(each) for each in gone]
        kept: dict[str, Array] = {
            "repair": np.stack([each.repair for each in gone]),
            "direct": np.stack([each.direct for each in gone]),
            "total": np.stack([each.total for each in gone]),
            "part": np.concatenate([each.parts(intact.sites) for each in gone]),
            "response": np.concatenate([each.responses[rows] for each, rows in zip(gone, answering, strict=True)]),
        }
        sited: dict[str, list[str]] = dict.fromkeys(kept, names)
        sited["part"] = [f"{part} after {name}" for name in names for part in PARTS]
        sited["response"] = [f"{intact.sites[i]} after {name}" for name, rows in zip(names, answering, strict=True)
                             for i in rows]  # fmt: skip
        # The reported ones were selected from all that respond.
        family = {"response": sum(int(each.responses.any(1).sum()) for each in gone)}
        found = {name: effects(sited[name], name, rows, asked, family.get(name, 0)) for name, rows in kept.items()}
        found["repair"] = among(found["repair"], beside)
        off, capped = (
            kept["total"] - (values[1:] - values[0]),
            values[0] - numbers(intact.whole[:, 0] + towards.bias.cpu()),
        )
        measurements = [measurement("intact_logit_diff", values[0], "logits", asked), questions_asked(asked),
                        Measurement(name="identity", value=float(abs(off).max()), n=self.n, unit="logits"),
                        *self.repaired(kept, asked)]  # fmt: skip
        measurements += [measurement("control_repair", np.array(beside), "logits")] if beside else []
        return Result(
            measurements=tuple(measurements),
            effects=tuple(effect for rows in found.values() for effect in rows),
            figures=(self.points(lab, found), self.matrix(lab, names, gone, intact.sites, found["response"])),
            found=self.summary(found, measurements, of_layers(self.control_pool, others, sizes["n_layers"])),
            notes=(*run.failed("logit_diff"), *untrue(off, capped), *notes, *(() if beside else unmatched(()))),
            doubts=lab.doubts(*self.draw, "logit_diff"),
            arrays=per_prompt({name: with_zero(rows) for name, rows in kept.items()}, asked),
        )  # fmt: skip

    def sites(self, lab: Lab, intact: Direct) -> list[Site]:
        """The named heads, or those with the largest direct shares."""
        from ..sites import named_heads

        if self.heads is not None:
            return named_heads(self.heads, lab.subject.sizes)
        shares = {site: float(v) for site, v in zip(intact.sites, intact.values[..., 0].mean(1), strict=True)}
        heads = sorted((site for site in shares if site.part == "z"), key=lambda site: -shares[site])
        return heads[:MOST]

    def repaired(self, kept: Mapping[str, Array], asked: list[str]) -> list[Measurement]:
        """The share of what the heads wrote themselves that is restored; empty if that may be 0."""
        from ..statistics.ratios import ratio_interval
        from ..statistics.skewed import mean_interval

        rows = [i for i, row in enumerate(kept["direct"]) if writes(row, kept["total"][i])]
        if not rows:
            return []
        lost, back = kept["direct"][rows].sum(0), kept["repair"][rows].sum(0)
        _, low, high = mean_interval(lost, asked)
        if low <= 0 <= high:
            return []
        value, low, high = ratio_interval(-back, lost, asked)
        return [Measurement(name="repaired", value=float(value), low=float(low), high=float(high), n=self.n,
                            unit="share of direct")]  # fmt: skip

    def summary(
        self, found: Mapping[str, Sequence[Effect]], measurements: Sequence[Measurement], others: str = ""
    ) -> str:
        lines: list[str] = []
        repaired = own = 0
        answers = {name: [e for e in found["response"] if e.site.endswith(f" after {name}")]
                   for name in (e.site for e in found["repair"])}  # fmt: skip
        for direct, total, repair in zip(found["direct"], found["total"], found["repair"], strict=True):
            if not writes(direct.value, total.value):
                lines.append(f"{direct.site}: total {total.value:+.3f}, all through others: it writes nothing to the "
                             "answer itself, so there is nothing to repair")  # fmt: skip
                continue
            repaired += clear(repair)
            own += 1
            shown = [f"{e.site.split()[0]} {e.value:+.3f}" for e in answers[repair.site][:3] if clear(e)]
            most = ", ".join(shown) or "no clear response"
            lines.append(f"{repair.site}: direct {direct.value:+.3f}, total {total.value:+.3f}, repair "
                         f"{repair.value:+.3f}{' (q < 0.05)' if clear(repair) else ''}; {most}")  # fmt: skip
        share = next((m for m in measurements if m.name == "repaired"), None)
        other = next((m for m in measurements if m.name == "control_repair"), None)
        said = f"{repaired} of {own} heads that write to the answer are repaired (q < 0.05), in logits"
        said += f"; share of what they write that is restored: {share.text}" if share else ""
        said += f"; repair of single other heads{others} {other.value:+.3f}" if other else ""
        return f"{said}. {'. '.join(lines[:MOST])}."

    def points(self, lab: Lab, found: Mapping[str, Sequence[Effect]]) -> Figure:
        title = f"Heads removed ({self.method}): {lab.subject.name}, {self.task}"
        data = {"x": [e.value for e in found["direct"]], "y": [e.value for e in found["total"]],
                "labels": [e.site for e in found["direct"]], "x_label": "change of the head's own share (direct)",
                "y_label": "change in all (total)"}  # fmt: skip
        return Figure(name="heads", kind="scatter", title=title, unit="logits", n=self.n, data=data)

    def matrix(
        self, lab: Lab, names: list[str], gone: list[Without], sites: Sequence[Site], found: Sequence[Effect]
    ) -> Figure:
        """Removed heads by the components that respond most, in the order of the model, and the norm."""
        changes = [each.responses.mean(-1) for each in gone]
        size = [max(abs(float(change[i])) for change in changes) for i in range(len(sites))]
        shown = sorted(sorted(range(len(sites)), key=lambda i: -size[i])[:COLUMNS])
        marked = {e.site for e in found if clear(e)}
        norms = [float(each.parts(sites)[-1].mean()) for each in gone]
        title = f"What responds when a head is removed ({self.method}): {lab.subject.name}, {self.task}"
        data = {"values": [[*(float(change[i]) for i in shown), norm]
                           for change, norm in zip(changes, norms, strict=True)],
                "significant": [[*(f"{sites[i]} after {name}" in marked for i in shown), False] for name in names],
                "rows": names, "columns": [*(str(sites[i]) for i in shown), "norm"], "row_label": "removed",
                "column_label": "responding component", "scale": "diverging"}  # fmt: skip
        return Figure(name="responses", kind="matrix", title=title, unit="logits", n=self.n, data=data)


def writes(direct: Array | float, total: Array | float) -> bool:
    """Whether a head's direct share is more than rounding, and more than a small part of its total effect."""
    import numpy as np

    from ..methods.controls import TOLERANCE

    return bool(abs(np.mean(direct)) > max(TOLERANCE, LEAST * abs(np.mean(total))))


def strongest(each: Without) -> list[int]:
    """The components that respond most."""
    size = abs(each.responses.mean(-1))
    return [i for i in sorted(range(len(size)), key=lambda i: -size[i])[:RESPONSES] if each.responses[i].any()]


def untrue(off: Array, capped: Array) -> tuple[Note, ...]:
    """Notes if the sum of the parts is not the change of the logits. A cap on the logits is not a failure."""
    from ..methods.controls import TOLERANCE

    if abs(capped).max() > TOLERANCE:
        return (note("split_before_cap"),)
    return () if abs(off).max() <= TOLERANCE else (note("repair_failed", off=float(abs(off).max())),)
