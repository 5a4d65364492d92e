"""Fixed prompts: from a user's file, a dataset, or a short list."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .prompt import Prompt, Split


@dataclass(frozen=True)
class Lines:
    """A source of fixed prompts, and the lines of the file (from 1) where they start, if from a file."""

    prompts: tuple[Prompt, ...]
    numbers: tuple[int, ...] = field(default=(), compare=False)

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        own = [p for p in self.prompts if p.split == split]
        random.Random(f"{split} {seed}").shuffle(own)
        return iter(own)

    def capacity(self, split: Split) -> int:
        return sum(p.split == split for p in self.prompts)

    def identity(self) -> Any:
        return [p.model_dump(exclude_defaults=True) for p in self.prompts]

    @cached_property
    def line_of(self) -> dict[str, int]:
        """The line of each text; empty if there is no file."""
        return {p.text: number for p, number in zip(self.prompts, self.numbers, strict=False)}
