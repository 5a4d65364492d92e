"""Which models a call may name, and how many prompts of a task it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..refusals import refused
from .context import Context

if TYPE_CHECKING:
    from ...experiments.tasks.prompt import Split
    from ...experiments.tasks.task import Task


def allowed_model(context: Context, name: str | None) -> str:
    """The study's subject or a bundled model. A call may not name anything else: no path, no download."""
    from ...experiments.model.bundled import ALIASES
    from ...experiments.model.places import canonical

    if name is None or canonical(name) == canonical(context.model):
        return context.model
    if canonical(name) in ALIASES:
        return canonical(name)
    raise refused("other_model", model=context.model, bundled=", ".join(ALIASES), name=name)


def within_task(task: Task, n: int, split: Split) -> int:
    """n, or as many prompts as this split of the task has, if there are fewer but some."""
    return min(n, task.capacity(split)) or n
