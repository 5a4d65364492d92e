"""The kinds of experiments by name: Lashley's, each in the file of its name, then those of installed packages.

A package adds a kind with an entry point of the group `lashley.experiments` that names the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, TypeGuard

from ..edge_names import without_edges
from ..errors import BadConfiguration, UnknownName
from ..experiment import Experiment
from ..installed import Registered, registered

GROUP = "lashley.experiments"
# Settings that are always shown for every kind.
SHOWN = ("model", "task", "n", "split", "seed")
# In the order of the lists: by the question that they answer.
OURS = (
    "free_run",
    "baseline",
    "layer_program",
    "block_influence",
    "linear_shortcut",
    "head_ablation",
    "mlp_ablation",
    "neuron_ablation",
    "minimal_set",
    "pruning_curve",
    "self_repair",
    "activation_patching",
    "attribution_patching",
    "causal_tracing",
    "interchange",
    "path_patching",
    "circuit_discovery",
    "circuit_faithfulness",
    "causal_scrubbing",
    "component_roles",
    "head_composition",
    "direct_logit_attribution",
    "logit_lens",
    "tuned_lens",
    "token_effects",
    "attention_patterns",
    "head_detectors",
    "attention_entropy",
    "ov_qk",
    "saliency",
    "embedding_map",
    "intervene",
)


def kinds() -> dict[str, type[Experiment]]:
    """All kinds by name: Lashley's, then those of installed packages. Raises BadConfiguration if one cannot be used."""
    return {name: one.thing for name, one in all_registered().items()}


def kind(name: str) -> type[Experiment]:
    """The kind of this name. Raises UnknownName with the nearest names."""
    if name not in kinds():
        raise UnknownName("kind of experiment", name, kinds())
    return kinds()[name]


@cache
def all_registered() -> dict[str, Registered[type[Experiment]]]:
    """The kinds, each with its package."""
    ours = {name: in_its_file(name) for name in OURS}
    return registered(ours, GROUP, "kind", is_kind, "a subclass of Experiment with a name (kind)", lambda one: one.kind,
                      BadConfiguration)  # fmt: skip


def in_its_file(name: str) -> type[Experiment]:
    module = import_module(f".{name}", __package__)
    return next(one for one in vars(module).values() if is_kind(one) and one.kind == name)


def is_kind(one: Any) -> TypeGuard[type[Experiment]]:
    return isinstance(one, type) and issubclass(one, Experiment) and isinstance(getattr(one, "kind", None), str)


def own_settings(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration that differ from the kind's defaults, without those that are always shown; for a
    kind that is not installed here, every setting."""
    known = kinds().get(kind)
    return {
        name: value
        for name, value in without_edges(config if known is None else known.as_logged(config)).items()
        if name not in SHOWN
        and (value is not None if known is None or name not in known.model_fields
             else value != known.model_fields[name].default)
    }  # fmt: skip
