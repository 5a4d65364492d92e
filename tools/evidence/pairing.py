"""Whether two experiments asked the same prompts, other questions, or something between.

The same prompts can be paired one by one. Experiments that share no question are independent. If they share some, or if
it is unknown, neither holds.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from ...db.records import Experiment
from ...experiments.methods.question_keys import KEYS

# The bytes of an artifact of the experiment, by its name.
Artifact = Callable[[str], bytes]


def keys_of(row: Experiment, artifact: Artifact | None) -> list[int] | None:
    """The hash of the question of each measured prompt, [n]; None if they were not kept."""
    if artifact is None or KEYS not in {one.name for one in row.artifacts}:
        return None
    import numpy as np

    return [int(one) for one in np.load(io.BytesIO(artifact(KEYS)), allow_pickle=False)]


def same_prompts(
    one: Experiment, other: Experiment, of_one: Artifact | None = None, of_other: Artifact | None = None
) -> bool:
    """Whether both measured the same prompts in the same order: the same version of the task and the same draw and,
    where the questions were kept, the same questions."""
    draws = [(row.task_fingerprint, row.split, row.n, row.config.get("seed")) for row in (one, other)]
    if draws[0] != draws[1] or draws[0][0] is None:
        return False
    keys, others = keys_of(one, of_one), keys_of(other, of_other)
    return keys is None or others is None or keys == others


def independent(
    one: Experiment, other: Experiment, of_one: Artifact | None = None, of_other: Artifact | None = None
) -> bool:
    """Whether they are known to share no question."""
    keys, others = keys_of(one, of_one), keys_of(other, of_other)
    return keys is not None and others is not None and not {*keys} & {*others}
