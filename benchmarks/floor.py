"""The least that a sweep can cost: the operations that it cannot do without, at the best rate of a matrix product.

The product is of the size that a folded batch has, and is measured between the sweeps, so that what else the machine
does burdens both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from lashley.benchmarks.ways import CLOCKS
from lashley.experiments.model.kernels import BOTH, product
from lashley.experiments.model.subject import Subject


@torch.inference_mode()
def product_rate(device: str, clock: str = "wall") -> float:
    """fp32 operations per second of that clock, by torch's product or the engine's, whichever is faster."""
    now: Callable[[], float] = getattr(time, CLOCKS[clock])
    rows, d_in, d_out = (1024, 768, 3072) if device == "cpu" else (16_384, 2048, 8192)
    x, weight = torch.randn(rows, d_in, device=device), torch.randn(d_out, d_in, device=device)
    ways = [nn.functional.linear, *([product] if BOTH and device == "cpu" else [])]
    best = float("inf")
    for _ in range(12):
        for multiply in ways:
            begun = now()
            multiply(x, weight, None)
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, now() - begun)
    return 2 * rows * d_in * d_out / best


def matrix_operations(modules: Iterable[nn.Module]) -> int:
    """Per token: a multiplication and an addition for every number of every matrix."""
    return sum(2 * p.numel() for module in modules for p in module.parameters() if p.dim() == 2)


def operations(subject: Subject, prompts: int, length: int, layers: Sequence[int]) -> int:
    """Of a sweep of all heads of `layers`, read at the last position: what lies before an edit is run once, what is
    not read, never."""
    a = subject.anatomy
    kv = 4 * a.d_model * a.n_kv_heads * a.d_head
    scores = 2 * length * a.n_heads * a.d_head
    mlp = matrix_operations(a.blocks[0].mlp)
    layer = matrix_operations([a.blocks[0].attn]) + scores + mlp
    last = a.n_layers - 1
    # Of the last layer: keys and values everywhere, the rest at the position that is read.
    per_run = [
        mlp if l == last else length * mlp + (last - 1 - l) * length * layer + length * kv + layer - kv for l in layers
    ]
    return prompts * length * a.n_layers * layer + a.n_heads * prompts * sum(per_run)


if __name__ == "__main__":
    print(product_rate(*sys.argv[1:]))
