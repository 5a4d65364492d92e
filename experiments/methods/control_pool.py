"""The layers from which random controls are drawn.

A control shows what an edit of this size and form does elsewhere, so elsewhere must be comparable. In a `matched` pool
the controls have the same kind and size, and are as near in depth as possible: heads and neurons of the same layer,
then of the nearest layers; whole KV groups for whole groups; stretches of layers for stretches of the same length.

Layers 0 and 1 and the last are the ends of a model, and most models break without one of them, whatever the task: the
first turn tokens into what all others read, the last turns the stream into what is unembedded (arXiv 2406.19384).
Measured on SmolLM2-135M, one layer skipped at a time, 16 prompts of each of six tasks: the loss rises by 7.8 to 13.9
nats without layer 0, which is the worst in every task, by 1.4 to 10.0 without layer 1, by up to 9.3 without layer 29,
and by 0.3 in the median of the others. Compared with a control that includes an end, any damage in the middle looks
small. So an end is a control only for another end. A single head or neuron is not the whole layer: those of the ends
come last, when no others are left.

The rule uses the position and not the damage that a layer does on the task: a pool chosen by the outcome would make any
edit look special. A middle layer that breaks the model (11 of SmolLM2) stays in it.

The pool `anywhere` draws from all other layers, including the ends, as before there was a choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..notes import note
from ..result import Note
from ..statistics.random_sets import DRAWS

Pool = Literal["matched", "anywhere"]
# The field of kinds with random controls.
ControlPool = Annotated[
    Pool,
    Field(
        description="Source of random controls. matched: same size and form, nearest in depth, layers 0, 1 and last "
        "only for each other. anywhere: any depth."
    ),
]
# The meaning of logged configurations without this field.
BEFORE: Mapping[str, Pool] = {"control_pool": "anywhere"}


def ends(n_layers: int) -> frozenset[int]:
    """The layers without which most models break: 0, 1 and the last."""
    return frozenset({0, 1, n_layers - 1})


def too_few(pool: Pool, count: int, anywhere: int, wanted: int = DRAWS) -> tuple[Note, ...]:
    """The note for a matched pool that is too small, if `anywhere` has more; otherwise none."""
    if pool == "anywhere" or count >= min(wanted, anywhere):
        return ()
    return (note("few_matched_controls", count=count, wanted=min(wanted, anywhere)),)
