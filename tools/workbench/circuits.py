"""Stored circuits: as what an experiment found, and in the configuration of another one.

A configuration may name a circuit by its id. The program puts the edges into the configuration before it is recorded,
so a replay needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...db import records
from ...db.ids import parse_id
from ...db.records import as_json
from ...experiments.experiment import Experiment
from ...experiments.result import Circuit
from ..arguments import number_of
from ..refusals import refused

if TYPE_CHECKING:
    from .context import Context

# What the tracker adds to a circuit.
_ADDED = ("id", "experiment", "model", "fingerprint", "task", "created")


def as_found(circuit: records.Circuit) -> Circuit:
    """The circuit as the experiment found it."""
    return Circuit.model_validate({name: value for name, value in as_json(circuit).items() if name not in _ADDED})


def with_edges(context: Context, experiment: Experiment) -> Experiment:
    """The experiment with the edges of the stored circuit that it names, if it names one.

    Raises ToolError for a circuit of another model, one that is not stored whole, one that was found on the same
    prompts, or other edges next to it; and NoSuchId.
    """
    if getattr(experiment, "circuit", None) is None:
        return experiment
    named = str(getattr(experiment, "circuit"))  # noqa: B009 - only some kinds have it
    circuit = context.reader.circuit(number_of(named, "circuit"))
    found_by = context.reader.experiment(parse_id(circuit.experiment)[1])
    if not context.may_see(found_by):
        raise refused("held_out_circuit", id=circuit.id)
    require_model(experiment, found_by, circuit.id)
    if not circuit.whole:
        raise refused("circuit_not_whole", id=circuit.id, kept=f"{len(circuit.edges):,}", size=f"{circuit.size:,}")
    edges = [edge.text for edge in circuit.edges]
    given = getattr(experiment, "edges", None)
    if given is not None and set(given) != set(edges):
        raise refused("circuit_and_edges", id=circuit.id)
    require_other_prompts(context, experiment, found_by, circuit.id)
    return experiment.model_copy(update={"circuit": circuit.id, "edges": edges})


def require_model(experiment: Experiment, found_by: records.Experiment, id: str) -> None:
    """Raises ToolError if the circuit is of another model than the experiment's."""
    from ...experiments.model.places import canonical

    if canonical(experiment.model) != found_by.model:
        raise refused("circuit_of_another_model", id=id, model=found_by.model, asked=canonical(experiment.model))


def require_weights(context: Context, experiment: Experiment, fingerprint: str) -> None:
    """Raises ToolError if the model that is loaded now has other weights than those that the circuit was found in."""
    if getattr(experiment, "circuit", None) is None:
        return
    circuit = context.reader.circuit(number_of(str(getattr(experiment, "circuit")), "circuit"))  # noqa: B009
    if circuit.fingerprint != fingerprint:
        raise refused("circuit_of_other_weights", id=circuit.id, model=circuit.model, was=circuit.fingerprint,
                      now=fingerprint)  # fmt: skip


def require_other_prompts(context: Context, experiment: Experiment, found_by: records.Experiment, id: str) -> None:
    """Raises ToolError if the experiment asks some of the questions on which the circuit was found: it fits these."""
    was = found_by.config
    if (experiment.task, experiment.split) != (found_by.task, found_by.split):
        return
    task = context.find_task(experiment.task)
    asked = {prompt.key for prompt in task.prompts(int(was["n"]), experiment.split, int(was["seed"]))}
    prompts = task.prompts(*experiment.draw)
    if same := sum(prompt.key in asked for prompt in prompts):
        raise refused("found_on_these", id=id, same=same, n=len(prompts), seed=int(was["seed"]) + 1)


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with changes, in which a new circuit replaces the old edges, and new edges the old circuit."""
    stale = {"circuit": "edges", "edges": "circuit"}
    dropped = {stale[name] for name in changes if name in stale} - changes.keys()
    return {name: value for name, value in {**config, **changes}.items() if name not in dropped}
