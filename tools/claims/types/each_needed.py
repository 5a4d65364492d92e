"""`each_needed`: every one of these parts is needed by itself."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import SUFFIX
from ..claim import ClaimOnParts, Finding
from ..together import missing, weakest
from ..words import capitalized, named
from .needed import Needed


class EachNeeded(ClaimOnParts):
    """The task needs every one of these parts, each removed by itself. One that is not needed refutes it."""

    type: ClassVar[str] = "each_needed"

    parts: Annotated[tuple[str, ...], Field(min_length=2, description="The parts, two or more: L0.H1, L0.H2.")]

    @property
    def question(self) -> str:
        return f"Does {self.task} need each of {named(self.parts)}?"

    def judge(self, study: Study) -> Finding:
        each = [Needed(task=self.task, parts=(part,)).judge(study) for part in self.parts]
        verdict, them = weakest(each), named(self.parts)
        # Damage under zero alone is not need.
        partial = any(one.partial for one in each)
        if verdict == "refuted":
            sentence = f"{capitalized(them)} are not each needed for {self.task} ({SUFFIX[verdict]})."
        elif verdict in ("undecided", "untested") or partial:
            sentence = f"It is not shown that each of {them} is needed for {self.task}."
        else:
            is_needed = "looks needed" if verdict == "seen" else "is needed"
            sentence = f"Each of {them} {is_needed} for {self.task} ({SUFFIX[verdict]})."
        lacking = missing(each) or [one for one in each if one.partial]
        return Finding(
            claim=self, verdict=verdict, sentence=sentence, because=" ".join(one.short for one in lacking or each),
            evidence=tuple(number for one in each for number in one.evidence), partial=partial,
        )  # fmt: skip
