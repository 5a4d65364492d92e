"""A figure in a page: the report's drawing with the page's styles, and a tooltip for each cell."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock

from markupsafe import Markup

from ...db.records import Effect, Figure, as_json
from ...tools.report.figures import Drawing, drawing
from ...tools.report.ink import BadFigure
from ...tools.report.shown import Shown
from ...tools.report.tips import marks

_TAG = re.compile(r"<[A-Za-z][^<>]*>")
_STYLE = re.compile(r' style="([^"]*)"')
# These cannot be SVG attributes; the page sets sizes itself.
_NOT_ATTRIBUTES = ("max-width", "height", "font-family")
# Matplotlib's settings are global, shared by all threads.
_DRAWING = Lock()


def drawn(figure: Figure, of: str, effects: Sequence[Effect]) -> Shown:
    """A figure as `svg`, or as `fault` why it cannot be drawn; `tips` are the texts and places of its marks."""
    entry: Shown = {"of": of, "name": figure.name, "title": figure.title, "kind": figure.kind}
    try:
        with _DRAWING:
            svg, places = _drawn(json.dumps(as_json(figure), sort_keys=True), f"{of}-{figure.name}")
    except BadFigure as error:
        return {**entry, "svg": "", "fault": str(error), "tips": ""}
    return {**entry, "svg": Markup(svg), "fault": "", "tips": marks(figure, effects, places)}


@lru_cache(maxsize=256)
def _drawn(figure: str, place: str) -> Drawing:
    svg, places = drawing(json.loads(figure), place)
    return Drawing(without_styles(svg), places)


def without_styles(svg: str) -> str:
    """The drawing with its styles as attributes, because the page's policy forbids inline styles."""
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    return _TAG.sub(lambda tag: _STYLE.sub(_attributes, tag[0]), svg)


def _attributes(style: re.Match[str]) -> str:
    pairs = [part.split(":", 1) for part in style[1].replace("&quot;", "'").split(";") if ":" in part]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs if name.strip() not in _NOT_ATTRIBUTES)
