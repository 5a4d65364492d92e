"""Test a hypothesis about which parts matter, and what each depends on, by resampling everything that it allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment, Whole
from ..metrics import OwnMetric, unit_of
from ..notes import note
from ..questions import WHICH_READS_FROM_WHICH
from ..result import Effect, Figure, Measurement, Note, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.causal_scrubbing import Draws
    from ..methods.scrubbing_hypothesis import Depends
    from ..sites import Site
    from ..statistics.intervals import Array
    from ..statistics.recovery import Scale
    from ..tasks.task import Task

# One sample runs the model at most so often: it doubles with each layer that the hypothesis names.
MOST_RUNS = 128
SHARE = "share of intact - scrubbed"


class CausalScrubbing(Experiment):
    """Does a hypothesis about parts and what they depend on keep the task? Causal scrubbing (Chan et al. 2022).

    Lines such as L1.H2 depends on answer name parts and values of the prompt. Each named part gets its output on
    another prompt that agrees on its values, where the parts before it are scrubbed in the same way; everything else
    comes from a random prompt. kept is the share of intact minus fully scrubbed that stays: 1 if the hypothesis is
    right. rejected is 1 if kept is below `bound`, or not above the same lines about other parts of the same layers
    (wrong), which are the controls. Cost: a few runs for each sample and control, twice as many for each further layer
    that is named.
    """

    kind: ClassVar[str] = "causal_scrubbing"
    question: ClassVar[str] = WHICH_READS_FROM_WHICH
    aspect: ClassVar[str] = "Does a hypothesis about parts and the values they depend on keep the task?"
    example: ClassVar[str] = (
        '--model planted:induction --task induction --hypothesis "L0.H1 depends on everything" '
        '--hypothesis "L1.H2 depends on answer"'
    )

    hypothesis: Annotated[
        list[str],
        Whole(),
        Field(description="Lines: a head, an MLP (L1.mlp) or embed, depends on, and named values of the task, nothing "
              "or everything. Example: L1.H2 depends on s, io."),
    ]  # fmt: skip
    inputs: Annotated[
        Literal["scrubbed", "intact"],
        Field(description="Parts before a named one: scrubbed, or intact (only direct effects are tested; cheap)."),
    ] = "scrubbed"
    samples: Annotated[int, Field(ge=1, le=50, description="Draws of donors to average over.")] = 5
    controls: Annotated[int, Field(ge=1, le=100, description="Wrong hypotheses; one sample each.")] = 20
    bound: Annotated[float, Field(gt=0, le=1, description="The hypothesis is rejected if less is kept.")] = 0.5
    metric: Annotated[OwnMetric, Field(description="Metric.")] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        self.require_metric(self.metric, task)
        parts = self.parts()
        if {"n_layers", "n_heads"} <= set(sizes):
            from ..methods.scrubbing_hypothesis import check_parts

            check_parts(parts, sizes)
        from ..tasks.values import names_of

        known = names_of(task.prompts(*self.draw))
        for name in (name for one in parts for name in one.values or ()):
            if name not in known:
                raise BadConfiguration(f"Not every prompt of {self.task} has a value {name}. Use {', '.join(known)}.")

    def parts(self) -> tuple[Depends, ...]:
        """Raises BadConfiguration."""
        from ..methods.scrubbing_hypothesis import grouped, parsed, runs_needed

        parts = parsed(self.hypothesis)
        runs = runs_needed(grouped(parts))
        if self.inputs == "scrubbed" and runs > MOST_RUNS:
            raise BadConfiguration(
                f"One sample of this hypothesis needs up to {runs} runs, more than {MOST_RUNS}. Name parts of fewer "
                "layers, or give more parts of a layer the same values, or use inputs intact."
            )
        return parts

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..lab import INTACT, numbers
        from ..methods.causal_scrubbing import Pool, scrubbed, usable
        from ..methods.controls import per_prompt, unmatched
        from ..methods.scrubbing_hypothesis import moved_to
        from ..statistics.intervals import measurement, questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE, Scale
        from ..tasks.batch import make_batch

        parts, pool = self.parts(), Pool.of(lab, self.seed)
        bases, passed, looked_at = usable(lab, pool, parts, self.draw)
        batch, asked = make_batch(lab.subject.tokenizer, bases, lab.subject.device), [p.key for p in bases]
        intact = numbers(lab.run("intact", batch, [INTACT], lab.readout(self.metric, batch))[self.metric][0])

        def measured(of: Sequence[Depends], samples: int, seed: int, doing: str) -> tuple[Array, Draws]:
            return scrubbed(lab, pool, bases, of, self.metric, samples, seed, self.inputs == "intact", doing)

        nothing, _ = measured((), self.samples, self.seed, "fully scrubbed")
        scale = Scale(self.metric, intact, nothing, asked)
        scale.require("The intact and the fully scrubbed model")
        values, draws = measured(parts, self.samples, self.seed, "scrubbed")
        others = [moved_to(parts, sites) for sites in self.other_parts(parts, lab.subject.sizes)]
        wrong = [measured(of, 1, self.seed + 1 + i, f"wrong {i}")[0] for i, of in enumerate(others)]
        beside = np.array(wrong) - nothing if wrong else np.zeros((0, len(bases)))
        change = values - nothing
        found = scale.effects(["hypothesis"], change[None])
        names = [f"wrong: {', '.join(str(one.site) for one in of if one.site is not None)}" for of in others]
        kept = scale.share("kept", change).model_copy(update={"unit": SHARE})
        verdict = self.verdict(scale, kept, change, beside)
        alone = draws.alone / draws.drawn if draws.drawn else 0.0
        notes: list[Note] = [*unmatched(verdict)] if not wrong else []
        if passed:
            notes.append(note("without_donor_by_rule", passed=passed, looked_at=looked_at))
        if alone:
            notes.append(note("scrubbed_with_itself", share=alone))
        return Result(
            measurements=(kept, *verdict,
                          measurement(f"intact_{self.metric}", intact, unit_of(self.metric), asked, self.metric),
                          measurement(f"scrubbed_{self.metric}", nothing, unit_of(self.metric), asked, self.metric),
                          questions_asked(asked),
                          Measurement(name="with_itself", value=alone, n=draws.drawn)),
            effects=(*found, *scale.untested(names, "wrong", beside)),
            figures=(self.drawing(lab, kept, scale.untested(names, "wrong", beside)),),
            found=self.summary(scale, parts, kept, verdict, beside),
            notes=tuple(notes),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: np.stack([nothing, values])}, asked, np.array(wrong) if wrong else None),
                    WHOLE: scale.whole},
        )  # fmt: skip

    def other_parts(self, parts: Sequence[Depends], sizes: Mapping[str, int]) -> list[list[Site]]:
        from ..methods.control_sets import matched_sets

        named = [one.site for one in parts if one.site is not None and one.values != ()]
        return matched_sets(named, sizes, self.seed, self.controls) if named else []

    def verdict(self, scale: Scale, kept: Measurement, change: Array, beside: Array) -> list[Measurement]:
        """Whether the hypothesis is rejected, and what that rests on."""
        assert kept.high is not None
        low = kept.high < self.bound
        if not len(beside):
            return [Measurement(name="rejected", value=float(low))]
        shares = scale.mean(beside)
        above = scale.share("above_wrong", change - beside.mean(0)).model_copy(update={"unit": SHARE})
        assert above.low is not None
        rank = 1 + int((shares >= kept.value).sum())
        return [
            Measurement(name="rejected", value=float(low or above.low <= 0 or rank > 1)),
            above,
            Measurement(name="kept_wrong", value=float(shares.mean()), n=len(shares)),
            Measurement(name="kept_wrong_largest", value=float(shares.max()), n=len(shares)),
            Measurement(name="kept_rank", value=rank, n=len(shares) + 1),
            Measurement(name="kept_p", value=rank / (len(shares) + 1), n=len(shares)),
        ]

    def summary(
        self, scale: Scale, parts: Sequence[Depends], kept: Measurement, verdict: Sequence[Measurement], beside: Array
    ) -> str:
        by = {m.name: m for m in verdict}
        text = f"{'; '.join(map(str, parts))}. The scrubbed model keeps {kept.text} of {scale.metric} "
        text += f"({scale.clean.mean():.3f} intact, {scale.corrupted.mean():.3f} with everything resampled)"
        if len(beside):
            text += f"; the same lines about other parts keep {by['kept_wrong'].value:.3f} on average, at most "
            text += f"{by['kept_wrong_largest'].value:.3f} ({len(beside)} wrong hypotheses)"
        if by["rejected"].value:
            why = [f"less than {self.bound:g} is kept"] if (kept.high or 0) < self.bound else []
            if len(beside) and ((by["above_wrong"].low or 0) <= 0 or by["kept_rank"].value > 1):
                why.append("it does not keep more than wrong hypotheses")
            return f"{text}. The hypothesis is rejected: {', and '.join(why)}."
        at_least = (kept.low or 0) >= self.bound
        return f"{text}. The hypothesis is not rejected" + (
            f", and at least {self.bound:g} is kept." if at_least else f"; whether {self.bound:g} is kept is undecided."
        )

    def drawing(self, lab: Lab, kept: Measurement, wrong: Sequence[Effect]) -> Figure:
        title = f"What is kept of {self.metric} by the hypothesis and by wrong ones: {lab.subject.name}, {self.task}"
        data = {"labels": ["hypothesis", *(e.site for e in wrong)], "values": [kept.value, *(e.value for e in wrong)],
                "low": [kept.low, *(e.low for e in wrong)], "high": [kept.high, *(e.high for e in wrong)]}  # fmt: skip
        return Figure(name="kept", kind="layer_bars", title=title, unit=SHARE, n=self.n, data=data)
