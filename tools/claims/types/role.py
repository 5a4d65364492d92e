"""`role`: a head plays a published role: the whole conjunction by which its source defines the role."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from ...report.study import Study
from ..by_reading import SUFFIX, effects_at
from ..claim import Claim, ClaimOnParts, Finding
from ..together import missing, weakest
from ..words import capitalized, named
from .attends import Attends
from .needed import Needed
from .scores import Scores
from .writes import Writes

RoleName = Literal["induction head", "previous token head", "duplicate token head", "name mover"]


class Role(NamedTuple):
    """detectors: what the head scores by; answer: whether it attends to the answer's span and writes the answer."""

    source: str
    detectors: tuple[str, ...] = ()
    answer: bool = False


ROLES: dict[str, Role] = {
    "induction head": Role(
        "Olsson et al. 2022, arXiv 2209.11895: prefix matching and copying", ("induction", "copying")
    ),
    "previous token head": Role("Olsson et al. 2022, arXiv 2209.11895", ("previous_token",)),
    "duplicate token head": Role("Wang et al. 2022, arXiv 2211.00593", ("duplicate_token",)),
    "name mover": Role("Wang et al. 2022, arXiv 2211.00593: attends to the name, and copies it", answer=True),
}


# The spans that contain the answer: its earlier mention or, in ioi, the indirect object.
NAMES = ("answer", "io")


def _name(study: Study, task: str, head: str) -> str:
    """The span of the answer to which attention was measured."""
    return next(
        (at for at in NAMES if any(effects_at(study, ["attention_patterns"], task, head, f"to_{at}"))), NAMES[0]
    )


class PlaysRole(ClaimOnParts):
    """A head plays a published role in the task: an induction head matches prefixes, copies and is needed; a name mover
    attends to the answer, writes it and is needed. Every part of the definition must be shown."""

    type: ClassVar[str] = "role"
    which: ClassVar[str] = "Which heads of the model are {at}s in {task}?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One head.")]
    at: Annotated[RoleName, Field(description="The role.")]

    @property
    def question(self) -> str:
        return f"Is {named(self.parts)} a {self.at} in {self.task}?".replace("a induction", "an induction")

    def judge(self, study: Study) -> Finding:
        role, task, parts = ROLES[self.at], self.task, self.parts
        pieces: list[Claim] = [
            Scores.model_validate({"task": task, "parts": parts, "at": one}) for one in role.detectors
        ]
        if role.answer:
            pieces += [Attends(task=task, parts=parts, at=_name(study, task, parts[0])), Writes(task=task, parts=parts)]
        findings = [one.judge(study) for one in (*pieces, Needed(task=task, parts=parts))]
        verdict = weakest(findings)
        if verdict == "refuted" and all(one.verdict != "refuted" for one in findings[:-1]):
            # Another part may stand in for it. So "not needed alone" does not mean that the head does something else.
            verdict = "undecided"
        a = f"{'an' if self.at[0] in 'aeiou' else 'a'} {self.at} in {task}"
        head = named(parts)
        if verdict == "refuted":
            said = f"{capitalized(head)} is not {a} ({SUFFIX[verdict]})."
        elif verdict in ("undecided", "untested"):
            said = f"It is not shown that {head} is {a}."
        else:
            said = f"{capitalized(head)} is {a} ({SUFFIX[verdict]})."
        lacking = missing(findings)
        shown = lacking[:2] if lacking and verdict not in ("seen",) else findings
        return Finding(
            claim=self, verdict=verdict, sentence=said, because=" ".join(one.short for one in shown),
            evidence=tuple(e for one in findings for e in one.evidence),
            untested=(f"The role is defined by {role.source}.",),
        )  # fmt: skip
