"""How much is much: the bound that a change has to pass, the same for every claim on a task, and chosen by nobody.

A tenth of the intact logit difference, where the model prefers the answer; a tenth of a nat of loss, a tenth of
accuracy and of probability, a tenth of a nat of divergence. A change within the bound on both sides of zero counts as
none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...experiments.result import Frozen

if TYPE_CHECKING:
    from ...db.records import Experiment
    from ..report.study import Study

PART = 0.1  # of the intact logit difference
NATS = 0.1  # a change of loss that leaves the answer's tokens at 90% of their probability
# The metric that claims are judged on where nothing is known of a task.
LAST = "loss"


def part_of(intact: float) -> float:
    """The bound on a difference whose intact value this is. Two digits, so that what is said is what is tested."""
    return float(f"{PART * intact:.2g}")


class Standard(Frozen):
    """The metric that decides on a task, and the bound on it in its unit."""

    metric: str
    bound: float


def standard(study: Study, task: str) -> Standard:
    """From the first baseline of the task in the study, or else from the first experiment that measured the intact
    model on it."""
    rows = [row for row in study.experiments.values() if row.status == "done" and row.task == task]
    rows.sort(key=lambda row: row.kind != "baseline")
    for row in rows:
        found = next((one for one in row.measurements if one.name in ("logit_diff", "intact_logit_diff")), None)
        if found is None or (row.kind != "baseline" and found.name == "logit_diff"):
            continue
        if found.low is not None and found.low > 0:
            return Standard(metric="logit_diff", bound=part_of(found.value))
        return Standard(metric=LAST, bound=NATS)
    return Standard(metric=LAST, bound=NATS)


def bound_on(metric: str, at: Standard, row: Experiment) -> float:
    """The bound on another metric than the standard's, in the unit of the metric."""
    if metric == at.metric:
        return at.bound
    if metric == "logit_diff":
        intact = next((one.value for one in row.measurements if one.name == "intact_logit_diff"), 0.0)
        return float(f"{max(PART * intact, PART):.2g}")
    return PART
