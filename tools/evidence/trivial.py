"""Bounds that cannot fail: the quantity always meets them, or the intact model or a control already does."""

from __future__ import annotations

from ...db.records import Experiment
from ...experiments.metrics import is_distance
from .conditions import Bound
from .quantified import Many

# Shares, which lie between 0 and 1, and quantities that are never negative.
_SHARES = ("accuracy", "prefers_answer", "better_than_random", "top_token_changed")
_NEVER_NEGATIVE = ("loss", "prob", "rank", "kl", "p", "q", "p_max", "percentile", "n", "questions", "size", "gap")


def cannot_fail(bound: Bound, row: Experiment | None = None) -> str:
    """One line that says why the bound shows nothing, and what to do; "" for a bound that can fail."""
    if bound.quantity.second is not None:
        return ""
    term = bound.quantity.first
    name = term.name.removeprefix("intact_")
    if isinstance(term, Many) and bound.high is None and bound.low is not None and bound.low <= 0:
        low_end = "0" if term.how != "count" or bound.low < 0 else ""
        if low_end:
            return f"{bound.text} cannot fail: {term.text} is never below {low_end}. Use a bound above 0."
    metric = term.metric or (row.effects[0].metric if row is not None and row.effects and name == "effect" else "")
    if name in _SHARES:
        low, high = 0.0, 1.0
    elif name == "percentile":
        low, high = 0.0, 100.0
    elif name in _NEVER_NEGATIVE or is_distance(name) or is_distance(metric) or metric.startswith("to_"):
        low, high = 0.0, float("inf")
    else:
        return _met_by_control(bound, row, metric)
    above = bound.low is not None and bound.low <= low and bound.high is None
    below = bound.high is not None and bound.high >= high and bound.low is None
    within = bound.low is not None and bound.high is not None and bound.low <= low and bound.high >= high
    if above or below or within:
        return (
            f"{bound.text} cannot fail: {term.text} always lies there. Compare it with its control or its value in the "
            "intact model."
        )
    return _met_by_control(bound, row, metric)


def _met_by_control(bound: Bound, row: Experiment | None, metric: str) -> str:
    """One line if the number's reference meets the bound as well: equal or shuffled weights, or the intact model."""
    if row is None:
        return ""
    beside = {one.name: one.value for one in row.measurements}
    span = metric.removeprefix("to_")
    name = bound.quantity.first.name
    controls = {
        "equal weights": beside.get(f"even_{span}"),
        "shuffled weights": beside.get(f"{metric}_shuffled"),
        "the intact model": beside.get(f"intact_{name}"),
        "chance": beside.get("chance") if name == "accuracy" else None,
    }
    for what, value in controls.items():
        low_holds = value is not None and (bound.low is None or value > bound.low)
        if value is not None and low_holds and (bound.high is None or value < bound.high):
            return f"{bound.text} shows nothing: {what} gives {value:.3g}, which also meets it. Use a stricter bound."
    return ""
