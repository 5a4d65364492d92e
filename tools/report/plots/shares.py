"""Classes as shares of a whole: a ring, or bars stacked to one hundred. A class has the same colour in every report."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

import math
import textwrap
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from ..escape import clipped, one_line
from ..ink import BadFigure
from ..numbers import number
from ..tips import Box, Place, share_text
from .page import Plot, grid, page, same_length

_CLASSES = {
    "correct": "#009e73",
    "hallucination": "#cc79a7",
    "wrong operation": "#e69f00",
    "off by one": "#56b4e9",
    "incomplete": "#8c959f",
    "repetition": "#d55e00",
    "format": "#0072b2",
    "digit error": "#b8a400",
    "copied operand": "#7f5ab6",
    "other choice": "#8c564b",
    "refusal": "#17becf",
    "other": "#4a5a8c",
}
_SPARE = ("#d55e00", "#0072b2", "#b8a400", "#7f5ab6", "#8c564b", "#17becf")


def class_colours(names: Sequence[str]) -> list[str]:
    """The fixed colour of each class; an unknown class gets a colour by its name, unless that one is taken."""
    taken: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (name not in _CLASSES, name)):
        spare = [c for c in _SPARE if c not in taken.values()] or list(_SPARE)
        taken[name] = _CLASSES.get(name) or spare[zlib.crc32(name.encode()) % len(spare)]
    return [taken[name] for name in names]


def pie(figure: dict[str, Any]) -> Plot:
    """Shares of a whole as a ring, with every class, its count and its share in a list next to it."""

    names = [one_line(str(label)).replace("_", " ") for label in figure["data"]["labels"]]
    counts = [float(count) for count in figure["data"]["counts"]]
    same_length(labels=names, counts=counts)
    if not all(math.isfinite(count) and count >= 0 for count in counts):
        raise BadFigure("counts must be numbers from 0 up")
    total = sum(counts)
    shares = [f" ({share_text(count, total)})" if total else "" for count in counts]
    lines = [textwrap.wrap(clipped(name, 80) + share, 32) for name, share in zip(names, shares, strict=True)]
    rows = sum(len(line) for line in lines)
    side = 2.0
    tall = max(side, 0.24 * rows)
    canvas, axes = page(figure, side, tall, 0.25, 3.7, 0.2, ())
    colours = class_colours(names)
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    if total:
        parts = [(count, colour) for count, colour in zip(counts, colours, strict=True) if count]
        edge = {"width": 0.38, "linewidth": 0}
        wedges, *_ = axes.pie(
            [c for c, _ in parts], colors=[c for _, c in parts], startangle=90, counterclock=False, wedgeprops=edge
        )
        for wedge in wedges:
            # A clear gap between neighbours does what an outline would, on any background.
            gap = min(1.2, (wedge.theta2 - wedge.theta1) / 4) if len(parts) > 1 else 0
            wedge.set_theta1(wedge.theta1 + gap)
            wedge.set_theta2(wedge.theta2 - gap)
        axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
    axes.text(0, 0.06, number(total), ha="center", va="center", fontsize=15)
    axes.text(0, -0.2, clipped(one_line(figure["unit"]), 14), ha="center", va="center", fontsize=8)
    width, height = canvas.get_figwidth(), canvas.get_figheight()
    middle = axes.get_position().y0 * height + tall / 2
    y = middle + 0.12 * (rows - 1)
    for name, count, colour in zip(lines, counts, colours, strict=True):
        canvas.add_artist(Line2D([2.55 / width], [y / height], marker="s", markersize=7, color=colour, linewidth=0))
        canvas.text(3.25 / width, (y - 0.045) / height, number(count), ha="right", weight="bold")
        for line in name:
            canvas.text(3.38 / width, (y - 0.045) / height, line)
            y -= 0.24
    return Plot(canvas, axes, {(i,): ring_spots(counts, i) for i, count in enumerate(counts) if count})


def ring_spots(counts: Sequence[float], part: int) -> list[Box]:
    """Small boxes along the part of the ring, which begins at the top and runs clockwise."""
    before, whole = sum(counts[:part]), sum(counts)
    steps = max(1, round(40 * counts[part] / whole))
    turns = (2 * math.pi * (before + counts[part] * (k + 0.5) / steps) / whole for k in range(steps))
    middles = [(0.81 * math.sin(turn), 0.81 * math.cos(turn)) for turn in turns]
    return [(x - 0.08, y - 0.08, x + 0.08, y + 0.08) for x, y in middles]


def stacked_bars(figure: dict[str, Any]) -> Plot:
    """One bar for each condition, in parts by class, over a table of the same counts: before and after in one look."""
    data = figure["data"]
    bars, labels = ([one_line(str(name)).replace("_", " ") for name in data[key]] for key in ("bars", "labels"))
    counts = grid(data["counts"])
    if not bars or not labels or counts.shape != (len(bars), len(labels)):
        raise BadFigure(f"counts must be [{len(bars)}][{len(labels)}], one for each bar and label, and not empty")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise BadFigure("counts must be numbers from 0 up")
    shown = ["\n".join(textwrap.wrap(clipped(name, 40), 20)) for name in bars]
    left, row, tall = 1.7, 0.22, 0.46 * len(bars)
    table = row * (len(labels) + 1)
    canvas, axes = page(figure, 4.9, tall, left, 0.3, 0.2 + table, ())
    colours = class_colours(labels)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ends = shares.cumsum(1)
    for part, colour in enumerate(colours):
        gap = np.minimum(0.004, shares[:, part] / 4)
        widths = shares[:, part] - gap
        axes.barh(np.arange(len(bars)), widths, left=ends[:, part] - shares[:, part], color=colour, height=0.62)
    axes.set(xlim=(0, 1), ylim=(len(bars) - 0.5, -0.5))
    axes.set_yticks(range(len(bars)), shown, fontsize=8)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    width, height = canvas.get_figwidth(), canvas.get_figheight()
    places = left + 2.2 + (2.5 / len(bars)) * (np.arange(len(bars)) + 0.5)
    y = 0.06 + table - row
    for place, name in zip(places, bars, strict=True):
        heading = clipped(name, max(6, int(34 / len(bars))))
        canvas.text(place / width, y / height, heading, ha="right", fontsize=8)
    canvas.text(left / width, y / height, clipped(one_line(figure["unit"]), 24), fontsize=8)
    for part, (name, colour) in enumerate(zip(labels, colours, strict=True)):
        y -= row
        mark = Line2D(
            [(left - 0.12) / width], [(y + 0.045) / height], marker="s", markersize=7, color=colour, linewidth=0
        )
        canvas.add_artist(mark)
        canvas.text(left / width, y / height, clipped(name, 28))
        for place, count in zip(places, counts[:, part], strict=True):
            canvas.text(place / width, y / height, number(float(count)), ha="right", weight="bold")
    spots: dict[Place, list[Box]] = {
        (i, j): [(ends[i, j] - shares[i, j], i - 0.31, ends[i, j], i + 0.31)] for i, j in np.argwhere(counts).tolist()
    }
    return Plot(canvas, axes, spots)
