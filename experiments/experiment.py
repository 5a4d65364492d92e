"""The base class of all kinds of experiments: a frozen class whose fields are the configuration; `run` measures.

The tool and its schema, the command, the record, the replay and the page are all made from the class. A language model
chooses by the docstring, whose first line is the question that the kind answers. `kinds.registry` lists the kinds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from .errors import BadConfiguration
from .explain import explain
from .metrics import metrics
from .result import Frozen, Result
from .sites import parse_site
from .tasks.prompt import Split

if TYPE_CHECKING:
    from .lab import Lab
    from .tasks.task import Task


class Whole:
    """Marks a list of texts that may contain commas: a command line gives each as an option of its own."""


class Experiment(Frozen):
    """The configuration that all kinds share. Raises BadConfiguration for wrong or unknown fields."""

    # Whether --tools core includes it.
    core: ClassVar[bool] = False
    kind: ClassVar[str]
    # The question that it answers, under which the map of instruments lists it (see `questions`); empty: the question
    # in its docstring. `aspect` is the part of the question that it answers, if other kinds answer the rest.
    question: ClassVar[str] = ""
    aspect: ClassVar[str] = ""
    # Fields that the first versions did not have.
    later: ClassVar[frozenset[str]] = frozenset({"chat", "system"})
    # For fields whose default differs from the behaviour before they existed: that behaviour.
    before: ClassVar[Mapping[str, Any]] = {}

    # What a command must be given, for a kind with a field that has no default.
    example: ClassVar[str] = ""

    model: Annotated[str, Field(description="Subject model, named as in list_models.")] = "smollm2-135m"
    task: Annotated[str, Field(description="Task, named as in list_tasks.")] = "arithmetic"
    n: Annotated[int, Field(ge=1, le=512, description="Number of prompts.")] = 32
    split: Annotated[
        Split,
        Field(description="explore for exploring; confirm has other prompts, only for tests of predictions."),
    ] = "explore"
    seed: Annotated[int, Field(ge=0, description="Seed of the draw of prompts and random controls.")] = 0
    chat: Annotated[bool, Field(description="Use the chat template.")] = False
    system: Annotated[
        str | None,
        Field(max_length=4000, description="System prompt of the chat."),
    ] = None

    if not TYPE_CHECKING:  # for type checkers, the fields are the signature

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as fault:
                said = " ".join(explain(fault, type(self).model_fields).splitlines())
                raise BadConfiguration(f"{type(self).__name__}: {said}") from fault

        # `model_validate` does not call __init__: code that reads JSON explains faults itself.
        __init__.__pydantic_base_init__ = True

    @model_validator(mode="after")
    def _chat_fits(self) -> Self:
        if self.system is not None and not self.chat:
            raise ValueError("a system prompt needs a chat: set chat, or leave out system")
        if self.chat and not self.asks:
            raise ValueError(f"{self.kind} runs no prompts here, so there is no chat; leave out chat")
        return self

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        """Check the configuration against the subject and the task before anything is loaded. `sizes` has n_layers,
        n_heads and so on, as far as known. Raises BadConfiguration or BadTask."""
        task.require(self.n, self.split)
        # Report a broken installed metric now, not after minutes of work.
        metrics()

    def check_sites(self) -> None:
        """Check that the names of sites are valid for some model. Raises BadConfiguration."""
        for field in ("heads", "neurons", "sites"):
            if field in type(self).model_fields:
                for name in getattr(self, field) or ():
                    parse_site(name, "neurons" if field == "neurons" else "z")

    def run(self, lab: Lab) -> Result:
        raise NotImplementedError

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        """The largest number of random control sets; None if there are none, or the number is not known in advance."""
        return None

    def removed(self, site: str, n_layers: int) -> frozenset[str]:
        """The parts whose removal an effect at this site measures: "L7.H3", "L7.mlp", and "L7" for a layer. Empty if it
        does not measure a removal."""
        return frozenset()

    def removal_method(self) -> str:
        """How it removes parts: zero, mean, resample or skip."""
        return getattr(self, "method", None) or "skip"

    @property
    def draw(self) -> tuple[int, Split, int]:
        """What determines the prompts: number, split and seed."""
        return self.n, self.split, self.seed

    @property
    def asks(self) -> bool:
        """Whether it runs the task's prompts."""
        return True

    @property
    def asked(self) -> str:
        """A sentence on how the prompts were asked; empty for plain text."""
        if not self.chat:
            return ""
        system = "" if self.system is None else f", with the system prompt {self.system!r}"
        return f"The prompts were asked through the subject's chat template{system}."

    def config(self) -> dict[str, Any]:
        """The fields as JSON. A field that was added later is left out if it has its default, so a configuration is the
        same, and can be found, in older trackers."""
        whole, fields = self.model_dump(mode="json"), type(self).model_fields
        return {name: value for name, value in whole.items() if name not in self.later or value != fields[name].default}

    @classmethod
    def as_logged(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration from a tracker, with the old meaning of fields that did not exist yet."""
        return {**cls.before, **config}

    def require_metric(self, metric: str, task: Task) -> None:
        """Raises BadConfiguration if the task's prompts lack the answer or distractor that the metric needs."""
        wanted = metrics()[metric]
        if task.answer_kind == "open" and wanted.needs_answer:
            free = " or ".join(name for name, one in metrics().items() if not one.needs_answer)
            raise BadConfiguration(
                f"The prompts of {self.task} have no answer, which {metric} needs. Use metric {free}."
            )
        if wanted.needs_distractor and any(p.distractor is None for p in task.prompts(self.n, self.split, self.seed)):
            raise BadConfiguration(
                f"The task {self.task} has prompts without a distractor, which {metric} needs. Use metric loss."
            )

    def config_hash(self) -> str:
        text = json.dumps({"kind": self.kind, **self.config()}, sort_keys=True)
        return hashlib.sha256(b"lashley config 1 " + text.encode()).hexdigest()[:24]
