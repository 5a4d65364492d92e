"""Attention over a few dozen tokens, as two batched products.

torch's kernel for attention is made for long sequences. Over 20 tokens it takes twice as long as the products that it
consists of, and it needs keys and values repeated for every query head of a group.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "lashley_short"
# The fewest queries and most keys for which this is faster; measured on a CPU, 3 and 12 groups of heads.
QUERIES, KEYS = 2, 48


def short_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0,
    scaling: float | None = None, **others: Any,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Called by transformers: query [row, head, n, d], key and value [row, kv_head, m, d] and an additive mask that
    fits [row, head, n, m] -> [row, n, head, d]. Scores are at least fp32. Other arguments go to torch's kernel."""
    (rows, heads, n, d), (groups, m) = query.shape, key.shape[1:3]
    usual = dropout != 0 or others.get("position_bias") is not None or others.get("cache") is not None
    few = query.device.type == "cpu" and n >= QUERIES and m <= KEYS
    if usual or not few or attention_mask is None or not attention_mask.is_floating_point():
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    # The query heads of a group lie side by side, and so can be read as more queries of one head.
    dtype = torch.promote_types(query.dtype, torch.float32)
    q, k, v = (t.to(dtype).reshape(rows * groups, -1, t.shape[-1]) for t in (query, key, value))
    scores = torch.bmm(q, k.mT).view(rows, heads, n, m).mul_(d**-0.5 if scaling is None else scaling)
    pattern = scores.add_(attention_mask).softmax(-1)
    z = torch.bmm(pattern.view(rows * groups, -1, m), v).view(rows, heads, n, -1)
    return z.transpose(1, 2).to(query.dtype).contiguous(), None


AttentionInterface.register(NAME, short_attention)
