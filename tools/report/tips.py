"""The tooltip of a mark in a drawing: its name, and its number with unit, interval and n; for an effect, also q.

The mark's place in the data of the figure identifies it; a drawing maps places to positions on the page.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from ...db.records import Effect, Figure, Json
from .escape import one_line
from .numbers import count, number, p_number, value_text

Place = tuple[int, ...]
Box = tuple[float, float, float, float]
Said = Iterator[tuple[Place, str, str]]


def layers_shown(values: Sequence[Sequence[float | None]]) -> Sequence[int]:
    """The rows of a map of heads to draw. A layer without a measured head is left out, because it would only push the
    others apart. If nothing was measured, all rows."""
    measured = [i for i, row in enumerate(values) if any(v is not None and math.isfinite(v) for v in row)]
    return measured or range(len(values))


def tips(figure: Figure, effects: Sequence[Effect]) -> dict[Place, tuple[str, str]]:
    """The name and the text of each mark, for a figure that `draw` can draw. A mark that shows an effect has the
    effect's name."""
    return {place: (one_line(name), one_line(text)) for place, name, text in _SAID[figure.kind](figure, effects)}


def marks(figure: Figure, effects: Sequence[Effect], places: Mapping[Place, Sequence[Box]]) -> str:
    """For the script of a page, as JSON: one list for each mark, with its name, its text, and x, y, width and height of
    each of its boxes."""
    said = tips(figure, effects)
    found = [[*said[place], *(end for box in places[place] for end in box)] for place in said if place in places]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) if found else ""


def share_text(part: float, whole: float) -> str:
    return f"{number(float(f'{100 * part / whole:.2g}'))}%"


def _heads(figure: Figure, effects: Sequence[Effect]) -> Said:
    values: list[Sequence[float | None]] = figure.data["values"]
    told = {(effect.site, effect.value): effect for effect in effects}
    for i in layers_shown(values):
        for j, value in enumerate(values[i]):
            effect = told.get((f"L{i}.H{j}", value)) if value is not None else None
            yield (i, j), f"L{i}.H{j}", _effect(effect, figure) if effect else _number(value, figure)


def _cells(figure: Figure, effects: Sequence[Effect]) -> Said:
    data = figure.data
    told: dict[float, list[Effect]] = {}
    for effect in effects:
        told.setdefault(effect.value, []).append(effect)
    texts = data.get("texts")
    rows, columns = (_named(data, side) for side in ("row", "column"))
    for i, row in enumerate(rows):
        for j, (column, value) in enumerate(zip(columns, data["values"][i], strict=True)):
            if data.get("missing") == "blank" and not _is_number(value):
                continue  # a cell that cannot exist
            names = (str(data["rows"][i]), str(data["columns"][j]))
            same = [e for e in told.get(value, ()) if all(_names(name, e.site) for name in names)]
            if len(same) == 1:
                yield (i, j), same[0].site, _effect(same[0], figure)
                continue
            inside = f" · {texts[i][j]}" if texts and texts[i][j] else ""
            yield (i, j), f"{row} · {column}{inside}", _number(value, figure)


def _bars(figure: Figure, effects: Sequence[Effect]) -> Said:
    data = figure.data
    labels, values = [str(label) for label in data["labels"]], data["values"]
    low, high = (data.get(side) or [None] * len(values) for side in ("low", "high"))
    numbered = all(label.isdigit() for label in labels)
    for i, (label, *interval) in enumerate(zip(labels, values, low, high, strict=True)):
        same = [e for e in effects if [e.value, e.low, e.high] == interval]
        if len(same) == 1:
            yield (i,), same[0].site, _effect(same[0], figure)
        else:
            yield (i,), f"layer {label}" if numbered else label, _number(interval[0], figure, *interval[1:])


def _curves(figure: Figure, _: Sequence[Effect]) -> Said:
    data = figure.data
    for i, one in enumerate(data["series"]):
        series = f"{one['name']} · " if len(data["series"]) > 1 else ""
        low, high = (one.get(side) or [None] * len(data["x"]) for side in ("low", "high"))
        for j, (x, *value) in enumerate(zip(data["x"], one["y"], low, high, strict=True)):
            at = number(x) if isinstance(x, int | float) else str(x)
            yield (i, j), f"{series}{data.get('x_label', '')} {at}", _number(value[0], figure, *value[1:])


def _points(figure: Figure, _: Sequence[Effect]) -> Said:
    data, unit = figure.data, figure.unit
    groups = data.get("groups") or [""] * len(data["x"])
    for i, (name, x, y, group) in enumerate(zip(data["labels"], data["x"], data["y"], groups, strict=True)):
        if _is_number(x) and _is_number(y):
            both = f"{data.get('x_label', 'x')} {number(x)}, {data.get('y_label', 'y')} {number(y)} {unit}".rstrip()
            yield (i,), str(name), f"{both}, {count(figure.n)}" + (f" ({group})" if group else "")


def _parts(figure: Figure, _: Sequence[Effect]) -> Said:
    data, unit = figure.data, figure.unit
    for i, (bar, counts) in enumerate(zip(data["bars"], data["counts"], strict=True)):
        for j, (label, part) in enumerate(zip(data["labels"], counts, strict=True)):
            if part:
                yield (i, j), f"{bar} · {label}".replace("_", " "), _share(part, sum(counts), unit)


def _slices(figure: Figure, _: Sequence[Effect]) -> Said:
    data = figure.data
    for i, (label, part) in enumerate(zip(data["labels"], data["counts"], strict=True)):
        if part:
            yield (i,), str(label).replace("_", " "), _share(part, sum(data["counts"]), figure.unit)


def _nodes(figure: Figure, _: Sequence[Effect]) -> Said:
    for i, node in enumerate(figure.data["nodes"]):
        said = [f"{does} {node[does]}" for does in ("reads", "writes") if node[does]]
        yield (i,), str(node["name"]), "; ".join(said)


_SAID: dict[str, Callable[[Figure, Sequence[Effect]], Said]] = {
    "head_heatmap": _heads,
    "matrix": _cells,
    "layer_bars": _bars,
    "lines": _curves,
    "scatter": _points,
    "stacked_bars": _parts,
    "pie": _slices,
    "circuit": _nodes,
}


def _named(data: Json, side: str) -> list[str]:
    """The names of the rows or columns; a bare number gets the label of what it counts."""
    names = [str(name) for name in data[f"{side}s"]]
    counted = data.get(f"{side}_label", "")
    return [f"{counted} {name}".strip() if name.isdigit() else name for name in names]


def _names(name: str, site: str) -> bool:
    """Whether this row or column, such as 18 or s2, is part of the site, such as L18.resid_pre@s2."""
    return re.search(rf"(?<!\w)[LH]?{re.escape(name)}(?!\w)", site) is not None


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _number(value: float | None, figure: Figure, low: float | None = None, high: float | None = None) -> str:
    if value is None or not _is_number(value):
        return "not measured"
    return value_text(value, low, high, unit=figure.unit, n=figure.n)


def _effect(effect: Effect, figure: Figure) -> str:
    q = "" if effect.q is None else f", q = {p_number(effect.q)}"
    return value_text(effect.value, effect.low, effect.high, unit=figure.unit, n=effect.n) + q


def _share(part: float, whole: float, unit: str) -> str:
    return f"{number(part)} of {number(whole)} {unit} ({share_text(part, whole)})"
