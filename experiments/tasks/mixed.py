"""Several sources that alternate, such as sums of one, two and three digits, until each is used up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .prompt import Prompt, Split
from .question import Question, ask_of
from .task import Source


@dataclass(frozen=True)
class Mixed:
    """The prompts of all sources, whose texts must differ."""

    sources: tuple[Source, ...]

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        left = [source.stream(split, seed) for source in self.sources]
        while left:
            for stream in tuple(left):
                prompt = next(stream, None)
                if prompt is None:
                    left.remove(stream)
                else:
                    yield prompt

    def capacity(self, split: Split) -> int:
        return sum(source.capacity(split) for source in self.sources)

    def identity(self) -> Any:
        return [source.identity() for source in self.sources]

    def ask(self, prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
        """What the first source asks that would ask it."""
        asked = (ask(prompt, texts) for source in self.sources if (ask := ask_of(source)) is not None)
        return next((one for one in asked if one is not None), None)
