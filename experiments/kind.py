"""What a kind of experiment is: a frozen class whose fields are the configuration and whose `run` is the deed.

From the class alone come the tool and its schema, the command, the record, the replay and the page about it.
The docstring is what a language model chooses by: its first line says which question is answered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from .errors import BadConfiguration, UnknownName
from .explain import explain
from .result import Frozen, Result
from .tasks.prompt import Split

if TYPE_CHECKING:
    from .lab import Lab
    from .tasks.task import Task

GROUP = "lashley.experiments"
SHOWN = ("model", "task", "n", "split", "seed")


class Experiment(Frozen):
    """The configuration that every kind has. Raises BadConfiguration for fields that are wrong or unknown."""

    # Whether it is among the few that a study offers with --tools core.
    core: ClassVar[bool] = False
    kind: ClassVar[str]
    # Fields that did not exist when the first trackers were written.
    later: ClassVar[frozenset[str]] = frozenset({"chat", "system"})

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
                said = " ".join(explain(fault).splitlines())
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

    def run(self, lab: Lab) -> Result:
        raise NotImplementedError

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        """How many random sets, at most, will stand beside what is edited; None where there are none, or nobody knows
        beforehand."""
        return None

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

    def require_metric(self, metric: str, task: Task) -> None:
        """Raises BadConfiguration where the task's prompts have no answer, or no wrong one, to read the metric from."""
        if task.answer_kind == "open" and metric != "kl":
            raise BadConfiguration(
                f"The prompts of {self.task} have no answer, so there is no {metric}; use metric kl."
            )
        if metric == "logit_diff" and any(p.distractor is None for p in task.prompts(self.n, self.split, self.seed)):
            raise BadConfiguration(
                f"The task {self.task} has prompts without a distractor, so there is no logit_diff; use metric loss."
            )

    def config_hash(self) -> str:
        text = json.dumps({"kind": self.kind, **self.config()}, sort_keys=True)
        return hashlib.sha256(b"lashley config 1 " + text.encode()).hexdigest()[:24]


@cache
def kinds() -> dict[str, type[Experiment]]:
    """All kinds by name: ours, then those of installed packages. Raises BadConfiguration when one cannot be used."""
    from .kinds.activation_patching import ActivationPatching
    from .kinds.attention_entropy import AttentionEntropy
    from .kinds.attention_patterns import AttentionPatterns
    from .kinds.attribution_patching import AttributionPatching
    from .kinds.baseline import Baseline
    from .kinds.block_influence import BlockInfluence
    from .kinds.causal_tracing import CausalTracing
    from .kinds.direct_logit_attribution import DirectLogitAttribution
    from .kinds.embedding_map import EmbeddingMap
    from .kinds.head_ablation import HeadAblation
    from .kinds.head_composition import HeadComposition
    from .kinds.head_detectors import HeadDetectors
    from .kinds.layer_program import LayerProgram
    from .kinds.linear_shortcut import LinearShortcut
    from .kinds.logit_lens import LogitLens
    from .kinds.minimal_set import MinimalSet
    from .kinds.mlp_ablation import MlpAblation
    from .kinds.neuron_ablation import NeuronAblation
    from .kinds.ov_qk import OvQk
    from .kinds.path_patching import PathPatching
    from .kinds.pruning_curve import PruningCurve
    from .kinds.saliency import Saliency
    from .kinds.self_repair import SelfRepair
    from .kinds.token_effects import TokenEffects
    from .kinds.tuned_lens import TunedLens

    ours: list[type[Experiment]] = [Baseline, HeadAblation, MlpAblation, NeuronAblation, LayerProgram]
    ours += [LogitLens, TunedLens, DirectLogitAttribution, BlockInfluence, LinearShortcut]
    ours += [AttentionEntropy, AttentionPatterns, HeadComposition, HeadDetectors, OvQk]
    ours += [MinimalSet, PruningCurve]
    ours += [ActivationPatching, AttributionPatching, PathPatching, CausalTracing, SelfRepair]
    ours += [TokenEffects, Saliency, EmbeddingMap]
    found = {k.kind: k for k in ours}
    for entry in entry_points(group=GROUP):
        added = entry.load()
        if not (isinstance(added, type) and issubclass(added, Experiment)):
            raise BadConfiguration(f"The installed kind {entry.value} is no subclass of Experiment.")
        if added.kind in found:
            raise BadConfiguration(f"The installed kind '{added.kind}' ({entry.value}) has the name of another one.")
        found[added.kind] = added
    return found


def kind(name: str) -> type[Experiment]:
    """The kind of this name. Raises UnknownName with the nearest names."""
    if name not in kinds():
        raise UnknownName("kind of experiment", name, kinds())
    return kinds()[name]


def own_settings(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """Of a whole configuration what is not the kind's default, without what is shown of every kind anyway. Of a kind
    that is not installed here, everything that is set."""
    known = kinds().get(kind)
    return {
        name: value
        for name, value in config.items()
        if name not in SHOWN
        and (value is not None if known is None or name not in known.model_fields
             else value != known.model_fields[name].default)
    }  # fmt: skip
