"""A claim is a type, parts and a task, without a sentence.

The claim says what it is about. The program looks at everything in the study that bears on it (cited or not), gives the
verdict, and writes the sentence. So a finding cannot rest on a picked number, and cannot say more than its evidence.

A type is one file in `types`: its fields are what a claim of the type names, its docstring is what a language model
reads, and `judge` gives the finding. Another package adds a type by an entry point of `lashley.claims`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from ...experiments.errors import BadConfiguration
from ...experiments.prediction import Comparison
from ...experiments.result import Frozen
from ...experiments.sites import parse_site
from ..errors import ToolError
from .words import in_order

if TYPE_CHECKING:
    from ..report.study import Study

Verdict = Literal["confirmed", "supported", "refuted", "undecided", "seen", "untested"]
# The meaning of each, in the order in which findings appear.
VERDICTS: dict[Verdict, str] = {
    "confirmed": "Held-out tests show it in every way that the type of claim asks for.",
    "supported": "Held-out tests show it in some of these ways, and none contradicts.",
    "refuted": "Held-out tests show the contrary.",
    "undecided": "It was measured, and the intervals decide nothing, or the ways contradict each other.",
    "seen": "The prompts to explore show it. No held-out test did.",
    "untested": "Nothing in the study bears on it.",
}


class Evidence(Frozen):
    """One number that a finding rests on: where it was measured, its name in words, and what it says.

    quantity, comparison, low, high   the number and its bound, in the form of a prediction; "for" says that the number
                                      meets the bound. Without a quantity, it comes from several experiments
    """

    experiment: str
    held_out: bool
    text: str
    says: Literal["for", "against", "open"]
    quantity: str = ""
    comparison: Comparison = "above"
    low: float | None = None
    high: float | None = None


class Finding(Frozen):
    """What the program found about a claim.

    sentence   the answer in one sentence: subject and verdict
    because    the number that decides it, in one or two sentences
    unspecific  random controls do damage beyond the bound, too
    controls   what random controls do in comparison, in one sentence
    against    what speaks against it, or limits it, each one sentence
    untested   what was not tested, each one sentence
    partial    whether the evidence by itself falls short of the claim
    artefact   whether zero does damage, and the mean does not
    """

    claim: Claim
    verdict: Verdict
    sentence: str
    because: str = ""
    controls: str = ""
    unspecific: bool = False
    evidence: tuple[Evidence, ...] = ()
    against: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()
    partial: bool = False
    artefact: bool = False

    @property
    def text(self) -> str:
        return " ".join(filter(None, (self.sentence, self.grounds)))

    @property
    def short(self) -> str:
        """The answer and the number that decides it."""
        return " ".join(filter(None, (self.sentence, self.because, self.controls if self.unspecific else "")))

    @property
    def grounds(self) -> str:
        """What follows the answer: the number that decides it, what speaks against it, and what was not tested."""
        return " ".join(filter(None, (self.because, self.controls, *self.against, *self.untested)))

    @property
    def explored_only(self) -> bool:
        """Whether it rests only on the prompts to explore."""
        return bool(self.evidence) and not any(one.held_out for one in self.evidence)


class CannotClaim(ToolError):
    """The claim cannot be wrong, or names something that does not exist; one line."""

    code = "cannot_claim"


def part_name(text: str) -> str:
    """A part as the program writes it: L7, L7.H3, L7.mlp, L7.resid_post@last, L7.H3.k, or logits. Raises ValueError."""
    place, at, token = text.strip().partition("@")
    place, way = (place[:-2], place[-2:]) if place.endswith((".q", ".k", ".v")) else (place, "")
    if place == "logits":
        return place
    try:
        layer = place[:1] == "L" and place[1:].isdecimal()
        name = f"L{int(place[1:])}" if layer else str(parse_site(place))
    except BadConfiguration as fault:
        raise ValueError(f"'{text}' names no part; write L7, L7.H3, L7.mlp or L7.resid_post") from fault
    if at and not token.isidentifier():
        raise ValueError(f"'{text}' names no part; after @ stands a token, such as @last")
    return f"{name}{way}{at}{token}"


class Claim(Frozen):
    """A claim of some type. Each type has its own fields, besides the task."""

    type: ClassVar[str]
    # The question without parts: "Which {among} does {task} need?"; "" if there is none.
    which: ClassVar[str] = ""

    task: str

    @classmethod
    def asks_which(cls, among: str, task: str, at: str | None = None, value: str | None = None) -> str:
        """The open question, without parts."""
        return cls.which.format(among=among, task=task, at=at)

    def judge(self, study: Study) -> Finding:
        """Raises CannotClaim for what the study's model or task does not have."""
        raise NotImplementedError

    @property
    def question(self) -> str:
        """The neutral question that the claim answers."""
        raise NotImplementedError

    @property
    def about(self) -> tuple[str, ...]:
        """The heads, layers and other parts that it names."""
        return ()


class ClaimOnParts(Claim):
    """A claim that names heads, layers or other parts. The type's own field says how many it takes."""

    # Whether the order of the parts matters.
    ordered: ClassVar[bool] = False

    parts: tuple[str, ...]

    @field_validator("parts", "besides", check_fields=False)
    @classmethod
    def _are_names(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Each once, as the program writes it, in the model's order. A sentence is not a part."""
        names = dict.fromkeys(map(part_name, parts))
        return tuple(names if cls.ordered else in_order(names))

    @property
    def about(self) -> tuple[str, ...]:
        return self.parts
