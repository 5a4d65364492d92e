"""Whether a tensor is a sum of others, and what each is multiplied by, as closely as its precision tells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TOLERANCE = 2e-5
# A factor that is found may differ by this much from the layer's own, in half precision.
NEAR = 5e-3


def same(a: Tensor, b: Tensor) -> bool:
    """Equal values, whether or not batch and position were flattened together (OPT does)."""
    return a.numel() == b.numel() and torch.equal(a.reshape(-1), b.reshape(-1))


def tolerance(x: Tensor) -> float:
    return max(TOLERANCE, 4 * torch.finfo(x.dtype).eps)


def close(a: Tensor, b: Tensor, scale: Tensor) -> bool:
    limit = tolerance(a) * scale.abs().max()
    return a.numel() == b.numel() and bool((a.reshape(-1) - b.reshape(-1)).abs().max() <= limit)


def factors(r: Tensor, terms: list[Tensor], layer: nn.Module, stream: Tensor) -> list[float] | None:
    """The factors of the terms that add up to r; None if there are none.

    stream  what r was added to: some models have a few numbers in it that are a thousand times as large as all that a
            layer adds, and r has the last bits of those
    """
    if any(t.numel() != r.numel() for t in terms):
        return None
    # A part that writes nothing, as in a planted model, is there all the same.
    writing = [t.reshape(-1).double() for t in terms if bool(t.any())]
    solved: list[float] = []
    if writing:
        solved = torch.linalg.lstsq(torch.stack(writing, 1), r.reshape(-1, 1).double()).solution[:, 0].tolist()
    held = [1.0, *(float(v) for v in vars(layer).values() if isinstance(v, float))]
    solved = [min(held, key=lambda h: abs(h - f)) if near(f, held) else f for f in solved]
    if any(abs(f) <= NEAR for f in solved):
        return None
    found = [solved.pop(0) if bool(t.any()) else 1.0 for t in terms]
    rest = (sum(f * t.reshape(-1) for f, t in zip(found, terms, strict=True)) - r.reshape(-1)).abs().max()
    limit = tolerance(r) * r.abs().max() + 4 * torch.finfo(r.dtype).eps * stream.abs().max()
    return found if bool(rest <= limit) else None


def near(value: float, held: list[float]) -> bool:
    return any(abs(value - h) <= NEAR * abs(h) for h in held)


def by_channel(whole: Tensor, terms: list[Tensor]) -> bool:
    """Whether, channel by channel, the whole is a sum of the terms with a factor each."""
    columns = torch.stack([t.flatten(0, 1).double() for t in terms], -1).transpose(0, 1)
    wanted = whole.flatten(0, 1).double().T[..., None]
    found = columns @ (torch.linalg.pinv(columns) @ wanted)
    return bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())


def proportional(a: Tensor, b: Tensor) -> float | None:
    """c with a = c b; None if there is none."""
    if a.numel() != b.numel():
        return None
    if not (bool(a.any()) or bool(b.any())):
        return 1.0  # a projection that writes nothing is a projection
    size = float(b.double().square().sum())
    c = float((a.reshape(-1).double() * b.reshape(-1).double()).sum()) / size if size else 0.0
    c = 1.0 if abs(c - 1) <= TOLERANCE else c
    return c if c and close(c * b.reshape(-1), a, a) else None
