"""`needed_within`: what a part adds to the damage of a set: the set against the set without it, paired."""

from __future__ import annotations

import io
from typing import Annotated, ClassVar

from pydantic import Field

from ....db.records import Experiment as Row
from ....experiments.metrics import metrics
from ....experiments.prediction import p_of_bound
from ...evidence.quantity import asked_questions
from ...evidence.verdict import ALPHA
from ...report.study import Study
from ..by_reading import SUFFIX, Reading, evidence_of, verdict_of
from ..claim import CannotClaim, ClaimOnParts, Finding
from ..counted import able, counted
from ..removals import corrected, removed_by
from ..standard import bound_on, standard
from ..words import capitalized, named


class NeededWithin(ClaimOnParts):
    """A part adds damage of its own to a set: with the whole set removed, more is lost than with the set without the
    part, by more than the standard bound. Predict both removals in one hypothesis: they then share their prompts."""

    type: ClassVar[str] = "needed_within"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="The part.")]
    besides: Annotated[tuple[str, ...], Field(min_length=1, description="The other parts of the set.")]

    @property
    def about(self) -> tuple[str, ...]:
        return (*self.parts, *self.besides)

    @property
    def question(self) -> str:
        return f"Does {named(self.parts)} add to the damage of {named(self.besides)} in {self.task}?"

    def judge(self, study: Study) -> Finding:
        if self.parts[0] in self.besides:
            raise CannotClaim(f"{self.parts[0]} is among besides; name the other parts there.")
        rest = frozenset(self.besides)
        readings = [
            _marginal(study, whole, without)
            for whole in _removed(study, self.task, rest | {self.parts[0]})
            for without in _removed(study, self.task, rest)
            if _same_draw(whole, without)
        ]
        found = [one for one in readings if one is not None]
        verdict, decisive = verdict_of(found)
        part, others = named(self.parts), named(self.besides)
        if decisive is None:
            sentence = f"Whether {part} adds to the damage of {others} in {self.task} was not tested."
            because = "No two experiments on the same prompts removed the set with it and without it."
        else:
            adds = {"refuted": "adds nothing", "undecided": "may add"}.get(verdict, "adds")
            sentence = f"{capitalized(part)} {adds} to the damage of {others} in {self.task} ({SUFFIX[verdict]})."
            because = (
                f"Removing it as well makes the damage in {decisive.name} larger by {decisive.text} "
                f"({decisive.experiment}); the bound is {decisive.bound_text}."
            )
        return Finding(claim=self, verdict=verdict, sentence=sentence, because=because, evidence=evidence_of(found))


def _removed(study: Study, task: str, parts: frozenset[str]) -> list[Row]:
    return [
        row for row in counted(study, task) if able(row) and set(removed_by(row).values()) == {parts}
    ]  # fmt: skip


def _same_draw(one: Row, other: Row) -> bool:
    names = ("n", "split", "seed", "method", "model")
    return all(one.config.get(name) == other.config.get(name) for name in names)


def _marginal(study: Study, whole: Row, without: Row) -> Reading | None:
    """The damage with the whole set minus that without the part, prompt by prompt; None if they were not kept."""
    import numpy as np

    from ....experiments.statistics.skewed import mean_interval

    at = standard(study, whole.task or "")
    metric = at.metric
    if any(metric not in {a.name for a in row.artifacts} for row in (whole, without)):
        return None

    def damage(row: Row) -> np.ndarray:
        values = np.load(io.BytesIO(study.artifact(row.id, metric)), allow_pickle=False).astype(float)
        return (values[1] - values[0]) * metrics()[metric].worse

    asked = [str(one) for one in np.load(io.BytesIO(study.artifact(whole.id, "questions")), allow_pickle=False)]
    value, low, high = (float(one) for one in mean_interval(damage(whole) - damage(without), asked))
    bound, held_out = bound_on(metric, at, whole), whole.split == "confirm"
    if held_out:
        p = corrected(study, whole.id, p_of_bound(value, low, high, bound, asked_questions(whole)))
        answer = "open" if p >= ALPHA else "for" if value > bound else "against"
    else:
        answer = "for" if low > bound else "against" if high < bound else "open"
    return Reading(f"{whole.id} and {without.id}", held_out, metric, value, low, high, whole.n or 0, bound, answer)
