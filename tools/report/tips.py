"""What a cell of a drawing says when it is pointed at: its place, its value, and of an effect its interval and q."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .numbers import number, value_text

Row = dict[str, Any]


def layers_shown(values: Sequence[Sequence[float | None]]) -> Sequence[int]:
    """Which rows of a map of heads are drawn: a layer of which no head was measured would only push the others apart.
    All, where nothing was measured."""
    measured = [i for i, row in enumerate(values) if any(v is not None and math.isfinite(v) for v in row)]
    return measured or range(len(values))


def tips(figure: Row, effects: Sequence[Row]) -> list[list[str]] | None:
    """What is said of each cell that is drawn, row by row, or None where the figure, which `draw` could draw, is no
    grid."""
    data, unit = figure["data"], figure["unit"]
    if figure["kind"] == "head_heatmap":
        values: list[Sequence[float | None]] = data["values"]
        kept = layers_shown(values)
        told = {(effect["site"], effect["value"]): effect for effect in effects}
        return [[_tip(f"L{i}.H{j}", value, unit, told) for j, value in enumerate(values[i])] for i in kept]
    if figure["kind"] == "matrix":
        texts = data.get("texts")
        return [
            [
                _tip(f"{row} · {column}" + (f" · {texts[i][j]}" if texts and texts[i][j] else ""), value, unit, {})
                for j, (column, value) in enumerate(zip(data["columns"], data["values"][i], strict=True))
            ]
            for i, row in enumerate(data["rows"])
        ]
    return None


def _tip(name: str, value: float | None, unit: str, effects: dict[tuple[str, float], Row]) -> str:
    if value is None:
        return f"{name}: not measured"
    effect = effects.get((name, value))
    if effect is None:
        return f"{name}: {number(value)} {unit}".rstrip()
    q = "" if effect["q"] is None else f", q = {number(effect['q'])}"
    return f"{name}: {value_text({**effect, 'unit': unit})}{q}"
