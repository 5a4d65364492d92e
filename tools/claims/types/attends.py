"""`attends`: a head looks at a span more than equal weights and shuffled weights would."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import ClaimOnParts, Finding
from ..words import named

# The factor by which it must exceed equal weights, and the best head with shuffled weights.
FACTOR = 2.0


class Attends(ClaimOnParts):
    """A head attends from the last token to a span: more than twice what equal weights give, and more than twice the
    most that any head does with shuffled weights. From attention_patterns. It does not show need."""

    type: ClassVar[str] = "attends"
    which: ClassVar[str] = "Which heads attend to {at} in {task}?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One head.")]
    at: Annotated[
        str, Field(min_length=1, pattern=r"^[A-Za-z]\w{0,40}$", description="The span of the task, such as answer.")
    ]

    @property
    def question(self) -> str:
        return f"Does {named(self.parts)} attend to {self.at} in {self.task}?"

    def judge(self, study: Study) -> Finding:
        readings: list[Reading] = []
        for row, effect in effects_at(study, ["attention_patterns"], self.task, self.parts[0], f"to_{self.at}"):
            if row.config.get("query", "last") != "last":
                continue  # that says where it attends from another token
            beside = {one.name: one.value for one in row.measurements}
            usual = max(beside.get(f"even_{self.at}", 0.0), beside.get(f"to_{self.at}_shuffled", 0.0))
            # No share exceeds one, so nothing could pass a higher bound.
            readings.append(against_bound(study, row, effect, min(FACTOR * usual, 0.9)))
        head, at = named(self.parts), f"{self.at} in {self.task}"

        def measured(one: Reading) -> str:
            return (
                f"It puts {one.text} of its attention there ({one.experiment}); twice what equal or shuffled weights "
                f"give is {one.bound_text}."
            )

        holds, fails = f"{head} attends to {at}", f"{head} does not attend to {at}"
        return found_by_reading(self, readings, holds, fails, measured)
