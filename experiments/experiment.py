"""What a kind of experiment is: a frozen class whose fields are the configuration and whose `run` is the deed.

From the class alone come the tool and its schema, the command, the record, the replay and the page about it.
The docstring is what a language model chooses by: its first line says which question is answered. The kinds themselves
are listed in `kinds.registry`.
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


class Experiment(Frozen):
    """The configuration that every kind has. Raises BadConfiguration for fields that are wrong or unknown."""

    # Whether it is among the few that a study offers with --tools core.
    core: ClassVar[bool] = False
    kind: ClassVar[str]
    # The question that it answers, under which the map of instruments lists it (`questions` has ours); empty for the
    # question that its docstring opens with. `aspect` is what of it, where other kinds answer the rest.
    question: ClassVar[str] = ""
    aspect: ClassVar[str] = ""
    # Fields that did not exist when the first trackers were written.
    later: ClassVar[frozenset[str]] = frozenset({"chat", "system"})
    # And those whose default is not what was done before there was the field: what was done.
    before: ClassVar[Mapping[str, Any]] = {}

    model: Annotated[str, Field(description="The subject model, as list_models names it.")] = "smollm2-135m"
    task: Annotated[str, Field(description="The task, as list_tasks names it.")] = "arithmetic"
    n: Annotated[int, Field(ge=1, le=512, description="How many prompts.")] = 32
    split: Annotated[
        Split,
        Field(description="explore to look around; confirm holds other prompts, for the tests of predictions alone."),
    ] = "explore"
    seed: Annotated[int, Field(ge=0, description="Which prompts are drawn, and which random controls.")] = 0
    chat: Annotated[bool, Field(description="Ask through the chat template.")] = False
    system: Annotated[
        str | None,
        Field(max_length=4000, description="Its system prompt."),
    ] = None

    if not TYPE_CHECKING:  # for whom the fields themselves are the signature

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as fault:
                said = " ".join(explain(fault, type(self).model_fields).splitlines())
                raise BadConfiguration(f"{type(self).__name__}: {said}") from fault

        # `model_validate` does not come this way: what reads JSON explains it in its own place.
        __init__.__pydantic_base_init__ = True

    @model_validator(mode="after")
    def _chat_fits(self) -> Self:
        if self.system is not None and not self.chat:
            raise ValueError("a system prompt is part of a chat: set chat as well, or leave out system")
        if self.chat and not self.asks:
            raise ValueError(f"{self.kind} asks the subject nothing here, so there is no chat; leave out chat")
        return self

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        """Refuse what the subject or the task cannot hold, before anything is loaded. `sizes` has n_layers, n_heads
        and so on, as far as they are known. Raises BadConfiguration or BadTask."""
        task.require(self.n, self.split)
        # An installed one that is broken is told before minutes of work.
        metrics()

    def check_sites(self) -> None:
        """Refuse what names no place in any model. Raises BadConfiguration."""
        for field in ("heads", "neurons", "sites"):
            if field in type(self).model_fields:
                for name in getattr(self, field) or ():
                    parse_site(name, "neurons" if field == "neurons" else "z")

    def run(self, lab: Lab) -> Result:
        raise NotImplementedError

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        """How many random sets, at most, will stand beside what is edited; None where there are none, or nobody knows
        beforehand."""
        return None

    def removed(self, site: str, n_layers: int) -> frozenset[str]:
        """The parts whose removal an effect at this site is: "L7.H3", "L7.mlp", and "L7" for a layer. Empty where it is
        no removal."""
        return frozenset()

    @property
    def draw(self) -> tuple[int, Split, int]:
        """What decides the prompts: how many, of which split, by which seed."""
        return self.n, self.split, self.seed

    @property
    def asks(self) -> bool:
        """Whether the task's prompts are put to the subject."""
        return True

    @property
    def asked(self) -> str:
        """How the prompts were asked, for a reader; empty for plain text."""
        if not self.chat:
            return ""
        system = "" if self.system is None else f", with the system prompt {self.system!r}"
        return f"The prompts were asked through the subject's chat template{system}."

    def config(self) -> dict[str, Any]:
        """The fields as JSON. One that came later is left out while it has its default, so that a configuration is the
        same, and is found again, in trackers from before."""
        whole, fields = self.model_dump(mode="json"), type(self).model_fields
        return {name: value for name, value in whole.items() if name not in self.later or value != fields[name].default}

    @classmethod
    def as_logged(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration from a tracker with what it meant where a field was not there yet."""
        return {**cls.before, **config}

    def require_metric(self, metric: str, task: Task) -> None:
        """Raises BadConfiguration where the task's prompts have no answer, or no wrong one, to read the metric from."""
        wanted = metrics()[metric]
        if task.answer_kind == "open" and wanted.needs_answer:
            free = " or ".join(name for name, one in metrics().items() if not one.needs_answer)
            raise BadConfiguration(
                f"The prompts of {self.task} have no answer, so there is no {metric}; use metric {free}."
            )
        if wanted.needs_distractor and any(p.distractor is None for p in task.prompts(self.n, self.split, self.seed)):
            raise BadConfiguration(
                f"The task {self.task} has prompts without a distractor, so there is no {metric}; use metric loss."
            )

    def config_hash(self) -> str:
        text = json.dumps({"kind": self.kind, **self.config()}, sort_keys=True)
        return hashlib.sha256(b"lashley config 1 " + text.encode()).hexdigest()[:24]
