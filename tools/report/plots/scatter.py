"""Points: one measure of each place against another, or the places of a map."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

from typing import Any

import numpy as np

from ..escape import clipped, one_line
from ..ink import INK, BadFigure
from .page import LINE, Plot, grid, page, plain, same_length

# The hues of Okabe and Ito, each with its own shape, for readers who cannot tell the hues apart.
_GROUPS = (("#0072b2", "o"), ("#d55e00", "^"), ("#009e73", "s"), ("#cc79a7", "D"), ("#e69f00", "v"))
_SHAPES = [shape for _, shape in _GROUPS]
NAMED = 8
WIDE, TALL = 4.4, 3.4  # inches
LETTER = 0.075  # width of a letter of the key, inches


def scatter(figure: dict[str, Any]) -> Plot:
    """Points by group, with the line on which both are the same; the points furthest out carry their names. On a map
    (no diagonal) both axes have one scale, and nothing is at zero."""
    data = figure["data"]
    xs, ys, labels = grid(data["x"]), grid(data["y"]), [one_line(str(label)) for label in data["labels"]]
    groups = [one_line(str(g)) for g in data.get("groups") or [""] * len(xs)]
    same_length(x=xs, y=ys, labels=labels, groups=groups)
    there = ~np.isnan(xs) & ~np.isnan(ys)
    if not there.any():
        raise BadFigure("there are no points")
    names = list(dict.fromkeys(groups))
    diagonal = bool(data.get("diagonal", True))
    across = max(1, int((WIDE + 1.0) / (0.35 + LETTER * max(map(len, map(shortened, names))))))
    key = LINE * (0.4 + -(-len(names) // across)) if len(names) > 1 else 0.0
    notes = ["dashed: both are the same"] if diagonal else []
    canvas, axes = page(figure, WIDE, TALL, 0.8, 0.35, 0.62 + key, notes)
    if diagonal:
        both = np.concatenate([xs[there], ys[there]])
        ends = (float(both.min()), float(both.max()))
        axes.axhline(0, color=INK, linewidth=0.5, alpha=0.5)
        axes.axvline(0, color=INK, linewidth=0.5, alpha=0.5)
        axes.plot(ends, ends, "--", color=INK, linewidth=0.8)
    for i, name in enumerate(names):
        colour, marker = look(i)
        if name == data.get("rest"):
            colour, marker = INK, "."
        of = there & np.array([g == name for g in groups])
        axes.plot(xs[of], ys[of], marker, color=colour, markersize=4.5, markeredgewidth=0, alpha=0.8,
                  label=shortened(name) or " ")  # fmt: skip
    axes.margins(0.08)
    if not diagonal:
        axes.set_aspect("equal", adjustable="datalim")
        # Now, since names and spots are placed by the limits.
        axes.apply_aspect()
    plain(axes)
    name_points(axes, xs, ys, labels, there)
    axes.set_xlabel(clipped(one_line(str(data.get("x_label", ""))), 70))
    axes.set_ylabel(clipped(one_line(str(data.get("y_label", ""))), 55))
    axes.text(1, 1.01, one_line(figure["unit"]), transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5)
    if len(names) > 1:
        place = (0.5, 0.06 / canvas.get_figheight())
        canvas.legend(
            loc="lower center", bbox_to_anchor=place, ncols=min(across, len(names)), frameon=False, fontsize=8
        )
    spots = {(i,): [(x, y, x, y)] for i, (x, y) in enumerate(zip(xs.tolist(), ys.tolist(), strict=True)) if there[i]}
    return Plot(canvas, axes, spots)


def look(place: int) -> tuple[str, str]:
    """Colour and shape of a group: five of each, so that twenty-five groups differ."""
    colour, _ = _GROUPS[place % len(_GROUPS)]
    return colour, _SHAPES[(place + place // len(_GROUPS)) % len(_SHAPES)]


def shortened(name: str) -> str:
    return clipped(name, 24)


def name_points(axes: Any, xs: np.ndarray, ys: np.ndarray, labels: list[str], there: np.ndarray) -> None:
    """The names of the points furthest from zero, each next to its point if there is room."""
    size = np.where(there, np.hypot(np.nan_to_num(xs), np.nan_to_num(ys)), -1.0)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across, down = WIDE / (right - left), TALL / (top - bottom)
    points = np.stack([(xs[there] - left) * across, (ys[there] - bottom) * down], axis=-1)
    taken: list[tuple[float, float, float, float]] = []
    for i in np.argsort(-size, kind="stable")[:NAMED]:
        if size[i] < 0:
            break
        if not labels[i]:
            continue
        name = clipped(labels[i], 24)
        x, y, width = (xs[i] - left) * across, (ys[i] - bottom) * down, 0.065 * len(name)
        sides = [(-1, 1), (1, -1), (1, 1), (-1, -1)] if ys[i] >= xs[i] else [(1, -1), (-1, 1), (-1, -1), (1, 1)]
        for beside, above in sides:
            x0 = x + 0.07 if beside > 0 else x - 0.07 - width
            y0 = y + 0.01 if above > 0 else y - 0.13
            box = (x0, y0, x0 + width, y0 + 0.12)
            inside = box[0] >= 0 and box[2] <= WIDE and box[1] >= 0 and box[3] <= TALL
            covers = ((points >= box[:2]) & (points <= box[2:])).all(-1).any()
            apart = all(box[2] < a or c < box[0] or box[3] < b or d < box[1] for a, b, c, d in taken)
            if inside and apart and not covers:
                taken.append(box)
                placed = {"ha": "left" if beside > 0 else "right", "va": "bottom" if above > 0 else "top"}
                axes.annotate(
                    name, (xs[i], ys[i]), xytext=(5 * beside, above), textcoords="offset points", fontsize=7.5, **placed
                )
                break
