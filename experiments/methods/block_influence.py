"""How much a layer changes the direction of the stream: 1 minus the cosine of the stream before and after it (Block
Influence, Men et al. 2024, arXiv 2403.03853)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def turns(streams: Sequence[Tensor], mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Streams before and after each layer [batch, position, d_model], mask [batch, position] -> the mean change of
    direction of each prompt's tokens [layer, batch]; and the same for a random vector of the same length."""
    generator = torch.Generator().manual_seed(seed)
    own: list[Tensor] = []
    random: list[Tensor] = []
    for before, after in pairwise(streams):
        x, y = before.double().cpu(), after.double().cpu()
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        drawn = drawn / drawn.norm(dim=-1, keepdim=True) * (y - x).norm(dim=-1, keepdim=True)
        own.append(over_tokens(x, y, mask.cpu()))
        random.append(over_tokens(x, x + drawn, mask.cpu()))
    return torch.stack(own), torch.stack(random)


def over_tokens(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    turn = 1 - torch.nn.functional.cosine_similarity(x, y, dim=-1)
    return (turn * mask).sum(-1) / mask.sum(-1)
