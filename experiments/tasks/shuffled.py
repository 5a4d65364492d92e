"""A task with shuffled answers: the same texts and answers, but nothing to know.

The answers are related to the prompts only by chance, so a study of such a task must find nothing. Answer, distractor
and the corrupted prompt's answer move together, to a prompt with another key. They move within blocks of the stream, so
a larger draw still starts with the smaller one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ..errors import BadTask
from .prompt import Prompt, Split
from .task import Fits, Source, Task

BLOCK = 64
NAME = re.compile(r"(.+)~shuffled(\d*)")


@dataclass(frozen=True)
class Shuffled:
    """A source whose answers are those of other prompts of the same split."""

    source: Source
    seed: int

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        rng = random.Random(f"shuffled 1 {self.seed} {split} {seed}")
        prompts = self.source.stream(split, seed)
        # The last block includes a remainder that is too small for its own block.
        blocks = max(1, self.capacity(split) // BLOCK)
        for number in range(blocks):
            block = list(islice(prompts, BLOCK) if number < blocks - 1 else prompts)
            givers = deranged([p.key for p in block], rng)
            for prompt, giver in zip(block, givers, strict=True):
                yield answered(prompt, block[giver])

    def capacity(self, split: Split) -> int:
        return self.source.capacity(split)

    def identity(self) -> Any:
        return ["shuffled 1", self.seed, self.source.identity()]

    def for_tokenizer(self, tokenizer: Any) -> Shuffled:
        return replace(self, source=self.source.for_tokenizer(tokenizer)) if isinstance(self.source, Fits) else self

    def note(self) -> str:
        return self.source.note() if isinstance(self.source, Fits) else ""


def shuffled(task: Task, seed: int = 0) -> Task:
    """The task with its answers shuffled; another seed shuffles them in another way.

    Raises BadTask for open prompts, which have no answers. Drawing raises it if more than half of the prompts have one
    key.
    """
    if task.answer_kind == "open":
        raise BadTask(f"The prompts of '{task.name}' have no answers to shuffle. Use another task.")
    return task.model_copy(
        update={
            "name": f"{task.name}~shuffled{seed or ''}",
            "title": f"{task.title}, answers shuffled",
            "description": f"The prompts of {task.name}, each with the answer of another one: there is nothing to know."
            "\nA subject that can do the task is right only by coincidence.",
            "keywords": (),
            "source": Shuffled(task.source, seed),
            "content": None,
        }
    )


def shuffled_by_name(name: str, find: Callable[[str], Task]) -> Task | None:
    """The task named `induction~shuffled` or `induction~shuffled7`, if `find` knows the task before the ~.

    None for any other name. Raises what `find` raises.
    """
    match = NAME.fullmatch(name)
    return None if match is None else shuffled(find(match[1]), int(match[2] or 0))


def deranged(keys: Sequence[str], rng: random.Random) -> list[int]:
    """For each position another one with a different key, each once. Raises BadTask if there is no such order.

    Positions are ordered randomly with equal keys together; shifting by the size of the largest group moves every
    position out of its group.
    """
    groups: dict[str, list[int]] = {}
    for place in rng.sample(range(len(keys)), len(keys)):
        groups.setdefault(keys[place], []).append(place)
    order = [place for group in groups.values() for place in group]
    most = max(map(len, groups.values()), default=0)
    if 2 * most > len(keys):
        raise BadTask(
            "Too many of these prompts ask the same question to shuffle their answers. Use a task with more questions."
        )
    givers = [0] * len(keys)
    for at, place in enumerate(order):
        givers[place] = order[(at + most) % len(order)]
    return givers


def answered(prompt: Prompt, giver: Prompt) -> Prompt:
    """The prompt with the answers of another one."""
    given = {field: getattr(giver, field) for field in ("answer", "distractor", "accepted")}
    twin = giver.corrupted_answer if prompt.corrupted is not None else None
    return prompt.model_copy(update={**given, "corrupted_answer": twin})
