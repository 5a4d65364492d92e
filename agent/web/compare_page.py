"""Two experiments side by side: the settings that differ, and every measurement and site that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...db.errors import NotAnId
from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Effect, Experiment, ExperimentSummary, Figure, Measurement
from ...tools.evidence.quantity import ranked
from ...tools.report.numbers import number, setting
from ...tools.report.shown import Shown, measured
from .figures import drawn

OTHERS = 50  # how many experiments to offer for comparison


def compare(reader: Reader, asked: dict[str, str]) -> tuple[str, Shown]:
    """The page that compares `one` and `other`. Differences have no interval."""
    pair = [reader.experiment(_number(asked.get(name) or "")) for name in ("one", "other")]
    effects = _side_by_side([{(e.site, e.metric): e for e in row.effects} for row in pair])
    measurements = _side_by_side([{(m.name, m.unit): m for m in row.measurements} for row in pair])
    names = [[figure.name for figure in row.figures] for row in pair]
    page: Shown = {
        "here": "/experiments",
        "pair": pair,
        "settings": _differences(pair),
        "measurements": measurements,
        "effects": sorted(effects, key=lambda one: -abs(one.difference)),
        "metrics": len({one.name[1] for one in effects}),
        "against": _against(pair, effects),
        "figures": [
            [drawn(next(f for f in row.figures if f.name == name), row.id, row.effects) for row in pair]
            for name in dict.fromkeys(names[0])
            if name in names[1]
        ],
    }
    return "compare.html.j2", page


def others(reader: Reader, row: Experiment) -> list[ExperimentSummary]:
    """The latest experiments of the same kind, to compare this one with."""
    found = reader.experiments(row.kind, model=row.model, status="done", limit=OTHERS + 1)[::-1]
    return [one for one in found if one.id != row.id][:OTHERS]


def _number(id: str) -> int:
    what, number = parse_id(id)
    if what != "experiment":
        raise NotAnId(id)
    return number


def _differences(pair: list[Experiment]) -> list[tuple[str, str, str]]:
    """What differs: settings, then subject, task and code."""
    sides = [
        {
            "kind": row.kind,
            **{name: setting(value) for name, value in row.config.items()},
            "subject": f"{row.subject.name}, {row.subject.fingerprint[:16]}",
            "task's content": row.task_fingerprint,
            "code": row.code_version,
        }
        for row in pair
    ]
    names = dict.fromkeys([*sides[0], *sides[1]])
    rows = [(name, str(sides[0].get(name, "")), str(sides[1].get(name, ""))) for name in names]
    return [row for row in rows if row[1] != row[2]]


class Side(NamedTuple):
    """A value as it is shown and as it is sorted."""

    main: str
    rest: str
    sort: float


class Beside(NamedTuple):
    """A value that both have, by name and metric or unit."""

    name: tuple[str, str]
    values: list[Side]
    difference: float
    shown: str


def _side_by_side(parts: Sequence[Mapping[tuple[str, str], Measurement | Effect]]) -> list[Beside]:
    """The values that both have, in the order of the first."""

    def side(row: Measurement | Effect) -> Side:
        shown = measured(row, "")
        return Side(shown["main"], shown["rest"], row.value)

    return [
        Beside(name, [side(part[name]) for part in parts], difference, number(difference))
        for name in parts[0]
        if name in parts[1]
        for difference in [parts[1][name].value - parts[0][name].value]
    ]


def _against(pair: list[Experiment], effects: list[Beside]) -> Shown | None:
    """A figure of one against the other, for the metric that ranks first."""
    first = ranked(pair[0])
    shown = [one for one in effects if first and one.name[1] == first[0].metric]
    if len(shown) < 2:
        return None
    one, other = (row.id for row in pair)
    data = {
        "x": [row.values[0].sort for row in shown],
        "y": [row.values[1].sort for row in shown],
        "labels": [row.name[0] for row in shown],
        "x_label": one,
        "y_label": other,
    }
    title = f"Effects on {first[0].metric} at {len(shown)} sites: {other} against {one}"
    n = min(row.n or 0 for row in pair)
    return drawn(Figure(name="against", kind="scatter", title=title, unit="", n=n, data=data), f"{one}-{other}", [])
