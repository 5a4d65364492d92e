"""What a study asks: a claim without a verdict, registered before its first experiment.

It names parts ("Does ioi need head L5.H3?"), or it asks which ("Which heads does ioi need?"). The program words it
neutrally, whatever the goal wishes: "show that middle layers do not matter" becomes the question which layers a task
can spare.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from ...experiments.result import Frozen
from .call import TypedClaim, claim_from, kept, read_claim
from .claim import CannotClaim, Claim
from .mentions import mentions
from .registry import claim_types

Among = Literal["parts", "heads", "layers", "MLPs", "neurons"]


_KINDS: dict[Among, set[str]] = {
    "layers": {"layer", "layers", "block", "blocks"},
    "heads": {"head", "heads"},
    "MLPs": {"mlp", "mlps"},
    "neurons": {"neuron", "neurons"},
}
_ANY: tuple[Among, ...] = ("parts",)


class Question(Frozen):
    """A closed question has the `claim` that it asks about; an open one has a type, a task, and a kind of part."""

    type: str
    task: str
    claim: Claim | None = None
    among: Among = "parts"
    at: str | None = None
    value: str | None = None

    @property
    def text(self) -> str:
        if self.claim is not None:
            return self.claim.question
        return claim_types()[self.type].asks_which(self.among, self.task, self.at, self.value)

    @property
    def about(self) -> tuple[str, ...]:
        return () if self.claim is None else self.claim.about

    def asks_for(self, part: str) -> bool:
        """Whether an open question is about such a part: L7.H3 among heads, L7 among layers."""
        last = part.rsplit(".", maxsplit=1)[-1]
        kind = (
            "layers" if "." not in part else "heads" if last.startswith("H") else "MLPs" if last == "mlp"
            else "neurons" if re.fullmatch(r"n\d+", last) else "parts"
        )  # fmt: skip
        return self.among in ("parts", kind)

    def data(self) -> dict[str, Any]:
        """The question as JSON, which `read_question` reads."""
        if self.claim is not None:
            return kept(self.claim)
        return self.model_dump(mode="json", exclude={"claim"}, exclude_none=True)


def question_from(given: TypedClaim, among: Among, task: str | None) -> Question:
    """A question from flat fields; without parts it asks which. Raises CannotClaim for a type that needs an experiment
    or a hypothesis, and for missing fields."""
    types, of = claim_types(), given.task or task or ""
    known = types.get(given.type)
    if known is not None and {"of"} & known.model_fields.keys():
        raise CannotClaim(f"{given.type} is about an experiment or a hypothesis, and there is none yet.")
    if known is None or given.parts or "parts" not in known.model_fields:
        claim = claim_from(given, task)
        return Question(type=claim.type, task=claim.task, claim=claim)
    if not known.which:
        raise CannotClaim(f"{given.type}: name the parts that it is about, such as L7.H3, or L24 for a layer.")
    if given.value and "{what}" not in known.which:
        raise CannotClaim(f"{given.type}: a question about a value names its site, such as L7.resid_pre@last.")
    if "{at}" in known.which and not given.at:
        raise CannotClaim(f"{given.type}: say at what, in `at`.")
    if given.at or given.value:
        # The question contains them, so a claim of the type must accept them there, and names them.
        made = claim_from(given.model_copy(update={"parts": ["L0.H0"]}), task)
        return Question(type=given.type, task=of, among=among, at=given.at, value=getattr(made, "value", None))
    return Question(type=given.type, task=of, among=among)


def read_question(data: dict[str, Any]) -> Question:
    """A registered question."""
    if data.get("type") not in claim_types():
        claim = read_claim(data)
        return Question(type=claim.type, task=claim.task, claim=claim)
    fields = {name: data[name] for name in TypedClaim.model_fields if data.get(name) is not None}
    return question_from(TypedClaim.model_validate(fields), data.get("among", "parts"), None)


def questions_of_goal(goal: str, task: str) -> list[Question]:
    """The questions that the program reads from a goal: whether the parts that it names are needed; if it names none,
    which parts of the kind that it mentions are."""
    if parts := mentions(goal):
        return [_needed(part, task) for part in parts]
    words = set(re.findall(r"[a-z]+", goal.lower()))
    kinds: list[Among] = [among for among, named in _KINDS.items() if words & named]
    return [Question(type="needed", task=task, among=among) for among in kinds or _ANY]


def _needed(part: str, task: str) -> Question:
    return question_from(TypedClaim(type="needed", parts=[part], task=task), "parts", task)
