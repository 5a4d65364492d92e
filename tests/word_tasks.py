"""A little task of words for the tiny models: prompts of several lengths and templates, some answers of two tokens."""

from __future__ import annotations

from lashley.experiments.lab import Lab
from lashley.experiments.tasks.from_file import Lines
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.task import Task
from lashley.tests.tiny import tiny_subject

PROMPTS = tuple(
    Prompt(
        text=" ".join(f"w{3 + (i * 7 + k * 11) % 90}" for k in range(3 + i % 3)),
        answer=f" w{40 + i % 5}" + (" w9" if i % 4 == 0 else ""),
        distractor=f" w{60 + i % 3}",
        template=f"t{i % 3}",
        key=f"question {i}",
    )
    for i in range(90)
)


def word_lab(kind: str, prompts: tuple[Prompt, ...] = PROMPTS, is_open: bool = False) -> Lab:
    """The tiny subject of this architecture on the task."""
    return Lab(tiny_subject(kind), word_task(prompts, is_open))


def word_task(prompts: tuple[Prompt, ...] = PROMPTS, is_open: bool = False) -> Task:
    if is_open:
        prompts = tuple(p.model_copy(update={"answer": "", "distractor": None}) for p in prompts)
    return Task(
        name="words", title="Words", description="Words.", keywords=(), max_new_tokens=3,
        answer_kind="open" if is_open else "word", source=Lines(prompts),
    )  # fmt: skip
