"""`scores`: a head does what a detector looks for, on repeated random tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, found_by_reading
from ..claim import ClaimOnParts, Finding
from ..counted import counted
from ..words import named

# A head scores where it does so on more than a third of the tokens, and twice as much as with shuffled weights.
LEAST, FACTOR = 1 / 3, 2.0
Detector = Literal[
    "induction", "previous_token", "duplicate_token", "first_token", "copying", "copy_suppression", "successor"
]


class Scores(ClaimOnParts):
    """A head scores by a detector (induction, previous_token, duplicate_token, copying, ...): more than a third, and
    more than twice the most with shuffled weights. From head_detectors. The task does not matter."""

    type: ClassVar[str] = "scores"
    which: ClassVar[str] = "Which heads score by the detector {at}?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One head.")]
    at: Annotated[Detector, Field(description="The detector.")]

    @property
    def question(self) -> str:
        return f"Does {named(self.parts)} score by the detector {self.at}?"

    def judge(self, study: Study) -> Finding:
        readings: list[Reading] = []
        for row in counted(study, kinds=["head_detectors"]):
            shuffled = next((m.value for m in row.measurements if m.name == f"{self.at}_shuffled"), 0.0)
            readings += [
                against_bound(study, row, effect, max(LEAST, min(FACTOR * shuffled, 0.9)))
                for effect in row.effects
                if (effect.site, effect.metric) == (self.parts[0], self.at)
            ]
        head, by = named(self.parts), f"the detector {self.at.replace('_', ' ')}"

        def measured(one: Reading) -> str:
            return f"Its score is {one.text} ({one.experiment}); the bound is {one.bound_text}."

        holds, fails = f"{head} scores by {by}", f"{head} does not score by {by}"
        return found_by_reading(self, readings, holds, fails, measured)
