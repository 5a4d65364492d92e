"""The classes of answers before and after an intervention: the rows of the table next to their figure."""

from __future__ import annotations

from typing import Any

from ...db.records import Experiment
from .escape import clipped, one_line
from .numbers import number, value_parts

METRIC = "answer_share"


def answer_classes(experiment: Experiment) -> dict[str, Any] | None:
    """What was compared ("intact" and the name of the intervention), and a row per class: how often each gave such an
    answer, and the change of its share with its interval. None if no answers were compared."""
    figure = next((f for f in experiment.figures if f.kind == "stacked_bars" and f.name == "failures"), None)
    # A figure of another shape comes from another package; drawing it reports any fault.
    if figure is None or not {"bars", "labels", "counts"} <= figure.data.keys():
        return None
    data = figure.data
    if [len(counts) for counts in data["counts"]] != [len(data["labels"])] * len(data["bars"]):
        return None
    changes = {effect.site: effect for effect in experiment.effects if effect.metric == METRIC}
    rows: list[dict[str, Any]] = []
    for label, counts in zip(data["labels"], zip(*data["counts"], strict=True), strict=True):
        change = changes.get(f"answers {label}")
        main, rest = ("", "") if change is None else value_parts(change.value, change.low, change.high)
        name = one_line(label).replace("_", " ")
        rows.append({"name": name, "counts": [number(c) for c in counts], "change": main, "interval": rest.strip()})
    return {"bars": [clipped(one_line(bar), 60) for bar in data["bars"]], "rows": rows}
