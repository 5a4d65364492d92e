"""Find heads of known types: from their attention on random tokens, and from their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..experiment import Experiment
from ..notes import note
from ..questions import WHAT_A_HEAD_LOOKS_AT
from ..result import Effect, Measurement, Result

if TYPE_CHECKING:
    import numpy as np

    from ..lab import Lab
    from ..model.subject import Subject
    from ..tasks.task import Task

Detector = Literal[
    "induction", "previous_token", "duplicate_token", "first_token", "copying", "copy_suppression", "successor"
]
STRONGEST = 4


class HeadDetectors(Experiment):
    """Which heads are induction, previous-token, duplicate-token, sink, copying or successor heads? All heads at once.

    A score from 0 to 1 for each head and detector, on random tokens repeated once (`n` such texts): how much attention
    goes to the token before (previous_token), to the same token earlier (duplicate_token), to the one after that
    (induction), to the first token (first_token: a sink, a head at rest). From the weights alone: does a head raise
    the token that it attends to above 255 random others (copying), lower it below all (copy_suppression), raise the
    next day, month or number (successor)? Read them as effect[L7.H3, induction]. Each has `percentile` among the heads
    of the same model with shuffled weights; NAME_shuffled is the highest score there. Cheap: a few passes. Ignores the
    task: a high score shows what a head can do; ablation shows whether a task needs it.
    """

    kind: ClassVar[str] = "head_detectors"
    question: ClassVar[str] = WHAT_A_HEAD_LOOKS_AT
    core: ClassVar[bool] = True

    detector: Annotated[Detector, Field(description="Which to report and draw first; all are measured and kept.")] = (
        "induction"
    )
    length: Annotated[int, Field(ge=8, le=256, description="How many different tokens to repeat.")] = 25

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        """The texts are random tokens, so the task may have fewer than `n` prompts."""

    @property
    def asks(self) -> bool:
        return False

    def run(self, lab: Lab) -> Result:
        from ..methods.head_map import head_map
        from ..model.shuffled_weights import permuted
        from ..statistics.intervals import questions_asked
        from ..statistics.strongest import beside_shuffled

        lab.progress("detectors", 0, 2)
        own = self.scores(lab.subject)
        lab.progress("detectors", 1, 2)
        others = self.scores(permuted(lab.subject, self.seed))
        lab.progress("detectors", 2, 2)
        names = sorted(own, key=lambda name: name != self.detector)
        effects = [effect for name in names for effect in detected(lab, name, own[name], others[name])]
        highest: list[Measurement] = []
        parts: list[str] = []
        for name in names:
            mine = [e for e in effects if e.metric == name]
            values = others[name].mean(-1)
            highest.append(Measurement(name=f"{name}_shuffled", value=float(values.max()), n=len(values), unit="score"))
            own_values, highest_there = [e.value for e in mine], float(values.max())
            shown = beside_shuffled([e.site for e in mine], own_values, highest_there, count=STRONGEST)
            parts.append(f"{name.replace('_', ' ')}: {shown}")
        asked = questions_asked([str(i) for i in range(self.n)])
        return Result(
            measurements=(asked, *highest),
            effects=tuple(effects),
            figures=tuple(
                head_map(name, f"{name.replace('_', ' ').capitalize()} score: {lab.subject.name}", "score",
                         own[name].shape[-1], effects, name, lab.subject.sizes)
                for name in names if name == self.detector
            ),
            found=f"Highest scores of {lab.subject.name}'s heads, from 0 to 1, on {self.n} texts. {'; '.join(parts)}.",
            notes=() if "successor" in own else (note("no_successor"),),
            arrays={f"{name}_scores": values for name, values in own.items()},
        )  # fmt: skip

    def scores(self, subject: Subject) -> dict[str, np.ndarray]:
        """By detector, [head, text or token], the heads layer by layer."""
        from ..lab import numbers
        from ..methods.detectors import attended, copied, repeated_tokens, succeeded

        ids = repeated_tokens(subject, self.n, self.length, f"{self.split} {self.seed}")
        found = {**attended(subject, ids, self.length), **copied(subject, f"{self.split} {self.seed}")}
        if (steps := succeeded(subject)) is not None:
            found["successor"] = steps
        return {name: numbers(each) for name, each in found.items()}


def detected(lab: Lab, name: str, own: np.ndarray, others: np.ndarray) -> tuple[Effect, ...]:
    """own and others [head, ...] -> an effect for each head, with its percentile among the others."""
    from ..methods.controls import all_heads
    from ..methods.detectors import WRITTEN
    from ..statistics.intervals import share, untested

    sites = [str(site) for site in all_heads(lab.subject.sizes)]
    weaker = (others.mean(-1)[None] < own.mean(-1)[:, None]).mean(-1) * 100
    if name in WRITTEN:
        shares = [share(name, row) for row in own]
        found = tuple(
            Effect(site=site, metric=name, value=s.value, low=s.low or 0.0, high=s.high or 0.0, n=s.n or 0)
            for site, s in zip(sites, shares, strict=True)
        )
    else:
        found = untested(sites, name, own, within=(0, 1))
    return tuple(e.model_copy(update={"percentile": float(w)}) for e, w in zip(found, weaker, strict=True))
