"""Points of a figure in a terminal: a letter for each group, at its place."""

from __future__ import annotations

import math
from string import ascii_uppercase

from rich.console import Console
from rich.text import Text

from ....db.records import Json
from ....tools.report.plain_text import cut, printable
from .style import indented, number

WIDE, HIGH = 60, 16
SEVERAL = "+"


def print_points(console: Console, data: Json) -> None:
    """Print up to 60 by 16 characters; + marks a cell with points of several groups."""
    groups = data.get("groups") or [""] * len(data["x"])
    points: list[tuple[float, float, str]] = [
        (x, y, str(g)) for x, y, g in zip(data["x"], data["y"], groups, strict=True)
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    ]  # fmt: skip
    if not points:
        return
    names = list(dict.fromkeys(g for _, _, g in points))
    letter = {name: ascii_uppercase[i % 26] if len(names) > 1 else "o" for i, name in enumerate(names)}
    wide = max(8, min(WIDE, console.width - 4))
    left, right = min(x for x, _, _ in points), max(x for x, _, _ in points)
    low, high = min(y for _, y, _ in points), max(y for _, y, _ in points)
    page = [[" "] * wide for _ in range(HIGH)]
    for x, y, group in points:
        column, row = _place(x, left, right, wide), HIGH - 1 - _place(y, low, high, HIGH)
        page[row][column] = letter[group] if page[row][column] in (" ", letter[group]) else SEVERAL
    key = ", ".join(f"{letter[name]} {cut(printable(name), 24)}" for name in names) if len(names) > 1 else ""
    text = f"Across: {_axis(data, 'x', left, right)}. Up: {_axis(data, 'y', low, high)}."
    console.print(indented(f"{text} {key + f'; {SEVERAL} is several' if key else ''}".rstrip()))
    for line in page:
        console.print(Text("  " + "".join(line).rstrip()))


def _place(value: float, low: float, high: float, cells: int) -> int:
    return 0 if high <= low else min(cells - 1, int((value - low) / (high - low) * cells))


def _axis(data: Json, name: str, low: float, high: float) -> str:
    label = printable(" ".join(str(data.get(f"{name}_label") or name).split()))
    return f"{label}, {number(low)} to {number(high)}"
