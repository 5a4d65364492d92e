"""Check that a subject can run a task: all lines of a user's own task, not only those that are measured first.

Otherwise one line that the tokenizer merges, or that is too long, could fail a later experiment with more prompts, or
the test of a prediction on held-out prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BadTask
from ..model.room import too_long
from .batch import encoded
from .lines import Lines
from .prompt import SPLITS, Prompt
from .shuffled import Shuffled

if TYPE_CHECKING:
    from ..model.subject import Subject
    from .task import Task

NAMED = 5


def require_carried(subject: Subject, task: Task) -> None:
    """Raises BadTask, with line and reason, if the subject cannot be measured on a line of the task."""
    if faults := lines_not_carried(subject, task):
        others = [place for place, _ in faults[1 : NAMED + 1]]
        more = f"; {len(faults) - 1 - NAMED} more" if len(faults) > NAMED + 1 else ""
        also = f" Also affected: {', '.join(others)}{more}." if others else ""
        raise BadTask(f"{task.name}, {faults[0][0]}: {faults[0][1]}{also}")


def lines_not_carried(subject: Subject, task: Task) -> list[tuple[str, str]]:
    """The place and the fault of each bad prompt of a task with fixed prompts; empty for any other task."""
    source = task.source.source if isinstance(task.source, Shuffled) else task.source
    if not isinstance(source, Lines):
        return []
    prompts = [p for split in SPLITS for p in task.source.stream(split, 0)]
    places = {p.text: place(source, p) for p in prompts}
    first: dict[tuple[int, ...], Prompt] = {}
    faults: list[tuple[str, str]] = []
    for prompt in sorted(prompts, key=lambda p: source.line_of.get(p.text, 0)):
        try:
            row = encoded(subject.tokenizer, prompt)
        except BadTask as fault:
            faults.append((places[prompt.text], str(fault)))
            continue
        if fault := no_room(subject, task, row):
            faults.append((places[prompt.text], fault))
        same = first.setdefault(tuple(row["head"]), prompt)
        if same.key != prompt.key:
            says = f"this tokenizer gives it the same tokens as {places[same.text]}"
            faults.append((places[prompt.text], f"{says}; remove one of the two, or give both the same key."))
    return faults


def place(source: Lines, prompt: Prompt) -> str:
    """The name of a prompt in messages."""
    line = source.line_of.get(prompt.text)
    return f"the prompt that ends {prompt.text[-40:]!r}" if line is None else f"line {line}"


def no_room(subject: Subject, task: Task, row: dict[str, Any]) -> str:
    """A sentence if an encoded prompt and its continuation are too long; otherwise empty."""
    return too_long(subject.model, len(row["head"]), most_after(task, len(row["answer"])), row["prompt"].text)


def most_after(task: Task, answer: int) -> int:
    """The most tokens that follow a prompt: generated ones, or an answer's without its last, which is only read."""
    return max(task.max_new_tokens, answer - 1)
