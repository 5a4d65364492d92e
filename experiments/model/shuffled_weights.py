"""A copy of a subject that has learned nothing: the rows and columns of every matrix are shuffled.

Each matrix keeps its entries and singular values, so attention is about as sharp and activations are about as large as
before, but what it reads and where it writes is random. This is a closer control than random weights, whose attention
is nearly uniform, so that any trained head would stand out.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from .subject import Subject


def permuted(subject: Subject, seed: int) -> Subject:
    """The copy. It needs memory for all matrices; vectors (biases, the weights of norms) are shared."""
    model = subject.model
    generator = torch.Generator().manual_seed(seed)
    copies: dict[int, Tensor] = {id(t): t for t in chain(model.parameters(), model.buffers())}
    for weight in model.parameters():
        if weight.dim() == 2:
            copies[id(weight)] = nn.Parameter(shuffled(weight.detach(), generator), requires_grad=False)
        elif weight.dim() == 3:
            # Experts, one matrix after the other. The small kernels of convolutions are 3-D as well.
            stack = torch.stack([shuffled(one, generator) for one in weight.detach()])
            copies[id(weight)] = nn.Parameter(stack, requires_grad=False)
    # Some mixers keep the state of their last run, with all that led to it; each run begins with a new one.
    left = [v for module in model.modules() for v in vars(module).values() if isinstance(v, Tensor)]
    copies |= {id(state): state.detach() for state in left}
    # One copy of both, so that the anatomy's modules are the new model's.
    twin, anatomy = copy.deepcopy((model, subject.anatomy), copies)
    return replace(subject, model=twin, anatomy=anatomy)


def shuffled(matrix: Tensor, generator: torch.Generator) -> Tensor:
    """The matrix [rows, columns] with both in another order."""
    rows, columns = (torch.randperm(size, generator=generator).to(matrix.device) for size in matrix.shape)
    return matrix[rows][:, columns]
