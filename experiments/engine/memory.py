"""How much fits into memory: the budget in bytes, and how many prompts and runs it allows at once.

Sizes are halved until they fit. So a little more or less free memory does not change shapes, and a replay has the same
bits; if a size does not fit in spite of the estimate, half of it is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

from ..errors import OutOfMemory
from ..model.kernels import can_be_laid_out, is_refused_memory
from ..model.subject import Subject
from ..sites import Part, part_width
from ..tasks.batch import Batch

# Of what is free; and of that, what is kept of the clean pass. The rest is for what is on its way.
SHARE = 0.5
KEPT_SHARE = 0.5
LOGIT_NUMBERS = 32_000_000
# Weights are laid out a second time for a run of so many tokens, and in no more than this share of the budget. On
# SmolLM2 it pays at 190,000 tokens; at 48,000 laying them out costs what it gains, but gains 5 per cent where runs are
# narrowed and their products smaller.
LAID_OUT_TOKENS, LAID_OUT_NARROWED = 100_000, 25_000
LAID_OUT_SHARE = 0.25


def free_bytes(device: torch.device) -> int:
    """The default budget: a share of the free memory on the device, including what torch holds and does not use."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + unused
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        free = psutil.virtual_memory().available
    return int(SHARE * free)


def halved(size: int, fits: Callable[[int], bool]) -> int:
    """The size itself or a half, a quarter, ... of it: the first that fits, or 1."""
    while size > 1 and not fits(size):
        size = (size + 1) // 2
    return size


def to_lay_out(subject: Subject, tokens: int, budget: int, narrowed: bool = False) -> tuple[list[nn.Module], int]:
    """The projections to lay out for a run of this many tokens (`kernels.laid_out`), and the rest of the budget. In
    fp32 the results have the same bits either way."""
    found = [m for block in subject.anatomy.blocks for m in block.layer.modules() if can_be_laid_out(m)]
    needed = sum(m.weight.nbytes for m in found if isinstance(m.weight, Tensor))
    if tokens < (LAID_OUT_NARROWED if narrowed else LAID_OUT_TOKENS) or needed > LAID_OUT_SHARE * budget:
        return [], budget
    return found, budget - needed


def prompts_at_once(subject: Subject, batch: Batch, parts: Iterable[Part], budget: int, slopes: bool = False) -> int:
    """How many prompts' clean passes may be kept; with slopes, also a second copy of the keys and values."""
    sizes, length = subject.sizes, batch.length
    kept = {*parts, *({"attn_raw"} if "attn_out" in parts else ())}
    per_token = sizes["n_layers"] * sum(part_width(part, sizes, length) for part in kept)
    if slopes:
        per_token += sizes["n_layers"] * (2 * sizes["d_model"] + 2 * part_width("k", sizes, length))
    # And the recording: the embedded tokens, the last stream, a mask for full and one for sliding attention.
    per_token += 2 * sizes["d_model"] + 2 * length + subject.anatomy.given
    per_prompt = length * per_token * subject.dtype.itemsize
    return halved(len(batch), lambda n: n * per_prompt <= KEPT_SHARE * budget)


def rows_at_once(subject: Subject, length: int, columns: int, wanted: int, budget: int) -> int:
    """How many runs of `columns` columns may travel together, at most `wanted`."""
    sizes = subject.sizes
    heads = 3 * sizes["n_heads"] * sizes["d_head"] + 4 * sizes["n_kv_heads"] * sizes["d_head"]
    scores = 3 * sizes["n_heads"] * length
    per_token = 8 * sizes["d_model"] + 3 * sizes["d_mlp"] + heads + scores
    per_row = columns * per_token * subject.dtype.itemsize
    return halved(wanted, lambda n: n * per_row <= (1 - KEPT_SHARE) * budget)


def logits_at_once(subject: Subject, budget: int) -> int:
    """How many logits may be there at a time; a readout makes a few copies of them."""
    return min(LOGIT_NUMBERS, int((1 - KEPT_SHARE) * budget) // (4 * subject.dtype.itemsize))


@dataclass
class Pieces:
    """0 to n in pieces (first, last) of at most `size`. One that does not fit comes again, half as long:

    for first, last in (pieces := Pieces(n, size)):
        with pieces.halved():
            ...
    """

    n: int
    size: int
    first: int = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while self.first < self.n:
            yield self.first, self.last

    @property
    def last(self) -> int:
        return min(self.first + self.size, self.n)

    @contextmanager
    def halved(self) -> Iterator[None]:
        """For all that is done with one piece. Lets OutOfMemory through if the piece cannot be split."""
        try:
            yield
        except OutOfMemory:
            if self.last - self.first == 1:
                raise
            self.size = (self.last - self.first + 1) // 2
        else:
            self.first = self.last


@contextmanager
def refused_memory(subject: Subject, batch: Batch) -> Iterator[None]:
    """Turns torch's errors about memory, which have no class of their own on the CPU, into OutOfMemory."""
    try:
        yield
    except (RuntimeError, MemoryError) as fault:
        if not is_refused_memory(fault):
            raise
        raise OutOfMemory(
            f"The memory of {subject.device} is too small for one prompt of {batch.length} tokens. Use shorter "
            "prompts, a smaller model or another device."
        ) from fault
