"""How to write a p (or q): rounded, but never to the other side of the level."""

from __future__ import annotations

from itertools import count

LEVEL = 0.05


def keeps_side(shown: float, p: float, level: float = LEVEL) -> bool:
    """Whether the rounded p is on the same side of the level as p."""
    return (shown < level) == (p < level)


def p_text(p: float, digits: int = 2, level: float = LEVEL) -> str:
    """p as text; 0.0495, which with two digits would look like 0.05, gets one more digit."""
    return next(text for more in count(digits) if keeps_side(float(text := f"{p:.{more}g}"), p, level))
