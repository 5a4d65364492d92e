"""The largest effects in words, in which nothing is called strong that chance gives, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .result import Effect

LEVEL = 0.05


def clear(effect: Effect | None) -> bool:
    """Whether it stands out after correction for all effects of its experiment."""
    return effect is not None and effect.q is not None and effect.q < LEVEL


def largest(found: Sequence[Effect], by: str = "", count: int = 5, said: Callable[[Effect], str] = str) -> str:
    """ "strongest on loss: L3.H1 ..." of those that stand out; where none does, that, and the largest as what they are.

    by  what follows the first word, such as " on loss". Effects that have no q are the largest, and no more is said.
    """
    ranked = sorted(found, key=lambda e: -abs(e.value))
    outstanding = [e for e in ranked if clear(e)]
    shown = ", ".join(map(said, (outstanding or ranked)[:count]))
    if outstanding:
        return f"strongest{by}: {shown}"
    tested = any(e.q is not None for e in ranked)
    return f"{'none stands out; ' if tested else ''}largest{by}: {shown}"
