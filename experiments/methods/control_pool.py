"""The layers that random controls are drawn from.

A control shows what an edit of this size and form does elsewhere, so elsewhere must be comparable. In a `matched` pool
the controls are of the same kind and size, and as near in depth as possible: heads and neurons of the same layer, then
of the nearest ones; whole KV groups where whole groups are asked; stretches of layers as long as those asked.

Layers 0 and 1 and the last are the ends of a model, and most models break without one of them, whatever the task: the
first turn tokens into what all others read, the last turns the stream into what is unembedded (arXiv 2406.19384).
Measured on SmolLM2-135M, one layer skipped at a time, 16 prompts of each of six tasks: the loss rises by 7.8 to 13.9
nats without layer 0, which is the worst in every task, by 1.4 to 10.0 without layer 1, by up to 9.3 without layer 29,
and by 0.3 in the median of the others. Beside a control that holds an end, any damage in the middle looks small. So an
end stands in for another end alone. A single head or neuron is not the layer: those of the ends come last, where no
others are left.

The rule goes by position and not by the damage that a layer does on the task: a pool that is chosen by the outcome
would make whatever is asked look special. A layer of the middle that breaks the model (11 of SmolLM2) stays in it.

The pool `anywhere` is what was drawn from before there was a choice: other layers at random, the ends included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..notes import note
from ..result import Note
from ..statistics.random_sets import DRAWS

Pool = Literal["matched", "anywhere"]
# The field of a kind whose controls are drawn at random.
ControlPool = Annotated[
    Pool,
    Field(
        description="Where random controls are from. matched: same size and form, nearest in depth, no layer 0, 1 or "
        "last unless asked. anywhere: any depth."
    ),
]
# What a configuration meant that was logged before there was the field.
BEFORE: Mapping[str, Pool] = {"control_pool": "anywhere"}


def ends(n_layers: int) -> frozenset[int]:
    """The layers without which most models break: 0, 1 and the last."""
    return frozenset({0, 1, n_layers - 1})


def too_few(pool: Pool, count: int, anywhere: int, wanted: int = DRAWS) -> tuple[Note, ...]:
    """The note of a matched pool that is too small, where there are more anywhere; nothing else."""
    if pool == "anywhere" or count >= min(wanted, anywhere):
        return ()
    return (note("few_matched_controls", count=count, wanted=min(wanted, anywhere)),)
