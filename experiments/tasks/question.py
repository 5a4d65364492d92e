"""What a family asks if the spans of a prompt have other texts: how a prompt with one changed value gets its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .prompt import Prompt


@dataclass(frozen=True)
class Question:
    """The key of a prompt, its answer, and its values besides those of spans; see `Prompt`."""

    key: str
    answer: str
    values: Mapping[str, str] = field(default_factory=dict[str, str])


# A prompt and the new texts of all its spans -> what the family asks with them; None if it would not ask that.
Ask = Callable[[Prompt, Mapping[str, str]], Question | None]


def ask_of(source: Any) -> Ask | None:
    """The function of a source; None for a source without one, such as a file."""
    return getattr(source, "ask", None)


def numbers_in(texts: Mapping[str, str], names: str) -> tuple[int, ...] | None:
    """The numbers with these names; None if one is missing or not a whole number."""
    found = [texts.get(name, "") for name in names]
    return tuple(map(int, found)) if all(text.isdecimal() for text in found) else None
