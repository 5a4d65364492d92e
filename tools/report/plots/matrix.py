"""Rows by columns of anything: layers by positions, queries by keys, with short texts inside the cells."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize

from ..escape import clipped, one_line
from ..ink import INK, BadFigure
from .page import Plot, Shades, cell_spots, cells, colour_bar, grid, hatched, page, shown_ticks

LETTER = 0.062  # width of a letter of 7 points, inches
LABEL = 16  # characters of a label
NAMED, ROW = 60, 0.145  # up to this many rows each have a label; height of such a row, inches
PIXELS = 60  # an inch of the picture
WIDEST = 11.0


def matrix(figure: dict[str, Any]) -> Plot:
    """The first row on top. A diverging scale has white at zero and is the same on both sides; a sequential one goes
    from the lowest value, or from 0 where none lies below, to the highest."""
    data = figure["data"]
    values = grid(data["values"])
    if values.ndim != 2 or not values.size:
        raise BadFigure("values must be [row][column], with at least one of each")
    high, wide = values.shape
    rows, columns = (labels(data[side], count, side) for side, count in (("rows", high), ("columns", wide)))
    marked = shaped(data.get("significant"), values.shape, "significant", False).astype(bool)
    texts = shaped(data.get("texts"), values.shape, "texts", "")
    missing = np.isnan(values)
    notes = ["● q < 0.05"] if (marked & ~missing).any() else []
    blank = data.get("missing") == "blank"
    notes += ["hatched: not measured"] if missing.any() and not blank else []

    longest = max((len(cell(text)) for text in texts.flat), default=0)
    across = min(0.45, max(0.14, 5.6 / wide))
    if longest:
        across = min(max(across, LETTER * min(longest, 9) + 0.08), max(0.3, WIDEST / wide))
    down = min(0.34, max(0.18 if longest else ROW if high <= NAMED else 0.1, 5.0 / high))
    room = int((across - 0.06) / LETTER)
    level = max(map(len, columns)) <= room or room >= 7
    columns = [clipped(column, room if level else LABEL) for column in columns]
    left = 0.42 + 1.1 * LETTER * max(map(len, rows))
    bottom = 0.4 + (0.14 if level else LETTER * max(map(len, columns)))
    canvas, axes = page(figure, across * wide, down * high, left, 1.1, bottom, notes)

    shades = scale(values, data.get("scale", "diverging"))
    colours = shades.colours(values)
    colours[missing] = 0
    cells(axes, colours, max(4, round(PIXELS * down)), max(4, round(PIXELS * across)))
    if missing.any() and not blank:
        hatched(axes, missing)
    dark = (colours[..., :3] @ (0.3, 0.59, 0.11) < 0.46) & ~missing
    dot = min(across, down)
    for deep, ink in ((True, "white"), (False, "#1f2328")):
        at = np.argwhere(marked & ~missing & (dark == deep))
        if at.size:
            # In the corner of a cell that has text, otherwise in the middle.
            aside = np.array([-0.5 + 0.22, 0.5 - 0.22 * down / across]) if longest else 0
            y, x = (at + aside).T
            axes.plot(x, y, "o", color=ink, markersize=72 * dot * (0.13 if longest else 0.2), markeredgewidth=0)
    for row, column in np.argwhere(texts != ""):
        ink = INK if missing[row, column] else "white" if dark[row, column] else "#1f2328"
        text = cell(texts[row, column])
        # An ellipsis would take up half of a narrow cell.
        text = clipped(text, room) if room > 5 else text[: room + 1]
        axes.text(column, row, text, color=ink, fontsize=7, ha="center", va="center_baseline", clip_on=True)

    axes.set_xlabel(one_line(data.get("column_label", "")))
    axes.set_ylabel(one_line(data.get("row_label", "")))
    ticks = shown_ticks(wide, wide if level else int(across * wide / 0.135) or 1)
    axes.set_xticks(ticks, [columns[t] for t in ticks], rotation=0 if level else 90, fontsize=7.5)
    ticks = shown_ticks(high, int(down * high / 0.14) or 1)
    axes.set_yticks(ticks, [rows[t] for t in ticks], fontsize=7.5)
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)
    colour_bar(canvas, axes, shades, figure["unit"])
    return Plot(canvas, axes, cell_spots(range(high), wide))


def cell(text: Any) -> str:
    return one_line(str(text))


def labels(given: Sequence[Any], count: int, side: str) -> list[str]:
    """Labels short enough for their rows and columns. Raises BadFigure unless there is one for each."""
    if len(given) != count:
        raise BadFigure(f"there are {len(given)} {side}, but values for {count}")
    return [clipped(one_line(str(one)), LABEL) for one in given]


def shaped(given: Any, shape: tuple[int, ...], name: str, empty: Any) -> np.ndarray:
    """[row][column], with `empty` where there is nothing. Raises BadFigure if its shape is not that of the values."""
    if given is None:
        return np.full(shape, empty, dtype=object)
    found = [[empty if one is None else one for one in row] for row in given]
    if (len(found), *{len(row) for row in found}) != shape:
        raise BadFigure(f"{name} must be [{shape[0]}][{shape[1]}], as values are")
    return np.array(found, dtype=object)


def scale(values: np.ndarray, name: str) -> Shades:
    if name == "diverging":
        limit = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        return Shades("RdBu_r", Normalize(-limit, limit))
    if name != "sequential":
        raise BadFigure(f"the scale must be diverging or sequential, not '{one_line(str(name))}'")
    low, high = min(0.0, float(np.nanmin(values, initial=0.0))), float(np.nanmax(values, initial=-np.inf))
    if not high > low:
        high = low + 1.0
    return Shades("YlGnBu", Normalize(low, high))
