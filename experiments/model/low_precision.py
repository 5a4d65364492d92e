"""A copy of a subject that multiplies in bf16, to screen many interventions quickly.

Only the projections, and the attention between them, are rounded. The residual stream, the norms and the unembedding
stay in fp32: on SmolLM2's heads this ranks better than a model entirely in bf16, in the same time. The copy shares
every other tensor with the subject. Its numbers choose what to measure; they are never the measurement. It is faster
only on processors with bf16 units: `screening.look` checks that.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from .block import Block
from .kernels import FastConv1D, FastLinear
from .subject import Subject


def rounded(subject: Subject, dtype: torch.dtype = torch.bfloat16) -> Subject:
    """The copy. It needs memory for the rounded weights, half of the originals."""
    model = subject.model
    copies: dict[int, Tensor] = {id(t): t for t in chain(model.parameters(), model.buffers())}
    for tensor in chain.from_iterable(rounded_tensors(block) for block in subject.anatomy.blocks):
        less = tensor.detach().to(dtype)
        copies[id(tensor)] = nn.Parameter(less, requires_grad=False) if isinstance(tensor, nn.Parameter) else less
    # One copy of both, so that the anatomy's modules are the new model's.
    twin, anatomy = copy.deepcopy((model, subject.anatomy), copies)
    return replace(subject, model=twin, anatomy=anatomy)


def rounded_tensors(block: Block) -> list[Tensor]:
    """All of an attention with heads, and the MLP's projections; those take an input of any type (`kernels`)."""
    inside = [m for module in block.mlp for m in module.modules() if isinstance(m, (FastLinear, FastConv1D))]
    attention = chain(block.attn.parameters(), block.attn.buffers()) if block.heads_alone else ()
    found = chain(attention, *(m.parameters() for m in inside))
    return [t for t in found if t.is_floating_point()]
