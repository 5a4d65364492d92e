"""`spare`: removing these parts changes nothing beyond the standard bound."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_reading import SUFFIX
from ..by_removal import (
    SPARE,
    Found,
    agreeing,
    bound_text,
    by_removal,
    not_tried,
    number_of,
    one_question,
    seen_otherwise,
    unable,
    with_others,
)
from ..claim import ClaimOnParts, Finding
from ..words import capitalized, listed, named


class Spare(ClaimOnParts):
    """The task can spare these parts: removed together (or the one alone), the whole interval of the change lies within
    the standard bound, on both sides of zero, under zero, mean and resample, on held-out prompts."""

    type: ClassVar[str] = "spare"
    which: ClassVar[str] = "Which {among} can {task} spare?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, description="One part, or a set that is removed at once.")]

    @property
    def question(self) -> str:
        return f"Can {self.task} spare {named(self.parts)}?"

    def judge(self, study: Study) -> Finding:
        found = by_removal(study, frozenset(self.parts), self.task, SPARE)
        return Finding(
            claim=self, verdict=found.verdict, sentence=self.sentence(found),
            because=self.because(study, found), evidence=found.evidence,
            against=(*unable(study, found), *one_question(found), *seen_otherwise(found, SPARE, len(self.parts))),
            untested=tuple(filter(None, [not_tried(found, frozenset(self.parts))])),
        )  # fmt: skip

    def sentence(self, found: Found) -> str:
        them, together = named(self.parts), "" if len(self.parts) == 1 else ", all at once"
        its = f"{capitalized(them)} can be spared for {self.task}{together}"
        match found.verdict:
            case "confirmed" | "seen":
                return f"{its} ({SUFFIX[found.verdict]})."
            case "supported":
                return f"{its} ({SUFFIX['supported']}, by {listed(found.that('for'))} ablation)."
            case "refuted":
                return f"{capitalized(them)} cannot be spared for {self.task}{together} ({SUFFIX['refuted']})."
            case "undecided":
                return f"Whether {them} can be spared for {self.task}{together} is undecided."
            case "untested":
                return f"Whether {them} can be spared for {self.task} was not tested."

    def because(self, study: Study, found: Found) -> str:
        bound = bound_text(study, self.task, found)
        if found.verdict == "untested":
            alone = with_others(study, frozenset(self.parts), self.task)
            return alone or f"No experiment removed {'it' if len(self.parts) == 1 else 'them'}."
        number = number_of(found, len(self.parts))
        match found.verdict:
            case "refuted":
                return f"{number}, beyond the bound of {bound}."
            case "undecided":
                return f"{number}; the bound is ±{bound}."
            case _:
                agree = agreeing(found)
                agree = agree if found.verdict == "confirmed" else ""
                return f"{number}, within ±{bound}{agree}."
