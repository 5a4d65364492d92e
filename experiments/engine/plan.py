"""What a call of the engine has to compute: what the clean pass keeps, which runs travel together, where each of them
enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..interventions import Intervention, first_part
from ..model.subject import Subject
from ..sites import Part
from ..tasks.batch import Batch
from .activations import CleanRun
from .edits import columns_of, frozen_parts
from .forward import Recording
from .layer import AFTER_MLP, AFTER_Z, ENTRY, FULL
from .narrowing import Narrowing
from .readout import Readout, read_columns
from .sources import Source


@dataclass(frozen=True)
class Run:
    """One row to be computed: an intervention on a prompt, and where it enters."""

    which: int
    prompt: int
    step: int
    entry: int


@dataclass
class Plan:
    """What all chunks of one call share."""

    subject: Subject
    batch: Batch
    clean: CleanRun
    recording: Recording
    interventions: Sequence[Intervention]
    sources: Mapping[str, Source]
    readout: Readout
    read_columns: Tensor
    logits_at_once: int
    narrowing: Narrowing | None = None


def needed_parts(
    subject: Subject,
    batch: Batch,
    interventions: Sequence[Intervention],
    readout: Readout,
    narrowed: str | None = None,
) -> set[Part]:
    """What the clean pass must keep for these interventions."""
    parts: set[Part] = {"resid_pre"}
    edited: set[Part] = {e.site.part for i in interventions for e in i.changes}
    entries = {ENTRY[part] for part in edited}
    if "z" in edited:
        parts.add("z")
    if narrowed or entries - {FULL}:
        parts.add("attn_out")
    if AFTER_MLP in entries or (AFTER_Z in entries and any(b.parallel for b in subject.anatomy.blocks)):
        parts.add("mlp_out")
    columns = read_columns(batch, readout)
    parts |= frozen_parts(interventions)
    if narrowed or any(first_column(subject, batch, i, columns) > 0 for i in interventions):
        parts |= {"k", "v"}
    return parts


def first_column(subject: Subject, batch: Batch, intervention: Intervention, columns: Tensor) -> int:
    """The first column, over all prompts, that this intervention changes and that can reach what is read; 0 if a layer
    can only run over all columns at once."""
    if intervention.program is not None or not intervention.changes or not subject.anatomy.by_column:
        return 0
    chosen = torch.stack([columns_of(batch, e.positions) for e in intervention.changes]).any(0).any(0)
    touched = chosen.nonzero()
    edited = int(touched[0]) if len(touched) else batch.length - 1
    return min(edited, int(columns.min()))


def grouped(plan: Plan) -> dict[tuple[tuple[int, ...] | None, int], list[int]]:
    """Interventions that can travel together: the same layer program, the same first column."""
    groups: dict[tuple[tuple[int, ...] | None, int], list[int]] = {}
    for which, intervention in enumerate(plan.interventions):
        first = 0 if plan.narrowing else first_column(plan.subject, plan.batch, intervention, plan.read_columns)
        groups.setdefault((intervention.program, first), []).append(which)
    return groups


def ordered_runs(plan: Plan, members: Sequence[int]) -> list[Run]:
    n_layers = plan.subject.anatomy.n_layers
    runs: list[Run] = []
    for which in members:
        intervention = plan.interventions[which]
        step = intervention.first_step(n_layers)
        entry = FULL
        if intervention.program is None and step < n_layers:
            entry = ENTRY[first_part(tuple(e for e in intervention.changes if e.site.layer == step))]
            block = plan.subject.anatomy.blocks[step]
            if entry == AFTER_Z and block.n_heads and (block.W_O.is_meta or not block.heads_write):
                entry = FULL  # the weights come only while the attention runs, or it is another module that writes
        runs += [Run(which, prompt, step, entry) for prompt in range(len(plan.batch))]
    return sorted(runs, key=lambda r: (r.step, r.entry, r.which, r.prompt))
