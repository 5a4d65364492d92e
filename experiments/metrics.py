"""The metrics: what a model's answer is measured by. One row is one metric, and whatever depends on a metric reads it.

From a row come the choices of `--metric`, the schema of each kind, the unit, the sign of damage, the test that fits,
and the cheapest readout. Another package adds one by an entry point of `lashley.metrics` that names a `Metric`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from .errors import BadConfiguration
from .installed import Registered, registered
from .result import Frozen

if TYPE_CHECKING:
    from torch import Tensor

    from .answers.scoring import Predicted

GROUP = "lashley.metrics"


class Metric(Frozen):
    """How a prediction is turned into one number a prompt.

    read              what the model predicts for some prompts -> [row], one number for each
    reads             what `read` looks at. answer: every token of the answer. first: the whole prediction where answer
                      and distractor part. pair: only the tokens of answer and distractor there. The less, the cheaper.
    worse             the sign of a change that is damage: 1 where more is worse, -1 where less is
    needs_answer      whether prompts must have an answer; `needs_distractor` the same of a wrong one
    has_slope         whether it has a slope at the intact model, so that gradients can estimate its changes
    from_intact       whether it is a distance from the intact model's prediction: 0 there and never less, so that it
                      has no value of its own there, no slope, and no sign to be flipped for a p-value
    change            what its paired change is called as a measurement
    least, most       the ends of what its values can be, where there are any: no interval of its mean lies beyond them
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    unit: str
    worse: Literal[1, -1]
    read: Callable[[Any], Any]
    reads: Literal["answer", "first", "pair"] = "answer"
    needs_answer: bool = True
    needs_distractor: bool = False
    has_slope: bool = True
    from_intact: bool = False
    change: str = ""
    least: float | None = None
    most: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _names_its_change(cls, data: dict[str, Any]) -> dict[str, Any]:
        name = data.get("name", "")
        return {"change": name if data.get("from_intact") else f"{name}_change", **data}

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if not self.name.isidentifier() or not self.name.islower():
            raise ValueError(f"the name of a metric is small letters, digits and underscores, not {self.name!r}")
        if self.reads == "pair" and not self.needs_distractor:
            raise ValueError(f"{self.name} reads the pair of answer and distractor, so it needs a distractor")
        if self.needs_distractor and not self.needs_answer:
            raise ValueError(f"{self.name} needs a distractor, so it needs an answer as well")
        if not self.needs_answer and self.reads != "first":
            raise ValueError(f'{self.name} needs no answer, so it can read no more than "first"')
        if self.from_intact and (self.has_slope or self.reads != "first"):
            raise ValueError(f'{self.name} is a distance from the intact prediction: it reads "first" and has no slope')
        return self


# --- ours -----------------------------------------------------------------------------------------------------


def read_logit_diff(seen: Predicted) -> Tensor:
    return seen.pair[:, 0] - seen.pair[:, 1]


def read_loss(seen: Predicted) -> Tensor:
    return seen.nll.sum(-1) / seen.there.sum(-1)


def read_prob(seen: Predicted) -> Tensor:
    return (-seen.nll.sum(-1)).exp()


def read_kl(seen: Predicted) -> Tensor:
    return divergence(seen.intact, seen.first)


def divergence(intact: Tensor, edited: Tensor) -> Tensor:
    """Log-probabilities [row, vocabulary] twice -> the KL divergence of the edited from the intact [row], in nats."""
    intact = intact.to(edited.device)
    return (intact.exp() * (intact - edited)).sum(-1).clamp(min=0)


LOGIT_DIFF = Metric(
    name="logit_diff", unit="logits", worse=-1, read=read_logit_diff, reads="pair", needs_distractor=True
)
LOSS = Metric(name="loss", unit="nats", worse=1, read=read_loss, change="loss_increase", least=0)
PROB = Metric(name="prob", unit="probability", worse=-1, read=read_prob, least=0, most=1)
KL = Metric(
    name="kl", unit="nats", worse=1, read=read_kl, reads="first", needs_answer=False, has_slope=False, from_intact=True,
    least=0,
)  # fmt: skip

# In the order in which they are offered.
BUILT_IN = (LOGIT_DIFF, LOSS, PROB, KL)


# --- by name --------------------------------------------------------------------------------------------------


def metrics() -> dict[str, Metric]:
    """All metrics by name: ours, then those of installed packages. Raises BadConfiguration when one cannot be used."""
    return {name: one.thing for name, one in all_registered().items()}


@cache
def all_registered() -> dict[str, Registered[Metric]]:
    """The same, each with the package that it is from."""
    ours = {metric.name: metric for metric in BUILT_IN}
    return registered(ours, GROUP, "metric", lambda one: isinstance(one, Metric), "a Metric",
                      lambda metric: metric.name, BadConfiguration)  # fmt: skip


def unit_of(name: str) -> str:
    """The unit of a metric; empty for another name."""
    known = metrics().get(name)
    return "" if known is None else known.unit


def is_distance(name: str) -> bool:
    """Whether it is a metric whose changes are never negative."""
    known = metrics().get(name)
    return known is not None and known.from_intact


def ends_of(name: str | None) -> tuple[float, float]:
    """Between what the values of a metric, or the ranks of an answer, lie; without end for another name."""
    known = metrics().get(name or "")
    least, most = (0 if name == "rank" else None, None) if known is None else (known.least, known.most)
    return float("-inf") if least is None else least, float("inf") if most is None else most


def rests_on_preference(name: str | None) -> bool:
    """Whether it is a metric that compares the answer with a wrong one."""
    known = metrics().get(name or "")
    return known is not None and known.needs_distractor


def require_slope(name: str, way_out: str) -> None:
    """Raises BadConfiguration for a metric that gradients say nothing of."""
    if not metrics()[name].has_slope:
        raise BadConfiguration(f"{name} has no gradient at the intact model; {way_out}.")


# --- as a field of a kind -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneOf:
    """Makes a field hold the name of a metric that fits: it is checked, and the schema lists the names.

    They are looked up when they are asked for, since an installed package may define a metric beside a kind.
    """

    fits: Callable[[Metric], bool]

    @property
    def names(self) -> list[str]:
        return [name for name, metric in metrics().items() if self.fits(metric)]

    def check(self, name: str) -> str:
        if name not in self.names:
            *most, last = map(repr, self.names)
            raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}" if most else last})
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": self.names}


AnyMetric = Annotated[str, OneOf(lambda metric: True)]
# What two runs can be compared by that are not the intact one and an edited one.
OwnMetric = Annotated[str, OneOf(lambda metric: not metric.from_intact)]
# What a part of can be left: more is better, and nothing is nothing.
ShareMetric = Annotated[str, OneOf(lambda metric: metric.worse < 0)]
