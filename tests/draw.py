"""The families that the tests draw from, and prompts of them."""

from __future__ import annotations

from lashley.experiments.tasks.prompt import Prompt, Split
from lashley.experiments.tasks.registry import task, tasks

CARDS = tasks()
FAMILIES = tuple(name for name, t in CARDS.items() if t.group != "small sets" and t.answer_kind != "open")
CALCULATIONS = ("addition", "subtraction", "multiplication", "division", "three_operands")
ENOUGH = 600


def drawn(name: str, split: Split, seed: int = 0, n: int = ENOUGH) -> tuple[Prompt, ...]:
    return task(name).prompts(min(n, task(name).capacity(split)), split, seed)
