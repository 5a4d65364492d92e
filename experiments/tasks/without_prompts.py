"""A task without some of its prompts, so that what the others reveal can be measured on these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from .prompt import Prompt, Split
from .question import Ask, ask_of
from .task import Source, Task


class WithoutPrompts:
    """A source without the prompts with these texts, which are all of `split`."""

    def __init__(self, source: Source, split: Split, texts: frozenset[str]) -> None:
        self.source, self.split, self.texts = source, split, texts

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        return (p for p in self.source.stream(split, seed) if split != self.split or p.text not in self.texts)

    def capacity(self, split: Split) -> int:
        return self.source.capacity(split) - (len(self.texts) if split == self.split else 0)

    @property
    def ask(self) -> Ask | None:
        return ask_of(self.source)

    def identity(self) -> Any:
        left_out = hashlib.sha256("\0".join(sorted(self.texts)).encode()).hexdigest()
        return ["apart", self.source.identity(), self.split, left_out]


def without_prompts(task: Task, n: int, split: Split, seed: int) -> Task:
    """The task without the n prompts of this draw."""
    texts = frozenset(p.text for p in task.prompts(n, split, seed))
    return task.model_copy(update={"source": WithoutPrompts(task.source, split, texts)})
