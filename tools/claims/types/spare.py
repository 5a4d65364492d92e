"""`spare`: without these parts nothing is lost or gained beyond the standard bound."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ...report.study import Study
from ..by_removal import (
    SPARE,
    Found,
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
            claim=self, verdict=found.verdict, sentence=self.sentence(study, found), evidence=found.evidence,
            against=(*unable(study, found), *one_question(found), *seen_otherwise(found, SPARE, len(self.parts))),
            untested=tuple(filter(None, [not_tried(found, frozenset(self.parts))])),
        )  # fmt: skip

    def sentence(self, study: Study, found: Found) -> str:
        them, task, one = named(self.parts), self.task, len(self.parts) == 1
        bound, its = bound_text(study, self.task, found), f"{capitalized(them)} can be spared for {task}"
        together = "" if one else " (removed all at once)"
        match found.verdict:
            case "confirmed":
                agree = "; the other ways of removal agree" if len(found.answers) > 1 else ""
                return (
                    f"{its}{together} (confirmed on held-out prompts). {number_of(found, len(self.parts))}, within the "
                    f"bound of {bound} on both sides of zero{agree}."
                )
            case "supported":
                return (
                    f"{its}{together} under {listed(found.that('for'))} (supported on held-out prompts). "
                    f"{number_of(found, len(self.parts))}, within the bound of {bound} on both sides of zero."
                )
            case "refuted":
                return (
                    f"{capitalized(them)} cannot be spared for {task}{together} (refuted on held-out prompts). "
                    f"{number_of(found, len(self.parts))}, beyond the bound of {bound}."
                )
            case "undecided":
                return (
                    f"Whether {them} can be spared for {task}{together} is undecided. "
                    f"{number_of(found, len(self.parts))}; the bound is {bound} on both sides of zero."
                )
            case "seen":
                return (
                    f"{its}{together} on the prompts to explore (seen while exploring, not tested on held-out "
                    f"prompts). {number_of(found, len(self.parts))}, within the bound of {bound} on both sides of zero."
                )
            case "untested":
                alone = with_others(study, frozenset(self.parts), self.task)
                said = f"Whether {them} can be spared for {task} was not tested"
                return f"{said}. {alone}" if alone else f"{said}: no experiment removed {'it' if one else 'them'}."
