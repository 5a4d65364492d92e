"""How each kind of figure is laid out, in inches and points, with matplotlib's own objects.

Colours are safe for the colour-blind: RdBu with white at zero where a sign matters, YlGnBu where none does,
and the hues of Okabe and Ito for classes. Only `figures.py` imports this package, when it draws.
"""

# pyright: standard
# (matplotlib's own types are unknown in part)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .bars import layer_bars
from .circuit import circuit
from .heat import head_heatmap
from .lines import lines
from .matrix import matrix
from .page import Plot
from .scatter import scatter
from .shares import pie, stacked_bars

PLOTS: dict[str, Callable[[dict[str, Any]], Plot]] = {
    "head_heatmap": head_heatmap,
    "layer_bars": layer_bars,
    "pie": pie,
    "stacked_bars": stacked_bars,
    "lines": lines,
    "matrix": matrix,
    "scatter": scatter,
    "circuit": circuit,
}
