"""`needed`: without these parts the model loses more of the task than the standard bound."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....experiments.metrics import is_distance
from ...report.study import Study
from ..by_removal import (
    NEEDED,
    Found,
    beside_controls,
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


class Needed(ClaimOnParts):
    """The task needs these parts: removed together (or the one alone), they cost more than a tenth of the intact
    logit_diff (0.1 nats of loss where there is none), under zero, mean and resample, on held-out prompts."""

    type: ClassVar[str] = "needed"
    which: ClassVar[str] = "Which {among} does {task} need?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, description="One part, or a set removed at once: L7.H3.")]

    @property
    def question(self) -> str:
        return f"Does {self.task} need {named(self.parts)}?"

    def judge(self, study: Study) -> Finding:
        found = by_removal(study, frozenset(self.parts), self.task, NEEDED)
        sentence = self.sentence(study, found) + beside_controls(study, found, len(self.parts))
        return Finding(
            claim=self, verdict=found.verdict, sentence=sentence, evidence=found.evidence,
            against=(*unable(study, found), *self.against(found)),
            untested=tuple(filter(None, [self.not_each(found), not_tried(found, frozenset(self.parts))])),
            partial=by_zero_alone(found),
        )  # fmt: skip

    def not_each(self, found: Found) -> str:
        """A sentence where a set is needed, which may hold what is not."""
        several = len(self.parts) > 1 and found.verdict in ("confirmed", "supported", "seen")
        return "This does not show that each of them is." if several else ""

    def sentence(self, study: Study, found: Found) -> str:
        them, task, one = named(self.parts), self.task, len(self.parts) == 1
        are_needed = f"{'is' if one else 'are, together,'} needed for {task}"
        is_needed, is_not = (
            f"{capitalized(them)} {are_needed}",
            f"{capitalized(them)} {'is' if one else 'are'} not needed",
        )
        bound = bound_text(study, task, found)
        if found.verdict == "untested":
            alone = with_others(study, frozenset(self.parts), task)
            said = f"Whether {them} {are_needed} was not tested"
            return f"{said}. {alone}" if alone else f"{said}: no experiment removed {'it' if one else 'them'}."
        number = number_of(found, len(self.parts))
        match found.verdict:
            case "confirmed":
                agree = "; the other ways of removal agree" if len(found.answers) > 1 else ""
                return f"{is_needed} (confirmed on held-out prompts). {number}, more than the bound of {bound}{agree}."
            case "supported" if by_zero_alone(found):
                said = f"Setting {them} to zero hurts {task} (supported on held-out prompts)"
                return f"{said}. {number}, more than the bound of {bound}."
            case "supported":
                ways = listed(found.that("for"))
                said = f"{is_needed} under {ways} (supported on held-out prompts)"
                return f"{said}. {number}, more than the bound of {bound}."
            case "refuted":
                said = f"{is_not} for {task} (refuted on held-out prompts)"
                return f"{said}. {number}, less than the bound of {bound}."
            case "seen":
                shown = f"Setting {them} to zero hurts {task}" if by_zero_alone(found) else is_needed
                seen = "on the prompts to explore (seen while exploring, not tested on held-out prompts)"
                return f"{shown} {seen}. {number}, more than the bound of {bound}."
            case _ if found.that("against") and not any(number.held_out for number in found.numbers):
                said = f"{is_not} for {task} on the prompts to explore (not tested on held-out prompts)"
                return f"{said}. {number}, less than the bound of {bound}."
            case _:
                return f"Whether {them} {are_needed} is undecided. {number}; the bound is {bound}."

    def against(self, found: Found) -> tuple[str, ...]:
        said = list(one_question(found))
        them = "it" if len(self.parts) == 1 else "them"
        said += seen_otherwise(found, NEEDED, len(self.parts))
        if by_zero_alone(found):
            said.append("Damage under zero alone shows no need: zero is a value that the model may never have there.")
        zero = [one for one in found.numbers if one.method == "zero" and one.says == "more" and one.decides]
        if found.verdict in ("refuted", "undecided") and zero and found.answers.get("mean") == "against":
            one = zero[-1]
            said.append(
                f"Setting {them} to zero does damage ({one.metric} {one.text}, "
                f"{one.experiment}), which the mean does not: zero is a value that the model may never have there."
            )
        contrary = [
            one for one in found.numbers
            if not one.decides and not is_distance(one.metric) and one.held_out and NEEDED[one.says] != "open"
            and (NEEDED[one.says] == "for") == (found.verdict == "refuted")
        ]  # fmt: skip
        if contrary and found.verdict in ("confirmed", "supported", "refuted"):
            one = contrary[0]
            said.append(f"By {one.metric} it looks otherwise: {one.text} under {one.method} ({one.experiment}).")
        return tuple(said)


def by_zero_alone(found: Found) -> bool:
    """Whether only zero shows damage, which is no need: the model may never have that value there."""
    return found.verdict in ("supported", "seen") and found.that("for") == ["zero"]
