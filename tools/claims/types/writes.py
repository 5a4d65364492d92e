"""`writes`: what a part adds to the stream raises the answer directly."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import ClaimOnParts, Finding
from ..standard import PART
from ..words import named


class Writes(ClaimOnParts):
    """A head or an MLP writes the answer: its direct share of the logits of the answer against the wrong one is more
    than a tenth of the whole, and more than it adds to the answers of other prompts. From direct_logit_attribution."""

    type: ClassVar[str] = "writes"
    which: ClassVar[str] = "Which {among} write the answer of {task}?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One head or MLP.")]

    @property
    def question(self) -> str:
        return f"Does {named(self.parts)} write the answer of {self.task}?"

    def judge(self, study: Study) -> Finding:
        readings: list[Reading] = []
        kinds = ["direct_logit_attribution"]
        for row, effect in effects_at(study, kinds, self.task, self.parts[0], "share"):
            whole = next((one.value for one in row.measurements if one.name == "whole"), 0.0)
            share = against_bound(study, row, effect, max(PART * abs(whole), PART))
            other = [e for r, e in effects_at(study, kinds, self.task, self.parts[0], "specific") if r.id == row.id]
            # A part that raises one word whatever the question does not write the answer.
            if share.answer == "for" and other and other[0].low <= 0:
                share = share._replace(answer="open")
            readings.append(share)
        part, of = named(self.parts), f"the answer of {self.task}"

        def measured(one: Reading) -> str:
            return (
                f"Its direct share of the logit difference is {one.text} ({one.experiment}); a tenth of the whole is "
                f"{one.bound_text}."
            )

        holds, fails = f"{part} writes {of}", f"{part} does not write {of}"
        return found_by_reading(self, readings, holds, fails, measured)
