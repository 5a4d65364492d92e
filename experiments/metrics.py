"""The metrics that measure a model's answer. Each row is one metric, and everything that depends on a metric reads it.

The rows determine the choices of `--metric`, the schema of each kind, the unit, the sign of damage, the test and the
cheapest readout. Another package adds a metric with an entry point of `lashley.metrics` that names a `Metric`.
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
    """How to compute one number per prompt from a prediction.

    read              the model's predictions for some prompts -> [row], one number for each
    reads             what `read` uses. answer: every token of the answer. first: the whole prediction where answer and
                      distractor first differ. pair: only their two tokens there. Less is cheaper.
    worse             the sign of a change that is damage: 1 if more is worse, -1 if less is worse
    needs_answer      whether prompts must have an answer; `needs_distractor`: a distractor
    has_slope         whether it has a slope at the intact model, so that gradients can estimate its changes
    from_intact       whether it is a distance from the intact model's prediction: 0 there and never negative, so it has
                      no value of its own there, no slope, and no sign to flip for a p-value
    change            the name of its paired change as a measurement
    least, most       the limits of its values, if any: no interval of its mean goes beyond them
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
            raise ValueError(f"the name of a metric must be lower-case letters, digits and _, not {self.name!r}")
        if self.reads == "pair" and not self.needs_distractor:
            raise ValueError(f"{self.name} reads the pair of answer and distractor, so needs_distractor must be True")
        if self.needs_distractor and not self.needs_answer:
            raise ValueError(f"{self.name} needs a distractor, so needs_answer must be True")
        if not self.needs_answer and self.reads != "first":
            raise ValueError(f'{self.name} needs no answer, so reads must be "first"')
        if self.from_intact and (self.has_slope or self.reads != "first"):
            raise ValueError(f'{self.name} is a distance from the intact prediction: it reads "first" and has no slope')
        return self


# --- built in -----------------------------------------------------------------------------------------------------


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

# In the order of the choices.
BUILT_IN = (LOGIT_DIFF, LOSS, PROB, KL)


# --- by name --------------------------------------------------------------------------------------------------


def metrics() -> dict[str, Metric]:
    """All metrics by name: built-in, then of installed packages. Raises BadConfiguration if one cannot be used."""
    return {name: one.thing for name, one in all_registered().items()}


@cache
def all_registered() -> dict[str, Registered[Metric]]:
    """The metrics, each with its package."""
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
    """The limits of the values of a metric, or of an answer's ranks; infinite for another name."""
    known = metrics().get(name or "")
    least, most = (0 if name == "rank" else None, None) if known is None else (known.least, known.most)
    return float("-inf") if least is None else least, float("inf") if most is None else most


def rests_on_preference(name: str | None) -> bool:
    """Whether it is a metric that compares the answer with a wrong one."""
    known = metrics().get(name or "")
    return known is not None and known.needs_distractor


def require_slope(name: str, way_out: str) -> None:
    """Raises BadConfiguration for a metric whose changes gradients cannot estimate."""
    if not metrics()[name].has_slope:
        raise BadConfiguration(f"{name} has no gradient at the intact model: {way_out}.")


# --- as a field of a kind -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneOf:
    """A field with the name of a metric that fits: values are checked, and the schema lists the names.

    The names are looked up at each use, because an installed package may define a metric together with a kind.
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
# Metrics that can compare two runs other than an intact and an edited one.
OwnMetric = Annotated[str, OneOf(lambda metric: not metric.from_intact)]
# Metrics of which a share can be left: more is better, and 0 means nothing is left.
ShareMetric = Annotated[str, OneOf(lambda metric: metric.worse < 0)]
