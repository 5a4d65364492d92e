"""Why a prediction would show little, reported when it is recorded: a warning, so that the writer can tighten it before
its test.

A bound such as `effect < 0.3` also holds if nothing changes, and a removal on a task that the model cannot do says
nothing about the task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...db import records
from ...db.ids import parse_id
from ...experiments.experiment import Experiment as Kind
from ...experiments.metrics import metrics
from ..evidence.conditions import Bound
from ..evidence.quantity import parse
from ..report.study import Study, read_study
from ..workbench.run_experiment import logged_experiment
from .counted import able
from .standard import LAST, NATS, PART, Standard, bound_on, met_by_none, standard

if TYPE_CHECKING:
    from ..workbench.context import Context


def warnings(context: Context, predictions: Sequence[records.Prediction]) -> list[str]:
    """One line for each reason, with the predictions that it concerns, counted from 1."""
    study = None if context.run is None else read_study(context.reader, context.run)
    found: dict[str, list[int]] = {}
    for place, one in enumerate(predictions, start=1):
        made = logged_experiment(one.kind, one.config)
        for why in (*_of_bound(study, one, made), *_of_task(context, made)):
            found.setdefault(why, []).append(place)
    return [f"{_which(places, len(predictions))}: {why}" for why, places in found.items()]


def _which(places: Sequence[int], count: int) -> str:
    if len(places) == count:
        return "Warning" if count == 1 else "Warning (each prediction)"
    return f"Warning (prediction{'s' * (len(places) > 1)} {', '.join(map(str, places))})"


def _of_bound(study: Study | None, one: records.Prediction, made: Kind) -> Iterator[str]:
    if one.comparison not in ("above", "below"):
        return
    bound = Bound(quantity=parse(one.quantity), comparison=one.comparison, low=one.low, high=one.high)
    if bound.quantity.second is not None:
        return
    term, known, own = bound.quantity.first, metrics(), str(getattr(made, "metric", ""))
    if term.name == "accuracy_drop":
        none = met_by_none(bound, "", PART)
    else:
        # The effects of other kinds are values, not changes.
        changes = type(made).removed is not Kind.removed
        metric = (
            term.metric or own if term.name == "effect" and term.site is not None and changes
            else next((name for name, metric in known.items() if metric.change == term.name), "")
        )  # fmt: skip
        none = met_by_none(bound, metric, _least(study, metric, made.task)) if metric in known else ""
    if none:
        yield f"{none} Tighten it before the test, by a hypothesis that revises this one."


def _least(study: Study | None, metric: str, task: str) -> float:
    """The largest change of a metric that counts as none, as far as the study knows the task."""
    at = Standard(metric=LAST, bound=NATS) if study is None else standard(study, task)
    rows = [] if study is None else [row for row in study.experiments.values() if row.task == task]
    return bound_on(metric, at, rows[0]) if rows else at.bound if metric == at.metric else PART


def _of_task(context: Context, made: Kind) -> Iterator[str]:
    """A line, if the tracker has baselines of the task on this subject, and none shows that it can do the task."""
    rows = [row for row in _baselines(context, made) if row.config.get("chat", False) == made.chat]
    if made.kind == "baseline" or not rows or any(map(able, rows)):
        return
    name = max(rows, key=lambda row: row.n or 0).id
    yield (
        f"{name} does not show that {rows[0].model} can do {made.task}, so what an edit changes there says nothing "
        "about the task. Choose a task that it can do."
    )


def _baselines(context: Context, made: Kind) -> list[records.Experiment]:
    from ...experiments.model.places import canonical

    found = context.reader.experiments(kind="baseline", task=made.task, model=canonical(made.model), status="done")
    return [context.reader.experiment(parse_id(row.id)[1]) for row in found if context.may_see(row)]
