"""Whether two inputs of a part act together: the change if both are replaced, and the sum of the changes if each is.

The share of the changes that is not additive is compared with the share for two halves of the part's own output. These
add up in the part, so what is not additive there happens in what reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..lab import numbers
from ..result import Effect
from ..sites import Site
from ..statistics.intervals import mean_interval

if TYPE_CHECKING:
    from torch import Tensor

    from ..statistics.intervals import Array
    from .circuits import Prepared

JOINT = "joint"
# Smaller shares of the difference are rounding.
ROUNDING = 1e-3


def joints_of(made: Prepared, halves: Mapping[Site, Array], steps: int) -> dict[Site, Effect]:
    """By part, the share of the change by its two strongest inputs that is not additive, beyond that of its own halves.

    made      prepared with what replaces the inputs
    halves    by part, the change of the metric by half of the part's own replacement and by all of it, [2, n]
    Parts of which fewer than two inputs matter are missing.
    """
    changes = numbers(made.estimates(steps, "inputs"))
    inputs = {part: two for part in halves if (two := two_inputs(made, part, changes)) is not None}
    if not inputs:
        return {}
    together = replaced_together(made, inputs)
    return {part: beyond_halves(str(part), together[part], halves[part], made.pair.asked) for part in inputs}


def two_inputs(made: Prepared, part: Site, changes: Array) -> tuple[int, int] | None:
    """The two senders that a part reads most from, by their estimated changes [n, sender, receiver] if replaced; None
    if fewer than two change anything."""
    size = np.abs(changes[:, :, reads_of(made, part)]).sum(-1).mean(0)
    first, second = (int(i) for i in np.argsort(-size, kind="stable")[:2])
    return (first, second) if size[second] > ROUNDING * abs(made.scale.gap) else None


def reads_of(made: Prepared, part: Site) -> list[int]:
    return made.graph.readers[made.graph.senders.index(part)]


def replaced_together(made: Prepared, inputs: Mapping[Site, tuple[int, int]]) -> dict[Site, Array]:
    """The change of the metric if what a part reads from its two inputs is replaced: by part [3, n], for the one, the
    other, and both."""
    masks: list[Tensor] = []
    for part, (one, other) in inputs.items():
        for replaced in ([one], [other], [one, other]):
            mask = made.graph.after.clone()
            for sender in replaced:
                mask[sender, reads_of(made, part)] = False
            masks.append(mask)
    values = made.run("two inputs of each part", masks, prune=False) - made.scale.clean
    return dict(zip(inputs, values.reshape(len(inputs), 3, -1), strict=True))


def not_additive(one: Array, other: Array, both: Array) -> tuple[Array, Array]:
    """Of the changes [n] by two replacements and by both: what is not additive, and the whole; their ratio is from 0 to
    1."""
    beyond = np.abs(both - one - other)
    return beyond, beyond + np.abs(one) + np.abs(other)


def beyond_halves(name: str, changes: Array, halves: Array, asked: Sequence[str]) -> Effect:
    """changes [3, n] by the inputs and halves [2, n] -> the difference of their shares that are not additive."""
    some, whole = not_additive(*changes)
    under, wide = not_additive(halves[0], halves[0], halves[1])
    share, control = share_of(some, whole), share_of(under, wide)
    # A difference of two ratios of means, linear about them, so that the interval is that of a mean.
    rows = (some - share * whole) / max(whole.mean(), ROUNDING) - (under - control * wide) / max(wide.mean(), ROUNDING)
    value, low, high = (float(v) for v in mean_interval(rows + (share - control), asked))
    return Effect(site=name, metric=JOINT, value=value, low=low, high=high, n=len(rows))


def share_of(some: Array, whole: Array) -> float:
    return float(some.mean() / whole.mean()) if whole.mean() > ROUNDING else 0.0
