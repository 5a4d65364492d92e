"""The prompts to fit maps on: never the measured ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

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


def training_prompts(
    task: Task, measured: Sequence[Prompt], count: int, seed: int
) -> tuple[list[Prompt], tuple[Note, ...]]:
    """Prompts of the explore split that are not measured, and notes about them.

    They also ask other questions, if there are enough of these. Raises BadConfiguration if there are too few.
    """
    texts, keys = {p.text for p in measured}, {p.key for p in measured}
    free = [p for p in islice(task.source.stream("explore", seed), LOOKED_AT) if p.text not in texts]
    apart = [p for p in free if p.key not in keys]
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


def fitting(lab: Lab, measured: Sequence[Prompt], count: int, seed: int) -> Fitting:
    """The training prompts of the lab's task as batches."""
    from .batch import make_batch

    drawn, notes = training_prompts(lab.task, measured, count, seed)
    cut = len(drawn) - len(drawn) // 4
    fitted, apart = (make_batch(lab.subject.tokenizer, part, lab.subject.device) for part in (drawn[:cut], drawn[cut:]))
    return Fitting(fitted, apart, notes)
