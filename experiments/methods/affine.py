"""Affine maps from the stream at one depth to the stream at another, in closed form.

A map is fitted by least squares with a penalty towards the identity: it learns the difference between the two streams.
Tokens with larger targets get smaller weights, because the norm that follows removes the size. The strength of the
penalty is chosen on held-out prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Relative to the mean square of a direction of the stream. None: only a shift; infinite strength: the identity.
STRENGTHS: tuple[float | None, ...] = (0.001, 0.01, 0.1, 1.0, None)


@dataclass(frozen=True)
class Affine:
    """x -> x + x @ A + b. A [d, d] is None for a pure shift."""

    A: Tensor | None
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        moved = x.double().cpu() + self.b
        if self.A is not None:
            moved = moved + x.double().cpu() @ self.A
        return moved.to(x)


def unchanged(size: int) -> Affine:
    return Affine(None, torch.zeros(size, dtype=torch.float64))


def weights(y: Tensor) -> Tensor:
    """Targets [token, d] -> the weight of each token, [token, 1]."""
    weight = 1 / (y**2).mean(-1, keepdim=True).clamp(min=1e-12)
    return weight / weight.sum()


def fitted(x: Tensor, y: Tensor, strengths: Sequence[float | None] = STRENGTHS) -> list[Affine]:
    """x, y [token, d] -> the identity, then the best map from x to y for each strength."""
    x, y = x.double().cpu(), y.double().cpu()
    weight = weights(y)
    middle, step = (weight * x).sum(0), (weight * (y - x)).sum(0)
    away, wanted = x - middle, y - x - step
    squares, products = away.T @ (weight * away), away.T @ (weight * wanted)
    scale = squares.diagonal().mean()
    found = [unchanged(x.shape[-1])]
    for strength in strengths:
        if strength is None or float(scale) == 0:
            found.append(Affine(None, step))
            continue
        held = squares + strength * scale * torch.eye(len(squares), dtype=torch.float64)
        A = torch.linalg.solve(held, products)
        found.append(Affine(A, step - middle @ A))
    return found


def closest(maps: Sequence[Affine], x: Tensor, y: Tensor) -> Affine:
    """The map that brings x nearest to y [token, d], on held-out tokens."""
    y = y.double().cpu()
    return min(maps, key=lambda each: float((weights(y) * (each(x).double().cpu() - y) ** 2).sum()))
