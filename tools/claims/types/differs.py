"""`differs`: one task needs a part, and another does not."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import SUFFIX
from ..claim import ClaimOnParts, Finding, Verdict
from ..words import named
from .needed import Needed


class Differs(ClaimOnParts):
    """The task needs the parts and another task does not. Both must be shown, each by its own tests: need that is
    shown only in one is not a difference."""

    type: ClassVar[str] = "differs"
    which: ClassVar[str] = "Which {among} does {task} need where {at} does not?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, description="The parts.")]
    at: Annotated[str, Field(pattern=r"^\S{1,80}$", description="The task that does not need them.")]

    @property
    def question(self) -> str:
        return f"Does {self.task} need {named(self.parts)} where {self.at} does not?"

    def judge(self, study: Study) -> Finding:
        here = Needed(task=self.task, parts=self.parts).judge(study)
        there = Needed(task=self.at, parts=self.parts).judge(study)
        verdict = _verdict(here.verdict, there.verdict)
        them = named(self.parts)
        if verdict == "refuted":
            said = f"It is not so that {self.task} needs {them} and {self.at} does not ({SUFFIX[verdict]})."
        elif verdict in ("undecided", "untested"):
            said = f"Whether {self.task} needs {them} and {self.at} does not is {SUFFIX[verdict]}."
        else:
            said = f"{self.task} needs {them}, and {self.at} does not ({SUFFIX[verdict]})."
        return Finding(claim=self, verdict=verdict, sentence=said, because=f"{here.short} {there.short}",
                       evidence=(*here.evidence, *there.evidence))  # fmt: skip


def _verdict(here: Verdict, there: Verdict) -> Verdict:
    if here == "refuted" or there in ("confirmed", "supported"):
        return "refuted"
    if there == "refuted":
        return here
    return "untested" if "untested" in (here, there) else "undecided"
