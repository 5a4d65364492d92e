"""How much the heads of a later layer read of what a head writes (Elhage et al. 2021).

A sender writes to some directions of the stream; a receiver reads some for its queries, keys and values. The score is
the Frobenius norm of the product of both matrices divided by the product of their norms: the share of what is written
that is read, from 0 to 1. Under random rotations the score is near 1 / sqrt(d_model): this chance level is measured
with the singular values of the same heads. Of norms, only the weights count; rotary positions are ignored, so the
scores hold for two tokens at the same position.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .. import engine
from ..engine import HeadWeights
from ..errors import UnsupportedModel
from ..model.subject import Subject

THROUGH = ("q", "k", "v")
TURNED = 200


def triangle(matrix: Tensor) -> Tensor:
    """R of matrix = QR [head, d, d_head], which has the same norms: [head, d_head, d_head]."""
    return torch.linalg.qr(matrix.double(), mode="r")[1]


def unit(matrices: Tensor) -> Tensor:
    """[head, ...] scaled to a Frobenius norm of 1 each; 0 stays 0."""
    norm = matrices.flatten(1).norm(dim=1)[:, None, None]
    return torch.where(norm > 1e-12, matrices / norm.clamp(min=1e-12), 0.0)


def written(weights: HeadWeights) -> Tensor:
    """[head, d_head, d_model] of norm 1: the directions that a head's OV writes, with their strengths."""
    return unit(triangle(weights.V) @ weights.O.double())


def read(weights: HeadWeights) -> Tensor:
    """[3, head, d_model, d_head] of norm 1: what a head reads for queries (QK), keys (QK) and values (OV)."""
    q, k, v = weights.Q.double(), weights.K.double(), weights.V.double()
    return torch.stack([
        unit(q @ triangle(weights.K).transpose(1, 2)),
        unit(k @ triangle(weights.Q).transpose(1, 2)),
        unit(v @ triangle(weights.O.transpose(1, 2)).transpose(1, 2)),
    ])  # fmt: skip


def composed(writing: Tensor, reading: Tensor) -> Tensor:
    """`written` of some heads [s, ...] and `read` of others [3, r, ...] -> scores [3, s, r]."""
    product = torch.einsum("sad,trdb->tsrab", writing, reading)
    return product.flatten(3).norm(dim=3)


@torch.inference_mode()
def all_scores(subject: Subject, seed: int, progress: Callable[[int, int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Scores [3, sender, receiver], heads layer by layer, NaN if the receiver's layer is not later; and the scores of
    TURNED random pairs with a random rotation between them, [3, draw]."""
    a = subject.anatomy
    layers = a.with_heads
    if len({(a.blocks[layer].n_heads, a.blocks[layer].d_head) for layer in layers}) > 1:
        raise UnsupportedModel(f"The layers of {subject.name} differ in the number or width of heads, so composition "
                               "scores cannot be compared. Use path_patching.")  # fmt: skip
    weights = [engine.head_weights(subject, layer) for layer in layers]
    writing, reading = [written(w).float().cpu() for w in weights], [read(w).float().cpu() for w in weights]
    total = len(layers) * a.n_heads
    found = np.full((3, total, total), np.nan)
    for late in range(1, len(layers)):
        senders = torch.cat(writing[:late])
        columns = slice(late * a.n_heads, (late + 1) * a.n_heads)
        for which in range(3):
            # One product of two matrices, split into heads afterwards.
            r = reading[late][which]
            product = senders.flatten(0, 1) @ r.permute(1, 0, 2).flatten(1)
            squares = product.square().unflatten(0, (len(senders), -1)).unflatten(2, (a.n_heads, -1)).sum((1, 3))
            found[which, : len(senders), columns] = squares.sqrt().numpy()
        progress(late, len(layers) - 1)
    return found, random_scores(torch.cat(writing), torch.cat(reading, dim=1), seed)


def random_scores(writing: Tensor, reading: Tensor, seed: int) -> np.ndarray:
    """Scores [3, draw] of random pairs whose sender writes to random directions with its own strengths."""
    generator = torch.Generator().manual_seed(seed)
    strengths = torch.linalg.svdvals(writing)
    there = [int(i) for i in strengths.sum(1).nonzero()[:, 0]]
    drawn: list[Tensor] = []
    for _ in range(TURNED if there else 0):
        sender = there[int(torch.randint(len(there), (1,), generator=generator))]
        receiver = int(torch.randint(reading.shape[1], (1,), generator=generator))
        shape = writing.shape[2], writing.shape[1]
        frame = torch.linalg.qr(torch.randn(shape, generator=generator))[0].T
        drawn.append(composed((strengths[sender][:, None] * frame)[None], reading[:, receiver : receiver + 1])[:, 0, 0])
    return torch.stack(drawn, dim=1).numpy() if drawn else np.zeros((3, 0))
