"""Estimate every patch at once by gradients, and check the estimate: some patches are run for real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..methods.patching import Patching
from ..metrics import require_slope
from ..questions import WHERE_PROMPTS_DIFFER
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.patching import Place
    from ..sites import Part
    from ..statistics.intervals import Array
    from ..statistics.recovery import Scale
    from ..tasks.corrupted_prompts import CorruptedPrompts
    from ..tasks.task import Task


class AttributionPatching(Patching):
    """Which of very many patches are worth running? Estimates all patches of activation_patching at once by gradients
    (arXiv 2310.10348), then runs the strongest, and some drawn at random, for real.

    The estimate is (value in the other run - own value) times the slope of the metric. gradient uses the slope at the
    patched run; integrated uses its mean over `steps` runs on the way from these embeddings to the others (arXiv
    2403.17806), which is better and costs that many times more. Effects named recovery are exact; those named
    attribution are estimates for all sites, without p. Their correlation and rank correlation, and how many of the
    random ones belong among the strongest, show whether to trust the rest; so does completeness, the estimate for all
    embeddings at once, which should be the whole difference, 1 (-1 noising). It misleads where the metric is not
    linear: in the first layers, at saturated attention patterns, with prob. It works best with logit_diff. Cost: two
    passes (`steps` + 1 if integrated), and a run for each site that is patched.
    """

    kind: ClassVar[str] = "attribution_patching"
    question: ClassVar[str] = WHERE_PROMPTS_DIFFER
    aspect: ClassVar[str] = "all sites for the cost of a few passes"

    method: Annotated[
        Literal["gradient", "integrated"],
        Field(description="gradient: the slope at the patched run. integrated: the mean slope on the way."),
    ] = "integrated"
    steps: Annotated[int, Field(ge=1, le=64, description="Runs on the way, with integrated.")] = 8
    verify: Annotated[int, Field(ge=1, le=200, description="How many of the strongest to patch for real.")] = 16

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        require_slope(self.metric, "use activation_patching")

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods.controls import compare, per_prompt
        from ..statistics.intervals import questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE
        from ..statistics.screening import agreement, chosen

        pair = self.pair(lab)
        places = self.places(pair, self.swept(lab.subject.sizes))
        scale = self.scale(lab, pair)
        base, other = self.runs(pair)
        guesses, entry = self.estimated(lab, pair, places)
        verify = min(self.verify, len(places))
        order = chosen(guesses, verify, self.seed)
        measured = [places[i] for i in order]
        source = self.lent(lab, base, other, {p.site.part for p in measured})
        patches = [p.patch("twin") for p in measured]
        doing = f"{len(patches)} exact patches, {self.direction}"
        run = compare(lab, doing, base, patches, lab.readout(self.metric, base), {"twin": source})
        values = run.values(self.metric)
        change = values[1:] - values[0]
        exact = scale.effects([str(p) for p in measured], change, family=len(places))
        estimates = scale.untested([str(p) for p in places], "attribution", guesses)
        near, agreed = scale.mean(guesses[order]), list(agreement(guesses[order], change, verify))
        if np.ptp(near) > 0 and np.ptp(scale.mean(change)) > 0:
            together = float(np.corrcoef(near, scale.mean(change))[0, 1])
            agreed.insert(0, Measurement(name="correlation", value=together, n=len(order)))
        return Result(
            measurements=(*scale.measurements(), questions_asked(pair.asked), run.identity(self.metric), *agreed,
                          scale.share("completeness", entry)),
            effects=(*exact, *estimates),
            figures=(self.points(lab, exact, near.tolist(), verify),
                     self.drawing(lab, pair, places, estimates, f"Estimated recovery ({self.how}), {self.direction}")),
            found=self.summary(scale, exact, agreed, verify, len(places)) + self.changed(pair),
            notes=(*pair.notes, *run.failed(self.metric)),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: values}, pair.asked), WHOLE: scale.whole,
                    "attribution": guesses.astype(np.float32)},
        )  # fmt: skip

    @property
    def how(self) -> str:
        return f"integrated gradients, {self.steps} steps" if self.method == "integrated" else "gradients"

    def estimated(self, lab: Lab, pair: CorruptedPrompts, places: list[Place]) -> tuple[Array, Array]:
        """The estimated change at each site, in the metric's units, [site, n]; and of all embeddings at once, [n]."""
        import numpy as np

        from .. import engine
        from ..answers.scoring import readout_for
        from ..interventions import Edit
        from ..lab import numbers
        from ..sites import Site

        base, other = self.runs(pair)
        # One edit of a whole part covers all of its heads.
        wholes: list[tuple[int, Part, str]] = [(0, "resid_pre", "all")]
        wholes += [w for p in places if (w := (p.site.layer, p.site.part, p.positions)) not in wholes]
        edits = [Edit(site=Site(layer=layer, part=part), op="replace", source="twin", positions=at)
                 for layer, part, at in wholes]  # fmt: skip
        source = self.lent(lab, base, other, {"resid_pre", *(p.site.part for p in places)})
        found = engine.attribution(
            lab.subject, base, edits, readout_for(self.metric, base), self.metric, {"twin": source},
            lab.steps(self.how), source if self.method == "integrated" else None, self.steps,
        )  # fmt: skip
        by_whole = dict(zip(wholes, found, strict=True))
        units = [by_whole[p.site.layer, p.site.part, p.positions][:, p.site.index or 0] for p in places]
        return np.stack([numbers(u) for u in units]), numbers(found[0][:, 0])

    def summary(
        self, scale: Scale, exact: tuple[Effect, ...], agreed: list[Measurement], verify: int, count: int
    ) -> str:
        from ..statistics.strongest import clear, largest

        named = {m.name: m.value for m in agreed}
        words = f"Of {count} patches estimated by {self.how}, the {verify} largest and {len(exact) - verify} random "
        words += f"others were run ({self.direction}): {sum(map(clear, exact))} change it (q < 0.05); "
        words += f"{largest(exact, ' by recovery', said=scale.said)}."
        if "correlation" in named:
            words += f" Estimates and patches correlate at {named['correlation']:.3f}"
            words += f" (ranks {named['screen_agreement']:.3f})." if "screen_agreement" in named else "."
        return f"{scale.summary}. {words} {named['screen_missed']:.0f} of the random ones belong among the largest."

    def points(self, lab: Lab, exact: tuple[Effect, ...], near: list[float], verify: int) -> Figure:
        from ..statistics.recovery import UNIT

        groups = ["strongest" if i < verify else "drawn at random" for i in range(len(exact))]
        title = f"Estimated and exact recovery ({self.how}, {self.direction}): {lab.subject.name}, {self.task}"
        data = {"x": near, "y": [e.value for e in exact], "labels": [e.site for e in exact], "groups": groups,
                "x_label": "estimated recovery", "y_label": "exact recovery"}  # fmt: skip
        return Figure(name="agreement", kind="scatter", title=title, unit=UNIT, n=self.n, data=data)
