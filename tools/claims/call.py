"""A claim from outside: from a language model in its report, or from a person at the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...experiments.errors import nearest
from ...experiments.explain import explain
from ..report.escape import clipped
from .claim import CannotClaim, Claim, Finding
from .counted import counted
from .of_value import OnValue
from .parts import lacks, sizes_of
from .registry import claim_types, names
from .types.attends import Attends
from .types.differs import Differs

if TYPE_CHECKING:
    from ..report.study import Study

# The fields besides the type; each type takes some of them.
FIELDS = ("task", "parts", "besides", "at", "value", "of", "bound")

OF_VALUE = ("value", "at")


class TypedClaim(BaseModel):
    """A claim as flat fields, of which each type takes its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, Field(description=", ".join(names()))]
    parts: Annotated[list[str] | None, Field(description="What it is about: L7.H3, L5.mlp, L4.")] = None
    task: Annotated[str | None, Field(description="Null: the study's.")] = None
    at: Annotated[
        str | None,
        Field(
            description="attends: the span; decodable: the position; scores: the detector; role: the role; differs: "
            "the other task; contrast, ratio: the other experiment, E3."
        ),
    ] = None
    value: Annotated[str | None, Field(description="decodable, carries: a named value, a+b.")] = None
    besides: Annotated[list[str] | None, Field(description="needed_within: the other parts of the set.")] = None
    of: Annotated[
        str | None,
        Field(description="predicted: H1 or its second prediction H1.2; faithful: C1; behaves, contrast, ratio: E5."),
    ] = None
    bound: Annotated[
        str | None, Field(description="behaves: accuracy_drop > 0.2; contrast, ratio: effect[L7.H3] < -0.1.")
    ] = None


def claim_from(given: TypedClaim, task: str | None) -> Claim:
    """The claim. Raises CannotClaim for an unknown type, and for missing or superfluous fields."""
    types = claim_types()
    if given.type not in types:
        raise CannotClaim(f"There is no type of claim '{given.type}'. {nearest(given.type, types)}")
    if "parts" in types[given.type].model_fields and not given.parts:
        raise CannotClaim(f"{given.type}: name the parts that it is about, such as L7.H3, or L24 for a layer.")
    fields: dict[str, Any] = {name: value for name in FIELDS if (value := getattr(given, name)) is not None}
    fields.setdefault("task", task or "")
    try:
        return types[given.type].model_validate(fields)
    except ValidationError as fault:
        raise CannotClaim(f"{given.type}: {' '.join(explain(fault).split())}") from fault


def claim_on(study: Study, given: TypedClaim) -> Claim:
    """The claim, on a task and on parts that exist. Raises CannotClaim."""
    claim = claim_from(given, study.run.task)
    studied = list(dict.fromkeys(row.task for row in counted(study) if row.task))
    spoken_of = {claim.task, *claim.others} if isinstance(claim, Differs) else {claim.task}
    for task in sorted(spoken_of - {*studied, study.run.task or ""}):
        raise CannotClaim(f"No experiment of {study.run.id} has the task '{clipped(task, 40)}'; studied: "
                          f"{', '.join(studied) or 'none'}.")  # fmt: skip
    if isinstance(claim, OnValue):
        claim.require_measured(study)
    if isinstance(claim, Attends):
        _require_span(claim.at, study, claim.task)
    for part in claim.about:
        why_not = lacks(part, sizes_of(study))
        if why_not:
            raise CannotClaim(f"The model has no {part}. {why_not}")
    return claim


def _require_span(span: str, study: Study, task: str) -> None:
    """Raises CannotClaim for a span to which no attention was measured."""
    metrics = {effect.metric for row in counted(study, task, ["attention_patterns"]) for effect in row.effects}
    spans = sorted(one.removeprefix("to_") for one in metrics)
    if span not in spans:
        raise CannotClaim(
            f"No attention to '{clipped(span, 40)}' was measured; measured: {', '.join(spans) or 'none'}."
        )


def kept(claim: Claim) -> dict[str, Any]:
    """The claim as JSON, with its type. A claim on the answer has the form that it had before claims had values."""
    fields = claim.model_dump(mode="json")
    return {"type": claim.type, **{name: v for name, v in fields.items() if name not in OF_VALUE or v is not None}}


class NotInstalled(Claim):
    """A claim of a type that another package adds, which is not installed here."""

    type: ClassVar[str] = "not_installed"

    of: str
    parts: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return f"{self.of}: {', '.join(self.parts) or self.task}?"

    @property
    def about(self) -> tuple[str, ...]:
        return self.parts

    def judge(self, study: Study) -> Finding:
        said = f"What '{self.of}' claims cannot be judged here: install the package that adds this type of claim."
        return Finding(claim=self, verdict="untested", sentence=said)


def read_claim(data: dict[str, Any]) -> Claim:
    """A claim from its stored form. Raises CannotClaim."""
    if data.get("type") not in claim_types():
        return NotInstalled(task=data.get("task") or "", of=str(data.get("type")), parts=tuple(data.get("parts") or ()))
    fields = {name: value for name, value in data.items() if name in FIELDS}
    return claim_from(TypedClaim(type=str(data.get("type")), **fields), None)
