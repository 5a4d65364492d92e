"""A circuit: its parts by layer, the first layer at the bottom, and its edges as lines between them.

An edge that passes other layers gets a point in each of their rows, so it runs between the parts there instead of
behind them. The order within a row puts each point near those that it is connected to (Sugiyama et al. 1981).
"""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path
from scipy.optimize import isotonic_regression

from ..escape import clipped, one_line
from ..ink import INK, BadFigure
from .page import LOWERED, RAISED, Plot, page

LETTER, HIGH = 0.075, 0.3  # width of a letter of 8 points, and height of a box, inches
APART, CLOSE = 0.16, 0.11  # between two boxes; between two lines
ROW = 0.6  # from one row to the next, inches
SWEEPS = 24
PORTS = {"q": -0.3, "k": 0.0, "v": 0.3}
BOX, TEXT = "#eef1f4", "#1f2328"


def circuit(figure: dict[str, Any]) -> Plot:
    data = figure["data"]
    nodes, edges = data["nodes"], data["edges"]
    if not nodes or not edges:
        raise BadFigure("there are no edges")
    names = [clipped(one_line(str(node["name"])), 16) for node in nodes]
    rows = sorted({tuple(node["row"]) for node in nodes})
    height = {row: i for i, row in enumerate(rows)}
    level = [height[tuple(node["row"])] for node in nodes]
    if any(level[e[0]] >= level[e[1]] for e in edges):
        raise BadFigure("an edge must lead to a later row")
    points, chains = chained(level, [(e[0], e[1]) for e in edges])
    ports = [{by for s, r, by, *_ in edges if r == i and by} for i in range(len(nodes))]
    halves = [max(0.19, 0.08 + LETTER * len(name) / 2) for name in names] + [0.0] * (len(points) - len(nodes))
    xs = placed(points, chains, halves)
    wide = max(3.2, float(xs.max()) + 0.5)
    tall = ROW * (len(rows) - 1) + HIGH + 0.1
    ys = 0.05 + HIGH / 2 + ROW * np.array(points)

    left_out = data["size"] - len(edges)
    signs = {float(np.sign(edge[3])) for edge in edges}
    notes = [f"{len(edges)} strongest of {data['size']} edges"] if left_out > 0 else [f"{data['size']} edges"]
    notes += [f"{data['parts']} parts"]
    notes += ["blue: lost without the edge"] if -1.0 in signs else []
    notes += ["red: gained without it"] if 1.0 in signs else []
    notes += ["dashed: estimated"] if not all(edge[4] for edge in edges) else []
    largest = max(abs(edge[3]) for edge in edges) or 1.0
    notes += [f"widest: {100 * largest:.0f}%"]
    canvas, axes = page(figure, wide, tall, 0.72, 0.2, 0.3, notes)
    axes.text(-0.65, -0.2, clipped(one_line(figure["unit"]), 60), color=INK, fontsize=7.5)
    axes.set_axis_off()
    axes.set(xlim=(0, wide), ylim=(0, tall))

    for row, i in height.items():
        if row[0] not in (-1,) and (i == 0 or rows[i - 1][0] != row[0]) and names[level.index(i)] != "logits":
            last = max(j for other, j in height.items() if other[0] == row[0])
            y = 0.05 + HIGH / 2 + ROW * (i + last) / 2
            axes.text(-0.12, y, f"layer {row[0]}", color=INK, fontsize=7.5, ha="right", va="center_baseline")
    for kv, head in data.get("shared", ()):
        axes.plot(xs[[kv, head]], ys[[kv, head]], ":", color=INK, linewidth=0.7, zorder=1)
    # The strongest on top.
    for edge, chain in reversed(list(zip(edges, chains, strict=True))):
        _, reader, by, share, measured = edge
        # It passes a row upright, and bends only between rows, where there are no boxes.
        path = [(float(xs[p]), float(ys[p]) + side * HIGH / 2) for p in chain for side in (-1, 1)][1:-1]
        path[-1] = (path[-1][0] + PORTS.get(by, 0.0) * 1.6 * halves[reader], path[-1][1])
        colour = LOWERED if share < 0 else RAISED if share > 0 else INK
        axes.add_patch(
            PathPatch(
                smooth(path), facecolor="none", edgecolor=colour, linewidth=0.5 + 3.2 * abs(share) / largest,
                linestyle="-" if measured else (0, (3, 1.5)), alpha=0.85, capstyle="butt", zorder=2,
            )
        )  # fmt: skip
    for i, name in enumerate(names):
        corner = (xs[i] - halves[i], ys[i] - HIGH / 2)
        box = FancyBboxPatch(corner, 2 * halves[i], HIGH, boxstyle="round,pad=0,rounding_size=0.06", facecolor=BOX,
                             edgecolor=INK, linewidth=0.6, zorder=3)  # fmt: skip
        axes.add_patch(box)
        up = 0.045 if ports[i] else 0.0
        axes.text(xs[i], ys[i] + up, name, color=TEXT, fontsize=8, ha="center", va="center_baseline", zorder=4)
        for by in sorted(ports[i]):
            axes.text(xs[i] + PORTS[by] * 1.6 * halves[i], ys[i] - 0.105, by, color="#59636e", fontsize=6,
                      ha="center", va="center_baseline", zorder=4)  # fmt: skip
    spots = {
        (i,): [(float(xs[i] - halves[i]), float(ys[i] - HIGH / 2), float(xs[i] + halves[i]), float(ys[i] + HIGH / 2))]
        for i in range(len(nodes))
    }
    return Plot(canvas, axes, spots)


