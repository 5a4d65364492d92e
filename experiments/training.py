"""The prompts that something is fitted on: never those that it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from .errors import BadConfiguration
from .tasks.prompt import Prompt
from .tasks.task import Task

LOOKED_AT = 4000
FEWEST = 16


def training_prompts(
    task: Task, measured: Sequence[Prompt], count: int, seed: int
) -> tuple[list[Prompt], tuple[str, ...]]:
    """Prompts of the explore split that are not measured on, and what has to be said of them.

    They ask other questions, too, where there are enough of these. Raises BadConfiguration where there are too few.
    """
    texts, keys = {p.text for p in measured}, {p.key for p in measured}
    free = [p for p in islice(task.source.stream("explore", seed), LOOKED_AT) if p.text not in texts]
    apart = [p for p in free if p.key not in keys]
    if len(apart) >= min(count, 4 * FEWEST):
        return apart[:count], ()
    if len(free) < FEWEST:
        raise BadConfiguration(
            f"Beside the {len(measured)} prompts that are measured on, {task.name} has {len(free)} to fit a map on; "
            f"{FEWEST} are needed. Use fewer prompts (n), or another task."
        )
    return free[:count], ("The map was fitted on other prompts, which ask some of the same questions.",)
