"""The bound that a change must pass: the same for every claim on a task, and chosen by nobody.

It is a tenth of the intact logit difference if the model prefers the answer; otherwise a tenth of a nat of loss, of
accuracy, of probability, or of a nat of divergence. A change within the bound on both sides of zero counts as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...experiments.metrics import is_distance, metrics, unit_of
from ...experiments.result import Frozen
from .counted import counted

if TYPE_CHECKING:
    from ...db.records import Experiment
    from ..evidence.conditions import Bound
    from ..report.study import Study

PART = 0.1  # of the intact logit difference
NATS = 0.1  # a change of loss that leaves the answer's tokens at 90% of their probability
# The metric that decides if nothing is known about a task.
LAST = "loss"


def part_of(intact: float) -> float:
    """The bound on a difference with this intact value. It has two digits, so the text gives exactly the tested
    bound."""
    return float(f"{PART * intact:.2g}")


class Standard(Frozen):
    """The metric that decides on a task, the bound on it in its unit, and the experiment that the bound is from."""

    metric: str
    bound: float
    source: str = ""


def standard(study: Study, task: str) -> Standard:
    """The standard from the study's baseline of the task with the most prompts, or the first of several; without a
    baseline, from such an experiment that measured the intact model. So nobody picks a bound by picking few prompts."""
    rows = sorted(counted(study, task), key=lambda row: (row.kind != "baseline", -(row.n or 0)))
    for row in rows:
        found = next((one for one in row.measurements if one.name in ("logit_diff", "intact_logit_diff")), None)
        if found is None or (row.kind != "baseline" and found.name == "logit_diff"):
            continue
        if found.low is not None and found.low > 0:
            return Standard(metric="logit_diff", bound=part_of(found.value), source=row.id)
        return Standard(metric=LAST, bound=NATS)
    return Standard(metric=LAST, bound=NATS)


def bound_sentence(study: Study, task: str) -> str:
    """What counts as a change on a task."""
    at = standard(study, task)
    if at.metric != "logit_diff":
        return f"On {task}, a change counts when it passes {at.bound:g} {unit_of(at.metric)} of {at.metric}."
    return (
        f"On {task}, a change counts when it passes {at.bound:g} logits of logit_diff (how much the model prefers the "
        f"answer to one wrong answer): a tenth of its intact value in {at.source}."
    )


def bound_on(metric: str, at: Standard, row: Experiment) -> float:
    """The bound on any metric, in its unit."""
    if metric == at.metric:
        return at.bound
    if metric == "logit_diff":
        intact = next((one.value for one in row.measurements if one.name == "intact_logit_diff"), 0.0)
        return float(f"{max(PART * intact, PART):.2g}")
    return PART


def counts_as_none(study: Study, row: Experiment, bound: Bound) -> str:
    """A sentence, if a one-sided bound also holds for a change that counts as none, or for the intact model."""
    if bound.comparison not in ("above", "below") or bound.quantity.second is not None:
        return ""
    term, known = bound.quantity.first, metrics()
    beside = {one.name: one.value for one in row.measurements}
    if term.site is not None:
        metric = term.metric or (row.effects[0].metric if row.effects else "")
    else:
        metric = next((name for name, one in known.items() if one.change == term.name), "")
    if metric in known or term.name == "accuracy_drop":
        least = PART if term.name == "accuracy_drop" else bound_on(metric, standard(study, row.task or ""), row)
        return met_by_none(bound, metric, least)
    if f"{term.name}_drop" in beside and term.name in beside:
        intact = beside[term.name] + beside[f"{term.name}_drop"]
        return "The intact model meets this bound, too." if _met(bound, intact, intact) else ""
    return ""


def met_by_none(bound: Bound, metric: str, least: float) -> str:
    """A sentence, if a one-sided bound on a change of this metric also holds for one within `least`, which counts as
    none."""
    unit = unit_of(metric)
    # A distance is never below zero.
    low = 0.0 if is_distance(metric) else -least
    what = f"A change that counts as none (within {least:.2g}{f' {unit}' if unit else ''})"
    return f"{what} meets this bound, too." if _met(bound, low, least) else ""


def _met(bound: Bound, low: float, high: float) -> bool:
    """Whether a one-sided bound holds somewhere between these two."""
    return high > bound.low if bound.low is not None else bound.high is not None and low < bound.high
