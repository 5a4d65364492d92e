"""How a p (or a q, which is p corrected) is written: rounded, but never to the other side of the level."""

from __future__ import annotations

from itertools import count

LEVEL = 0.05


def keeps_side(shown: float, p: float, level: float = LEVEL) -> bool:
    """Whether what is shown of p stands to the level as p itself does."""
    return (shown < level) == (p < level)


def p_text(p: float, digits: int = 2, level: float = LEVEL) -> str:
    """0.0495 would be 0.05 in two digits and look as if it were not below the level; so it gets one more."""
    return next(text for more in count(digits) if keeps_side(float(text := f"{p:.{more}g}"), p, level))
