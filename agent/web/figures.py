"""A figure in a page: the report's drawing, styled by the page alone, and what each of its cells says."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

from markupsafe import Markup

from ...tools.report.figures import BadFigure, draw
from ...tools.report.numbers import number, value_text
from ..commands.style import printable

Row = dict[str, Any]

_TAG = re.compile(r"<[A-Za-z][^<>]*>")
_STYLE = re.compile(r' style="([^"]*)"')
# Only these are both a style and an attribute of SVG; sizes are the page's own.
_NOT_ATTRIBUTES = ("max-width", "height", "font-family")
# Matplotlib keeps its settings in one place for all threads.
_DRAWING = Lock()


def drawn(figure: Row, experiment: Row) -> Row:
    """A figure as `svg`, or why it cannot be drawn as `fault`; `tips` is what the cells of a grid say, row by row."""
    place = f"{experiment['id']}-{figure['name']}"
    entry: Row = {"of": experiment["id"], "name": figure["name"], "title": figure["title"], "kind": figure["kind"]}
    try:
        with _DRAWING:
            svg = _svg(json.dumps(figure, sort_keys=True), place)
    except BadFigure as error:
        return {**entry, "svg": "", "fault": str(error), "tips": ""}
    tips = _tips(figure, experiment)
    return {**entry, "svg": Markup(svg), "fault": "", "tips": json.dumps(tips) if tips else ""}


@lru_cache(maxsize=256)
def _svg(figure: str, place: str) -> str:
    return without_styles(draw(json.loads(figure), place))


def without_styles(svg: str) -> str:
    """The drawing with its styles as attributes: a page whose policy forbids styles inside it would drop them."""
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    return _TAG.sub(lambda tag: _STYLE.sub(_attributes, tag[0]), svg)


def _attributes(style: re.Match[str]) -> str:
    pairs = [part.split(":", 1) for part in style[1].replace("&quot;", "'").split(";") if ":" in part]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs if name.strip() not in _NOT_ATTRIBUTES)


def _tips(figure: Row, experiment: Row) -> list[list[str]] | None:
    """What is said of each cell that is drawn, or None where the figure is no grid that `draw` could draw."""
    data, unit = figure["data"], figure["unit"]
    if figure["kind"] == "head_heatmap":
        values: list[Sequence[float | None]] = data["values"]
        # As in the drawing: layers of which nothing was measured are left out, unless that is all.
        kept = [i for i, row in enumerate(values) if any(v is not None for v in row)] or range(len(values))
        told = _effects(experiment)
        return [[_tip(f"L{i}.H{j}", value, unit, told) for j, value in enumerate(values[i])] for i in kept]
    if figure["kind"] == "matrix":
        texts = data.get("texts")
        return [
            [
                _tip(f"{row} · {column}" + (f" · {texts[i][j]}" if texts and texts[i][j] else ""), value, unit, {})
                for j, (column, value) in enumerate(zip(data["columns"], data["values"][i], strict=True))
            ]
            for i, row in enumerate(data["rows"])
        ]
    return None


def _effects(experiment: Row) -> dict[tuple[str, float], Row]:
    return {(effect["site"], effect["value"]): effect for effect in experiment["effects"]}


def _tip(name: str, value: float | None, unit: str, effects: dict[tuple[str, float], Row]) -> str:
    if value is None:
        return printable(f"{name}: not measured")
    effect = effects.get((name, value))
    if effect is None:
        return printable(f"{name}: {number(value)} {unit}".rstrip())
    q = "" if effect["q"] is None else f", q = {number(effect['q'])}"
    return printable(f"{name}: {value_text({**effect, 'unit': unit})}{q}")