def chained(level: Sequence[int], edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[list[int]]]:
    """The row of each point: the parts, and then where edges pass a row. And the points of each edge."""
    points, chains = list(level), list[list[int]]()
    for sender, reader in edges:
        between = range(level[sender] + 1, level[reader])
        chains.append([sender, *range(len(points), len(points) + len(between)), reader])
        points += between
    return points, chains


def placed(points: Sequence[int], chains: Sequence[Sequence[int]], halves: Sequence[float]) -> np.ndarray:
    """The x of each point, [point], in inches from the left: near the points it is connected to, and apart from others
    of its row."""
    linked = defaultdict[int, list[int]](list)
    for chain in chains:
        for a, b in pairwise(chain):
            linked[a].append(b)
            linked[b].append(a)
    rows = [[i for i, row in enumerate(points) if row == r] for r in range(max(points) + 1)]
    xs = np.zeros(len(points))
    for row in rows:
        spread(xs, row, np.arange(len(row), dtype=float), halves)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else rows[::-1]:
            # First from one side alone, which sets the order; later from both, which makes lines straight.
            wanted = []
            for i in row:
                near = [j for j in linked[i] if (points[j] < points[i]) == bool(sweep % 2)] if sweep < 8 else linked[i]
                wanted.append(float(np.mean(xs[near or linked[i]])) if linked[i] else float(xs[i]))
            spread(xs, row, np.array(wanted), halves)
    return xs - min(x - half for x, half in zip(xs, halves, strict=True)) + 0.1


def spread(xs: np.ndarray, row: Sequence[int], wanted: np.ndarray, halves: Sequence[float]) -> None:
    """Put the points of a row as near to `wanted` as they can be without touching (least squares, in that order)."""
    order = np.argsort(wanted, kind="stable")
    ranked = [row[i] for i in order]
    gaps = [halves[a] + halves[b] + (APART if halves[a] and halves[b] else CLOSE)
            for a, b in pairwise(ranked)]  # fmt: skip
    offset = np.concatenate([[0.0], np.cumsum(gaps)])
    # A box is heavier than a line that passes by.
    weights = [3.0 if halves[i] else 1.0 for i in ranked]
    xs[ranked] = isotonic_regression(wanted[order] - offset, weights=weights).x + offset


def smooth(points: Sequence[tuple[float, float]]) -> Path:
    """A curve through the points that leaves and reaches each upright."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = (y1 - y0) / 2
        vertices += [(x0, y0 + bend), (x1, y1 - bend), (x1, y1)]
        codes += [Path.CURVE4] * 3
    return Path(vertices, codes)
