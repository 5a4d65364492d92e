"""`needed`: without these parts the model loses more of the task than the standard bound."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ....experiments.metrics import is_distance
from ...report.study import Study
from ..by_reading import NOT_TESTED, SUFFIX
from ..by_removal import (
    NEEDED,
    Found,
    agreeing,
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
from ..removals import Removal
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
        controls, unspecific = beside_controls(study, found, len(self.parts))
        return Finding(
            claim=self, verdict=found.verdict, sentence=self.sentence(found), because=self.because(study, found),
            controls=controls, unspecific=unspecific, evidence=found.evidence,
            against=(*unable(study, found), *self.against(found)),
            untested=tuple(filter(None, [self.not_each(found), not_tried(found, frozenset(self.parts))])),
            partial=by_zero_alone(found), artefact=found.verdict == "refuted" and _by_zero(found) is not None,
        )  # fmt: skip

    def not_each(self, found: Found) -> str:
        """A sentence, if a set is needed: it may contain parts that are not."""
        several = len(self.parts) > 1 and found.verdict in ("confirmed", "supported", "seen")
        return "This does not show that each of them is needed." if several and not by_zero_alone(found) else ""

    def sentence(self, found: Found) -> str:
        them, task, one = named(self.parts), self.task, len(self.parts) == 1
        are = "is" if one else "are"
        are_needed = f"{are}{'' if one else ', together,'} needed for {task}"
        explored = not any(number.held_out for number in found.numbers)
        match found.verdict:
            case "untested":
                return f"Whether {them} {are_needed} was not tested."
            case "confirmed":
                return f"{capitalized(them)} {are_needed} ({SUFFIX['confirmed']})."
            case "supported" | "seen" if by_zero_alone(found):
                return f"Setting {them} to zero hurts {task} ({SUFFIX[found.verdict]})."
            case "supported":
                ways = listed(found.that("for"))
                return f"{capitalized(them)} {are_needed} ({SUFFIX['supported']}, by {ways} ablation)."
            case "refuted":
                return f"{capitalized(them)} {are} not needed for {task} ({SUFFIX['refuted']})."
            case "seen":
                look = f"look{'s' if one else ''} needed{'' if one else ', together,'} for {task}"
                return f"{capitalized(them)} {look} ({SUFFIX['seen']})."
            case _ if found.that("against") and explored:
                return f"{capitalized(them)} {'does' if one else 'do'} not look needed for {task} ({NOT_TESTED})."
            case _:
                return f"Whether {them} {are_needed} is undecided."

    def because(self, study: Study, found: Found) -> str:
        one, bound = len(self.parts) == 1, bound_text(study, self.task, found)
        if found.verdict == "untested":
            alone = with_others(study, frozenset(self.parts), self.task)
            return alone or f"No experiment removed {'it' if one else 'them'}."
        number = number_of(found, len(self.parts))
        match found.verdict:
            case "confirmed":
                agree = agreeing(found)
                return f"{number}, more than the bound of {bound}{agree}."
            case "supported" | "seen":
                return f"{number}, more than the bound of {bound}."
            case "refuted":
                return f"{number}, less than the bound of {bound}."
            case _ if found.that("against") and not any(number.held_out for number in found.numbers):
                return f"{number}, less than the bound of {bound}."
            case _:
                return f"{number}; the bound is {bound}."

    def against(self, found: Found) -> tuple[str, ...]:
        said = list(one_question(found))
        them = "it" if len(self.parts) == 1 else "them"
        said += seen_otherwise(found, NEEDED, len(self.parts))
        if by_zero_alone(found):
            said.append(
                "Damage under zero alone does not show need: zero is a value that the model may never have there."
            )
        one = _by_zero(found)
        if found.verdict in ("refuted", "undecided") and one is not None:
            said.append(
                f"Setting {them} to zero does damage ({one.metric} {one.text}, {one.experiment}), but replacing it "
                "by its mean does not: zero is a value that the model may never have there."
                if len(self.parts) == 1 else
                f"Setting {them} to zero does damage ({one.metric} {one.text}, {one.experiment}), but replacing "
                "them by their means does not: zero is a value that the model may never have there."
            )  # fmt: skip
        contrary = [
            one for one in found.numbers
            if not one.decides and not is_distance(one.metric) and one.held_out and NEEDED[one.says] != "open"
            and (NEEDED[one.says] == "for") == (found.verdict == "refuted")
        ]  # fmt: skip
        if contrary and found.verdict in ("confirmed", "supported", "refuted"):
            one = contrary[0]
            said.append(f"{one.metric} says otherwise: {one.text} under {one.method} ({one.experiment}).")
        return tuple(said)


def by_zero_alone(found: Found) -> bool:
    """Whether only zero shows damage, which is not need: the model may never have that value there."""
    return found.verdict in ("supported", "seen") and found.that("for") == ["zero"]


def _by_zero(found: Found) -> Removal | None:
    """The damage that zero does if the mean does none."""
    zero = [one for one in found.numbers if one.method == "zero" and one.says == "more" and one.decides]
    return zero[-1] if zero and found.answers.get("mean") == "against" else None
