"""What every drawing shares: its page with title and n, its colours, its ticks, its cells and its colour bar."""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from ..escape import clipped, one_line
from ..ink import INK, BadFigure
from ..numbers import number
from ..tips import Box, Place


@dataclass(frozen=True)
class Plot:
    """A drawing and the positions of its marks: boxes (x0, y0, x1, y1) in the coordinates of `axes`, by the mark's
    place in the data. A point is a box without extent."""

    canvas: Canvas
    axes: Axes
    spots: Mapping[Place, Sequence[Box]]


RAISED, LOWERED = "#d6604d", "#4393c3"
LINE = 0.17  # height of a line of text, inches


def page(
    figure: dict[str, Any], width: float, height: float, left: float, right: float, bottom: float, notes: Sequence[str]
) -> tuple[Canvas, Axes]:
    """A canvas whose axes are width x height inches, with the wrapped title and a quiet line above them."""

    full = max(left + width + right, 4.6)
    title = textwrap.wrap(one_line(figure["title"]), int(full * 9.6)) or [""]
    quiet = textwrap.wrap(" · ".join((f"n = {number(figure['n'])}", *notes)), int(full * 14))
    top = 0.3 + LINE * 1.15 * len(title) + LINE * len(quiet)
    tall = top + height + bottom
    canvas = Canvas(figsize=(full, tall))
    canvas.text(0.02 / full, 1 - 0.06 / tall, "\n".join(title), va="top", fontsize=10.5, weight="bold", linespacing=1.3)
    under = 0.1 + LINE * 1.15 * len(title)
    canvas.text(0.02 / full, 1 - under / tall, "\n".join(quiet), va="top", fontsize=8, linespacing=1.4)
    axes = canvas.add_axes((left / full, bottom / tall, width / full, height / tall))
    axes.patch.set_alpha(0)
    return canvas, axes


def grid(values: Sequence[Any]) -> np.ndarray:
    """Numbers as an array, NaN for null and for what is not finite."""
    array = np.array(values, dtype=float)
    array[~np.isfinite(array)] = np.nan
    return array


def same_length(**parts: Sized) -> None:
    lengths = {name: len(part) for name, part in parts.items()}
    if len(set(lengths.values())) > 1:
        raise BadFigure("lengths differ: " + ", ".join(f"{name} {length}" for name, length in lengths.items()))


def zero_line(axes: Axes, upright: bool = False) -> None:
    (axes.axvline if upright else axes.axhline)(0, color=INK, linewidth=0.7)


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)


def shown_ticks(count: int, room: int) -> list[int]:
    """Every k-th index, with k such that at most `room` labels are shown."""
    return list(range(0, count, next(k for k in (1, 2, 5, 10, 20, 50, 100, 1000, count) if count / k <= room)))


@dataclass(frozen=True)
class Shades:
    """A colour scale and its label. A symmetric norm has zero in the middle."""

    name: str
    norm: Normalize

    def colours(self, values: np.ndarray) -> np.ndarray:
        """[..., rgba] from 0 to 1."""
        return mpl.colormaps[self.name](self.norm(values))

    @property
    def ends(self) -> tuple[float, float]:
        low, high = self.norm.vmin, self.norm.vmax
        assert low is not None
        assert high is not None
        return low, high


def cells(axes: Axes, colours: np.ndarray, tall: int, wide: int) -> None:
    """colours [row][column][rgba] as one small picture, tall x wide pixels a cell, with a clear line between the cells.
    A shape for each cell would take a hundred times more bytes."""
    rows, columns = colours.shape[:2]
    gap = 1
    picture = np.kron(colours, np.ones((tall, wide, 1)))
    picture[np.arange(rows * tall) % tall < gap, :, 3] = 0
    picture[:, np.arange(columns * wide) % wide < gap, 3] = 0
    axes.imshow(picture, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="none", aspect="auto")


def cell_spots(rows: Sequence[int], columns: int) -> dict[Place, list[Box]]:
    """Boxes of a grid, whose k-th visible row is rows[k] of the data."""
    return {(row, j): [(j - 0.5, k - 0.5, j + 0.5, k + 0.5)] for k, row in enumerate(rows) for j in range(columns)}


def hatched(axes: Axes, missing: np.ndarray) -> None:
    """What was not measured, [row][column]."""
    boxes = [Rectangle((column - 0.44, row - 0.44), 0.88, 0.88) for row, column in np.argwhere(missing)]
    outline = Path.make_compound_path(*(box.get_transform().transform_path(box.get_path()) for box in boxes))
    axes.add_patch(PathPatch(outline, facecolor="none", edgecolor=INK, hatch="//////", linewidth=0))


def colour_bar(canvas: Canvas, axes: Axes, scale: Shades, unit: str) -> None:

    box, width, tall = axes.get_position(), canvas.get_figwidth(), canvas.get_figheight()
    high = min(box.height, 2.6 / tall)
    bar = canvas.add_axes((box.x1 + 0.16 / width, box.y1 - high, 0.12 / width, high))
    shades = mpl.colormaps[scale.name](np.linspace(1, 0, 64))[:, None, :]
    low, top = scale.ends
    bar.imshow(shades, extent=(0, 1, low, top), aspect="auto", interpolation="none")
    bar.spines[:].set_visible(False)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    ticks = np.linspace(low, top, 3 if high * tall < 1.2 else 5).tolist()
    bar.set_yticks(ticks, [number(float(f"{end:.2g}")) for end in ticks], fontsize=8)
    bar.set_ylabel(clipped(one_line(unit), int(high * tall * 13)), fontsize=8)
    bar.tick_params(length=2)
