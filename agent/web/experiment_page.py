"""The page of one experiment: its results in figures and tables, how to rerun it, and what cites it."""

from __future__ import annotations

import shlex

from ...db.read.reader import Reader
from ...db.records import Effect, Experiment, Measurement
from ...tools.evidence.quantity import ranked
from ...tools.report.answers import answer_classes
from ...tools.report.numbers import setting, without_edges
from ...tools.report.shown import Shown, measured
from ...tools.workbench.catalog import command_of
from .compare_page import others
from .figures import drawn

SAMPLES = 20


def experiment(reader: Reader, number: int) -> tuple[str, Shown]:
    row = reader.experiment(number)
    samples = sorted(row.samples, key=lambda one: one.changed in (None, one.said))
    page: Shown = {
        "here": "/experiments",
        "e": row,
        "settings": [(name, setting(value)) for name, value in without_edges(row.config).items()],
        "measurements": [_cells(one, one.name) for one in row.measurements],
        "effects": [_cells(one, one.site) for one in _strongest(row)],
        "metrics": len({effect.metric for effect in row.effects}),
        "percentiles": any(effect.percentile is not None for effect in row.effects),
        "figures": [drawn(figure, row.id, row.effects) for figure in row.figures],
        "answers": answer_classes(row),
        "samples": samples[:SAMPLES],
        "more_samples": max(0, len(samples) - SAMPLES),
        "commands": _commands(row),
        "others": others(reader, row) if row.status == "done" else [],
    }
    return "experiment.html.j2", page


def _strongest(row: Experiment) -> list[Effect]:
    """Every effect; those on the metric that ranks first come first."""
    first = ranked(row)
    rest = [effect for effect in row.effects if not first or effect.metric != first[0].metric]
    return [*first, *rest]


def _cells(row: Measurement | Effect, name: str) -> Shown:
    """A row as it is shown and as it is sorted."""
    return {**measured(row, name), "metric": row.metric if isinstance(row, Effect) else "", "sort": row}


def _commands(row: Experiment) -> list[tuple[str, str]]:
    """Commands, each with what it does."""
    found: list[tuple[str, str]] = []
    if row.status == "done":
        found.append(("Rerun it, and compare every number", f"agent replay {row.id}"))
    # The program draws prompts of the confirm split only for a recorded prediction.
    again = None if row.split == "confirm" else command_of(row.kind, dict(row.config))
    if again is not None:
        found.append(("Start from the same configuration", again))
    if row.figures and row.status == "done":
        found.append(("Save its figures", shlex.join(["agent", "figure", row.id, "--format", "svg"])))
    return found
