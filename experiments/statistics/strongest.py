"""Sentences about the largest of many numbers; nothing is called strong that chance could give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..result import Effect

if TYPE_CHECKING:
    from .intervals import Array

LEVEL = 0.05


def clear(effect: Effect | None) -> bool:
    """Whether an effect stands out after correction for all effects of its experiment."""
    return effect is not None and effect.q is not None and effect.q < LEVEL


def strongest(found: Sequence[Effect], count: int = 5) -> list[Effect]:
    """The effects that stand out, largest first; if none do, the largest."""
    ranked = sorted(found, key=lambda e: -abs(e.value))
    return ([e for e in ranked if clear(e)] or ranked)[:count]


def largest(found: Sequence[Effect], by: str = "", count: int = 5, said: Callable[[Effect], str] = str) -> str:
    """ "strongest on loss: L3.H1 ..." of those that stand out; if none do, it says so and names the largest.

    by  the text after the first word, such as " on loss". For effects without q, only the largest are named.
    """
    named = strongest(found, count)
    shown = ", ".join(map(said, named))
    if any(map(clear, named)):
        return f"strongest{by}: {shown}"
    tested = any(e.q is not None for e in found)
    return f"{'none stands out; ' if tested else ''}largest{by}: {shown}"


def beside_shuffled(
    sites: Sequence[str], values: Sequence[float] | Array, highest: float, also: str = "", count: int = 3
) -> str:
    """ "L3.H1 0.90, L2.H0 0.88, L7.H7 0.80 (shuffled weights at most 0.12)", how many more tie with the last of them,
    and "no head stands out" if none is above a model with shuffled weights.

    also  additional text, such as ", chance 0.05"
    """
    order = sorted(range(len(sites)), key=lambda i: -values[i])
    text = ", ".join(f"{sites[i]} {values[i]:.2f}" for i in order[:count])
    last = f"{values[order[:count][-1]]:.2f}"
    tied = sum(f"{values[i]:.2f}" == last for i in order[count:])
    text += f" and {tied} more" if tied else ""
    none = "no head stands out: " if values[order[0]] <= highest else ""
    return f"{text} ({none}shuffled weights at most {highest:.2f}{also})"
