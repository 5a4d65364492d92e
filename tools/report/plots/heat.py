"""Heads as a heat map."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import Normalize

from ..ink import BadFigure
from ..tips import layers_shown
from .page import Plot, Shades, cell_spots, cells, colour_bar, grid, hatched, page, shown_ticks


def head_heatmap(figure: dict[str, Any]) -> Plot:
    """Layers down, heads across; red raises the metric, blue lowers it; the scale is symmetric."""

    values = grid(figure["data"]["values"])
    if values.ndim != 2 or not values.size:
        raise BadFigure("values must be [layer][head], with at least one of each")
    layers, heads = values.shape
    marks = figure["data"].get("significant")
    marked = np.array(marks, dtype=bool) if marks else np.zeros(values.shape, dtype=bool)
    if marked.shape != values.shape:
        raise BadFigure(f"significant is {marked.shape}, values are {values.shape}")
    shown = np.array(layers_shown(values.tolist()))
    notes = ["● q < 0.05"] if marked[shown].any() else []
    notes += ["layers that are not shown: not measured"] if len(shown) < layers else []
    values, marked, layers = values[shown], marked[shown], len(shown)
    missing = np.isnan(values)
    notes += ["hatched: not measured"] if missing.any() else []
    cell = min(0.34, max(0.15, min(5.4 / heads, 6.0 / layers)))
    canvas, axes = page(figure, cell * heads, cell * layers, 0.62, 1.1, 0.52, notes)
    limit = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    shades = Shades("RdBu_r", Normalize(-limit, limit))
    colours = shades.colours(values)
    colours[missing] = 0
    cells(axes, colours, 12, 12)
    if missing.any():
        hatched(axes, missing)
    for deep, ink in ((True, "white"), (False, "#1f2328")):
        at = np.argwhere(marked & ~missing & ((np.abs(np.nan_to_num(values)) > 0.62 * limit) == deep))
        if at.size:
            axes.plot(at[:, 1], at[:, 0], "o", color=ink, markersize=72 * cell * 0.2, markeredgewidth=0)
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    axes.set_xticks(shown_ticks(heads, int(cell * heads / 0.19) or 1))
    rows = shown_ticks(layers, int(cell * layers / 0.17) or 1)
    axes.set_yticks(rows, [str(shown[row]) for row in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    colour_bar(canvas, axes, shades, figure["unit"])
    return Plot(canvas, axes, cell_spots(shown.tolist(), heads))
