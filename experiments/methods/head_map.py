"""Scores of all heads as a figure, layers down and heads across, from 0 up: for levels, not for changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..result import Effect, Figure
from ..sites import count


def head_map(
    name: str, title: str, unit: str, n: int, found: Sequence[Effect], metric: str, sizes: Mapping[str, int]
) -> Figure:
    """The effects on a metric, one for each head, layer by layer."""
    values = iter([e.value for e in found if e.metric == metric])
    widest, layers = range(sizes["n_heads"]), range(sizes["n_layers"])
    grid = [[next(values) if h < count("z", layer, sizes) else None for h in widest] for layer in layers]
    return Figure(
        name=name, kind="matrix", title=title, unit=unit, n=n,
        data={"values": grid, "rows": [str(i) for i in range(sizes["n_layers"])],
              "columns": [str(i) for i in range(sizes["n_heads"])], "row_label": "layer", "column_label": "head",
              "scale": "sequential"},
    )  # fmt: skip
