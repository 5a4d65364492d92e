"""Read and edit attention patterns where they are computed.

In every architecture, the attention weights are the result of one softmax over the keys, and the model's own code
multiplies them with the values. So a pattern is read and replaced as the result of that softmax, while the attention
is computed step by step: grouped heads, windows, softcaps and caches need no special code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..errors import UnsupportedModel
from ..model.block import Block
from ..model.tracing import SOFTMAX

Change = Callable[[Tensor], Tensor]


class Tap(TorchFunctionMode):
    """While open, a softmax whose result has this shape (rows, queries, keys; any heads) gives what `change` says."""

    def __init__(self, shape: tuple[int, int, int], change: Change) -> None:
        super().__init__()
        self.shape, self.change, self.seen = shape, change, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in SOFTMAX and out.dim() == 4 and (out.shape[0], *out.shape[2:]) == self.shape:
            self.seen += 1
            return self.change(out)
        return out


@contextmanager
def pattern_tap(block: Block, shape: tuple[int, int, int], change: Change) -> Iterator[None]:
    """While open, the one pattern that is computed, [row, head, query, key], becomes change(pattern).

    Raises UnsupportedModel if the attention's code computes none, or more than one.
    """
    with Tap(shape, change) as tap:
        yield
    if tap.seen != 1:
        raise UnsupportedModel(
            f"{type(block.attn).__name__} does not compute its weights with one softmax over the keys, so its patterns "
            "cannot be read or edited. Edit its heads (L7.H3) instead."
        )


def fit_keys(pattern: Tensor, old: int, new: int, weight: float = 0) -> Tensor:
    """pattern [..., head * old keys] -> [..., head * new keys]: later keys are dropped, or get this weight."""
    if old == new:
        return pattern
    heads = pattern.unflatten(-1, (-1, old))[..., :new]
    return functional.pad(heads, (0, new - heads.shape[-1]), value=weight).flatten(-2)
