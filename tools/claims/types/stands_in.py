"""`stands_in`: parts that back each other up, so that all of them are needed and none is alone."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import SUFFIX
from ..claim import ClaimOnParts, Finding
from ..together import weakest
from ..words import capitalized, named
from .needed import Needed
from .spare import Spare


class StandsIn(ClaimOnParts):
    """Parts stand in for each other: removed all at once they cost more than the standard bound, and each alone is
    spare."""

    type: ClassVar[str] = "stands_in"
    which: ClassVar[str] = "Which {among} stand in for each other in {task}?"

    parts: Annotated[tuple[str, ...], Field(min_length=2, description="The parts, two or more: L0.H1, L0.H2.")]

    @property
    def question(self) -> str:
        return f"Do {named(self.parts)} stand in for each other in {self.task}?"

    def judge(self, study: Study) -> Finding:
        all_of_them = Needed(task=self.task, parts=self.parts).judge(study)
        each = [Spare(task=self.task, parts=(part,)).judge(study) for part in self.parts]
        verdict = weakest([all_of_them, *each])
        them, where = capitalized(named(self.parts)), f"in {self.task}"
        if verdict == "refuted":
            head = f"{them} do not stand in for each other {where} ({SUFFIX[verdict]})."
        elif verdict in ("untested", "undecided"):
            head = f"Whether {named(self.parts)} stand in for each other {where} is {SUFFIX[verdict]}."
        else:
            head = f"{them} stand in for each other {where} ({SUFFIX[verdict]})."
        deciding = next((one for one in each if one.verdict == verdict), all_of_them)
        if all_of_them.verdict == verdict:
            deciding = all_of_them
        rest = [
            one.short for one in (all_of_them, *each) if one is not deciding and verdict in ("confirmed", "supported")
        ]
        return Finding(claim=self, verdict=verdict, sentence=head, because=" ".join((deciding.short, *rest)),
                       evidence=(*all_of_them.evidence, *(e for one in each for e in one.evidence)))  # fmt: skip
