"""`differs`: one task needs a part, and another does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import SUFFIX
from ..claim import ClaimOnParts, Finding, Verdict
from ..words import listed, named
from .needed import Needed


class Differs(ClaimOnParts):
    """The task needs the parts and another task does not. Both must be shown, each by its own tests: need that is
    shown only in one is not a difference. With several other tasks (capitals,gender), none of them may need the parts.
    """

    type: ClassVar[str] = "differs"
    which: ClassVar[str] = "Which {among} does {task} need where {at} does not?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, description="The parts.")]
    at: Annotated[
        str, Field(pattern=r"^\S{1,80}$", description="The task that does not need them, or several: capitals,gender.")
    ]

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(self.at.split(","))

    @property
    def question(self) -> str:
        do_not = "does not" if len(self.others) == 1 else "do not"
        return f"Does {self.task} need {named(self.parts)} where {listed(self.others)} {do_not}?"

    def judge(self, study: Study) -> Finding:
        here = Needed(task=self.task, parts=self.parts).judge(study)
        there = [Needed(task=one, parts=self.parts).judge(study) for one in self.others]
        verdict = _verdict(here.verdict, [one.verdict for one in there])
        does_not = f"{listed(self.others)} {'does' if len(self.others) == 1 else 'do'} not"
        them = named(self.parts)
        if verdict == "refuted":
            said = f"It is not so that {self.task} needs {them} and {does_not} ({SUFFIX[verdict]})."
        elif verdict in ("undecided", "untested"):
            said = f"Whether {self.task} needs {them} and {does_not} is {SUFFIX[verdict]}."
        else:
            said = f"{self.task} needs {them}, and {does_not} ({SUFFIX[verdict]})."
        return Finding(claim=self, verdict=verdict, sentence=said,
                       because=" ".join(one.short for one in (here, *there)),
                       evidence=tuple(number for one in (here, *there) for number in one.evidence))  # fmt: skip


def _verdict(here: Verdict, there: Sequence[Verdict]) -> Verdict:
    if here == "refuted" or {"confirmed", "supported"} & {*there}:
        return "refuted"
    if {*there} == {"refuted"}:
        return here
    return "untested" if "untested" in (here, *there) else "undecided"
