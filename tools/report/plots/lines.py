"""Curves with bands."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

import math
import re
import textwrap
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from ..escape import clipped, one_line
from ..ink import BadFigure
from ..tips import Box, Place
from .page import Plot, grid, page, plain, same_length, shown_ticks, zero_line

_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLES = ("-", "--", "-.", ":")


def lines(figure: dict[str, Any]) -> Plot:
    """Curves with their intervals as bands; each has its own dash, for readers who cannot tell the colours apart."""
    data = figure["data"]
    series: list[dict[str, Any]] = data["series"]
    xs: list[Any] = data["x"]
    if not series or not xs:
        raise BadFigure("there are no points")
    numeric = all(isinstance(x, int | float) for x in xs)
    x = grid(xs) if numeric else np.arange(len(xs))
    # Matplotlib leaves names that are empty or begin with an underscore out of the legend; a hair space prevents that.
    names = [re.sub("^(_|$)", "\u200a\\1", clipped(one_line(str(one["name"])), 40)) for one in series]
    columns = max(1, min(len(names), int(6.2 // (0.6 + 0.075 * max(len(name) for name in names)))))
    key = 0.2 * math.ceil(len(names) / columns) if len(names) > 1 else 0
    bands = any(one.get("low") for one in series)
    canvas, axes = page(figure, 6.0, 2.7, 0.75, 0.25, 0.55 + key, ["bands: 95% interval"] if bands else [])
    for i, (one, name) in enumerate(zip(series, names, strict=True)):
        colour, y = _SERIES[i % len(_SERIES)], grid(one["y"])
        same_length(x=xs, y=y)
        if one.get("low") and one.get("high"):
            axes.fill_between(x, grid(one["low"]), grid(one["high"]), color=colour, alpha=0.18, linewidth=0)
        marker = "o" if len(xs) <= 40 else ""
        style = _STYLES[i // 2 % len(_STYLES)] if len(series) > 2 else "-"
        axes.plot(x, y, style, color=colour, linewidth=1.5, marker=marker, markersize=2.8, label=name)
    if not numeric:
        ticks = shown_ticks(len(xs), 16)
        axes.set_xticks(ticks, [clipped(one_line(str(xs[t])), 10) for t in ticks])
    elif all(float(one).is_integer() for one in xs):
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axes.set_xlabel(one_line(str(data.get("x_label", ""))))
    axes.set_ylabel("\n".join(textwrap.wrap(one_line(figure["unit"]), 38)))
    axes.margins(x=0.03)
    plain(axes)
    bottom, top = axes.get_ylim()
    if bottom < 0 < top:
        zero_line(axes)
    if len(names) > 1:
        place = (0.5, 0.04 / canvas.get_figheight())
        canvas.legend(loc="lower center", bbox_to_anchor=place, ncols=columns, frameon=False, fontsize=8)
    spots: dict[Place, list[Box]] = {
        (i, j): [(at, value, at, value)]
        for i, one in enumerate(series)
        for j, (at, value) in enumerate(zip(x.tolist(), grid(one["y"]).tolist(), strict=True))
        if math.isfinite(at) and math.isfinite(value)
    }
    return Plot(canvas, axes, spots)
