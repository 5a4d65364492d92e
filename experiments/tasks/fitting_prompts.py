"""The prompts to fit maps on: never the measured ones.

They are other prompts of the task, or those of another task, such as the beginnings of texts of open_prompts. Prompts
of another task never ask a measured question. The prompts of a task of one's own may change under its name, so a
configuration names it with its fingerprint, `colours@3f2a...`, by which a replay finds the same prompts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..errors import BadConfiguration
from ..notes import note
from ..result import Note
from .prompt import Prompt
from .task import Task

if TYPE_CHECKING:
    from ..lab import Lab
    from .batch import Batch

LOOKED_AT = 4000
FEWEST = 16
FitTask = Annotated[
    str | None,
    Field(
        description="Task to fit the maps on, built-in or your own, such as open_prompts for texts of many kinds. "
        "Null: other prompts of the same task."
    ),
]


FINGERPRINT = re.compile(r"(?P<name>.+)@(?P<fingerprint>[0-9a-f]{64})")


def with_fingerprint(task: Task) -> str:
    """How a configuration names a task of one's own: `colours@3f2a...`."""
    return f"{task.name}@{task.fingerprint()}"


def version_named(name: str) -> tuple[str, str] | None:
    """The name and the fingerprint in `colours@3f2a...`; None for a name alone."""
    found = FINGERPRINT.fullmatch(name)
    return None if found is None else (found["name"], found["fingerprint"])


def shown(name: str) -> str:
    """The name of a fit_task, without the fingerprint."""
    return (version_named(name) or (name,))[0]


def task_to_fit_on(name: str, own: Mapping[str, Task] | None = None) -> Task:
    """The built-in task of this name, or one of `own`, by name and fingerprint. Raises BadConfiguration for others:
    their prompts may change under their name."""
    from .registry import BUILT_IN

    known = {**{task.name: task for task in BUILT_IN}, **(own or {})}
    if name not in known:
        raise BadConfiguration(
            f"fit_task is '{shown(name)}', which is not a built-in task, nor a task that this tracker keeps. Use one "
            f"of: {', '.join(map(shown, known))}."
        )
    return known[name]


def require_training_prompts(
    task: Task, measured: Sequence[Prompt], count: int, seed: int, fit_task: str | None
) -> None:
    """Raises BadConfiguration if there are too few prompts to fit on. A task of one's own is looked at only when the
    experiment runs, because only its lab has it."""
    if fit_task is None or version_named(fit_task) is None:
        training_prompts(task, measured, count, seed, None if fit_task is None else task_to_fit_on(fit_task))


def training_prompts(
    task: Task, measured: Sequence[Prompt], count: int, seed: int, fit_on: Task | None = None
) -> tuple[list[Prompt], tuple[Note, ...]]:
    """Prompts of the explore split that are not measured, and notes about them; of `fit_on`, or of the task itself.

    They also ask other questions: always those of `fit_on`, and those of the task if there are enough. Raises
    BadConfiguration if there are too few.
    """
    source = (fit_on or task).source
    texts, keys = {p.text for p in measured}, {p.key for p in measured}
    free = [p for p in islice(source.stream("explore", seed), LOOKED_AT) if p.text not in texts]
    apart = [p for p in free if p.key not in keys]
    if fit_on is not None:
        if len(apart) < FEWEST:
            raise BadConfiguration(
                f"{fit_on.name} has only {len(apart)} prompts that ask no measured question; {FEWEST} are needed to "
                "fit a map. Use another fit_task."
            )
        return apart[:count], one_sided(apart[:count])
    if len(apart) >= min(count, 4 * FEWEST):
        return apart[:count], one_sided(apart[:count])
    if len(free) < FEWEST:
        raise BadConfiguration(
            f"Besides the {len(measured)} measured prompts, {task.name} has only {len(free)} to fit a map on; "
            f"{FEWEST} are needed. Use fewer prompts (n), or another task."
        )
    return free[:count], (note("fitted_on_same_questions"), *one_sided(free[:count]))


def one_sided(drawn: Sequence[Prompt]) -> tuple[Note, ...]:
    """The note if most of these prompts have the same answer; otherwise none."""
    answer, count = Counter(p.answer for p in drawn).most_common(1)[0]
    if not answer or 2 * count <= len(drawn):
        return ()
    return (note("fitted_on_one_answer", count=count, n=len(drawn), answer=answer),)


@dataclass(frozen=True)
class Fitting:
    """Three quarters of the training prompts to fit on, and the rest to choose among the fits."""

    fitted: Batch
    apart: Batch
    notes: tuple[Note, ...]


def fitting(
    lab: Lab, measured: Sequence[Prompt], count: int, seed: int, fit_task: str | None = None, system: str | None = None
) -> Fitting:
    """The training prompts of the lab's task, or of `fit_task` asked in the same way, as batches. `system` is the
    system prompt of a lab with chat."""
    from ..model.chat import as_asked
    from .batch import make_batch
    from .carried import require_carried

    fit_on = None
    if fit_task is not None:
        chat = bool(lab.task.asked)
        fit_on = as_asked(lab.subject.name, lab.subject.tokenizer, task_to_fit_on(fit_task, lab.own), chat, system)
        require_carried(lab.subject, fit_on)
    drawn, notes = training_prompts(lab.task, measured, count, seed, fit_on)
    cut = len(drawn) - len(drawn) // 4
    fitted, apart = (make_batch(lab.subject.tokenizer, part, lab.subject.device) for part in (drawn[:cut], drawn[cut:]))
    return Fitting(fitted, apart, notes)
