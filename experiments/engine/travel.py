"""Runs through the layers: from where each of them enters to the columns that are read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from .edits import Editor, placed_by_layer
from .forward import Window, gather_columns, picked
from .layer import BEHIND, FULL, Layer, joined
from .narrowing import Narrowing
from .plan import Plan, Run


def in_full(
    plan: Plan, layers: Sequence[int], first: int, runs: Sequence[Run], prompts: Tensor, columns: Tensor
) -> Tensor:
    """These rows, of the prompts [row], after the last of the layers, at the columns to read: [row, k, d_model]. Only
    the rows that entered somewhere; they come first."""
    anatomy, batch, clean = plan.subject.anatomy, plan.batch, plan.clean
    placed = placed_by_layer(plan.interventions, [r.which for r in runs], prompts.device)
    x = plan.recording.embedded[:0, first:]
    window = Window(plan.recording, prompts[:0], first, batch.length)
    for step in range(runs[0].step, len(layers)):
        device = plan.recording.devices[layers[step]]
        x, running = x.to(device), len(x)
        entering = [r for r in runs[running:] if r.step <= step]
        if entering:
            rows = prompts[: running + len(entering)]
            x = torch.cat([x, picked(clean.at(step, "resid_pre")[:, first:], rows[running:]).to(device)])
            window = Window(plan.recording, rows, first, batch.length)
        # A run may have a freeze before its entry, which does nothing yet.
        editor = Editor(batch, plan.sources, anatomy, prompts, first, batch.length, placed.get(layers[step], ()))
        layer = Layer(
            anatomy=anatomy,
            clean=clean,
            number=layers[step],
            entries=[FULL] * running + [r.entry for r in entering],
            editor=editor.only(slice(0, len(x))).to(device),
            window=window,
        )
        x = layer.run(x, columns[: len(x)].to(device) if step == len(layers) - 1 else None)
    return x


def narrowed_runs(plan: Plan, narrowing: Narrowing, runs: Sequence[Run], prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Run these rows, of the prompts [row], from their entries through the last layer -> the stream at the columns that
    are read [row, k, d_model], and what the dropped columns count for, [row].

    A row computes all columns of its entry layer, to its middle or to its end, and in later layers those that have not
    been dropped.
    """
    anatomy, batch, clean = plan.subject.anatomy, plan.batch, plan.clean
    last = anatomy.n_layers - 1
    placed = placed_by_layer(plan.interventions, [r.which for r in runs], prompts.device)
    x, counts = plan.recording.embedded[:0], torch.zeros(len(runs), device=prompts.device)
    for step in range(runs[0].step, anatomy.n_layers):
        device, pieces = plan.recording.devices[step], list[Tensor]()
        if old := len(x):
            rows, first = prompts[:old], narrowing.first[step]
            editor = Editor(batch, plan.sources, anatomy, rows, first, batch.length).to(device)
            window = Window(narrowing.recording, rows, first, batch.length)
            layer = Layer(anatomy, narrowing.clean, step, [FULL] * old, editor, window)
            read_at = narrowing.place[rows].gather(1, plan.read_columns[rows]) - first
            pieces.append(layer.run(x.to(device), read_at.to(device) if step == last else None))
        done = old
        entering = [r for r in runs[old:] if r.step <= step]
        for early, members in groupby(entering, lambda r: changed_by_the_middle(plan, r)):
            entries = [r.entry for r in members]
            some = slice(done, done := done + len(entries))
            rows, edits = prompts[some], placed.get(step) or ()
            editor = Editor(batch, plan.sources, anatomy, prompts, 0, batch.length, edits).only(some).to(device)
            window = Window(plan.recording, rows, 0, batch.length)
            layer = Layer(anatomy, clean, step, entries, editor, window)
            x_in, middle = layer.first_half(picked(clean.at(step, "resid_pre"), rows).to(device))
            if step == last:
                pieces.append(layer.second_half(x_in, middle, plan.read_columns[rows].to(device)))
            elif early:
                stay, dropped = narrowing.dropped_in_the_middle(step, middle, rows, clean)
                counts[some] += dropped.to(counts.device)
                pieces.append(layer.second_half(x_in, middle, stay))
            else:
                pieces.append(gather_columns(layer.second_half(x_in, middle), narrowing.order[rows].to(device)))
        done = 0
        for i, piece in enumerate(pieces if step < last else ()):
            rows = slice(done, done := done + len(piece))
            pieces[i], dropped = narrowing.dropped(step + 1, piece, prompts[rows], clean)
            counts[rows] += dropped.to(counts.device)
        x = joined(pieces) if pieces else x
    return x, counts


def changed_by_the_middle(plan: Plan, run: Run) -> bool:
    """Whether all edits of this run are before the middle of its layer, and the MLP sees the stream there."""
    parts = {e.site.part for e in plan.interventions[run.which].edits}
    return not plan.subject.anatomy.blocks[run.step].parallel and not parts & set(BEHIND)
