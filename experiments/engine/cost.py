"""Estimate how long a run of interventions will take, before it starts.

A few prompts run first with an edit that changes nothing, which the engine cannot skip; the rest follows from the
number of layers of each intervention. It is an estimate: chunks of another size are faster or slower.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from .. import engine
from ..interventions import Edit, Intervention
from ..model.subject import Subject
from ..sites import Site
from ..tasks.batch import Batch
from . import Readout
from .readout import RowsOfReadout

PROMPTS, RUNS = 4, 4
# What a narrowed run takes of the layers from its entry on, and what it costs in runs to find out what to leave out. On
# SmolLM2 it computes a quarter to two fifths of them, in products that are a little slower since they are smaller.
NARROWED, SLOPES = 0.35, 3
IDENTITY = Intervention(name="identity", edits=(Edit(site=Site(layer=0, part="resid_pre"), op="scale"),))


def seconds_per_run(subject: Subject, batch: Batch, readout: Readout) -> float:
    """The seconds for all layers on one of these prompts, measured on a few of them."""
    few = min(PROMPTS, len(batch))
    some, part = batch.rows(0, few), RowsOfReadout(readout, 0, few)
    # The first time is slower.
    engine.run(subject, some, [IDENTITY], part)
    began = time.perf_counter()
    engine.run(subject, some, [IDENTITY] * RUNS, part)
    # The clean pass counts as a run.
    return (time.perf_counter() - began) / (few * (RUNS + 1))


def whole_runs(interventions: Sequence[Intervention], n_layers: int, narrowed: bool = False) -> float:
    """The cost of these interventions on one prompt, in runs through all layers, with the clean pass."""
    steps = [n_layers if i.program is None else len(i.program) for i in interventions]
    run = [max(1, many - i.first_step(n_layers)) for i, many in zip(interventions, steps, strict=True)]
    return runs_of(run, n_layers, narrowed)


def runs_of(layers: Sequence[int], n_layers: int, narrowed: bool = False) -> float:
    """The cost of runs through these numbers of layers, in runs through all layers."""
    if narrowed:
        return 1 + SLOPES + sum(max(1, NARROWED * many) for many in layers) / n_layers
    return 1 + sum(layers) / n_layers
