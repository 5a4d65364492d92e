"""Layers, or edits, as bars with intervals."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from ..escape import clipped, one_line
from ..ink import INK, BadFigure
from .page import LOWERED, RAISED, Plot, grid, page, plain, same_length, shown_ticks, zero_line


def layer_bars(figure: dict[str, Any]) -> Plot:
    """One bar per layer, or per edit, with its interval as a whisker; long names make the bars horizontal."""
    data = figure["data"]
    labels = [one_line(str(label)) for label in data["labels"]]
    values = grid(data["values"])
    low, high = (grid(data.get(side) or data["values"]) for side in ("low", "high"))
    same_length(labels=labels, values=values, low=low, high=high)
    if not labels:
        raise BadFigure("there are no bars")
    missing = np.isnan(values)
    notes = ["whiskers: 95% interval"] if data.get("low") else []
    notes += ["a cross: not measured"] if missing.any() else []
    places = np.arange(len(labels))
    colours = np.where(np.nan_to_num(values) >= 0, RAISED, LOWERED).tolist()
    heights = np.nan_to_num(values)
    whiskers = np.nan_to_num(np.clip(np.array([values - low, high - values]), 0, None))
    style: dict[str, Any] = {"ecolor": INK, "elinewidth": 0.9, "capsize": 0}
    longest = max(len(label) for label in labels)
    lying = longest > 9
    if lying:
        shown = ["\n".join(textwrap.wrap(clipped(label, 68), 34)) for label in labels]
        left = 0.25 + 0.075 * max(len(line) for label in shown for line in label.split("\n"))
        rows = 1 + max(label.count("\n") for label in shown)
        tall = len(labels) * (0.13 + 0.14 * rows) + 0.1
        canvas, axes = page(figure, max(6.9 - left, 3.2), tall, left, 0.3, 0.5, notes)
        axes.barh(
            places, heights, xerr=whiskers if data.get("low") else None, color=colours, height=0.7, error_kw=style
        )
        axes.plot(np.zeros(missing.sum()), places[missing], "x", color=INK, markersize=4)
        axes.set_yticks(places, shown, fontsize=8)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlabel(one_line(figure["unit"]))
        axes.spines["left"].set_visible(False)
    else:
        wide = min(6.1, max(2.6, 0.3 * len(labels)))
        turned = longest > 3 and len(labels) * (0.09 + 0.075 * longest) > wide
        bottom = 0.5 + (0.075 * longest if turned else 0.1)
        canvas, axes = page(figure, wide, 2.5, 0.75, 0.25, bottom, notes)
        axes.bar(places, heights, yerr=whiskers if data.get("low") else None, color=colours, width=0.74, error_kw=style)
        axes.plot(places[missing], np.zeros(missing.sum()), "x", color=INK, markersize=4)
        room = wide / 0.17 if turned else wide / (0.09 + 0.075 * longest)
        ticks = shown_ticks(len(labels), max(1, int(room)))
        axes.set_xticks(ticks, [labels[t] for t in ticks], rotation=90 if turned else 0, fontsize=8)
        axes.set_xlim(-0.6, len(labels) - 0.4)
        if all(label.isdigit() for label in labels):
            axes.set_xlabel("layer")
        axes.set_ylabel("\n".join(textwrap.wrap(one_line(figure["unit"]), 34)))
        axes.spines["bottom"].set_visible(False)
    plain(axes)
    axes.tick_params(axis="y" if lying else "x", length=0)
    zero_line(axes, upright=lying)
    # Easier to point at than the bar itself: the whole column above and below it.
    if lying:
        left, right = axes.get_xlim()
        return Plot(canvas, axes, {(i,): [(left, i - 0.5, right, i + 0.5)] for i in range(len(labels))})
    bottom, top = axes.get_ylim()
    return Plot(canvas, axes, {(i,): [(i - 0.5, bottom, i + 0.5, top)] for i in range(len(labels))})
