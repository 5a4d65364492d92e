"""One number, two names: an effect of a sweep, and the measurement of an experiment that makes this one change alone.

`effect[skip L11]` of a sweep over layers is `loss_increase` of the program that leaves layer 11 out. The sweep's name
is read in both, so a prediction from a sweep keeps its name when a program tests it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...db import records
from ...db.records import Effect, Measurement
from ...experiments.interventions import parse_layers
from ...experiments.metrics import metrics

if TYPE_CHECKING:
    from .quantity import Experiment


def measured_as(row: Experiment, site: str, metric: str | None = None) -> Measurement | None:
    """The measurement that is the effect at this site of a sweep, if this experiment is that change alone."""
    program, asked = row.config.get("program"), metric or row.config.get("metric")
    # Without the number of layers, "0-4, 6-28" could leave out one layer or two.
    n_layers = row.subject.anatomy.get("n_layers") if isinstance(row, records.Experiment) else None
    if not isinstance(program, str) or not isinstance(n_layers, int) or asked not in metrics():
        return None
    if site not in changes(program, n_layers, row.config.get("at")):
        return None
    return next((one for one in row.measurements if one.name == metrics()[asked].change), None)


def changes(program: str, n_layers: int, at: object = None) -> list[str]:
    """The names in a sweep of the one change that a program makes: "0-4, 6-29" of 30 layers is "skip L5"."""
    given = parse_layers(program, n_layers)
    where = f"@{at}" if at is not None else ""
    return [f"{name}{where}" for name, layers in one_change(n_layers) if layers == given]


def one_change(n_layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    every = tuple(range(n_layers))
    for layer in every:
        before, after = every[:layer], every[layer + 1 :]
        yield f"skip L{layer}", (*before, *after)
        yield f"repeat L{layer}", (*before, layer, layer, *after)
        if after:
            yield f"swap L{layer}", (*before, layer + 1, layer, *after[1:])


def only_effect(effects: Sequence[Effect], measurements: Sequence[Measurement]) -> str | None:
    """The name of the measurement that is the only effect of an experiment, if there is one."""
    if len(effects) != 1:
        return None
    name = metrics()[effects[0].metric].change if effects[0].metric in metrics() else ""
    value = effects[0].value
    return next((one.name for one in measurements if one.name == name and one.value == value), None)
