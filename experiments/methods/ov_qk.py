"""The OV and QK circuits of all heads over a few tokens (Elhage et al. 2021), and their scores.

OV is what a head adds to each token's logit when it attends to a token; QK is how much it attends to each token from
each. Both are computed as in the model, with biases and the norm before attention, from the stream of a token alone
after a BOS: its embedding for the first layer, the output of the first layer for later ones (the paper uses the
embedding throughout). The norm after attention and the final norm are linear up to a positive factor, which is left
out, so no score here depends on a scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import engine
from ..model.subject import Subject
from .detectors import centred, extremes, next_said, said, seen_by

if TYPE_CHECKING:
    import numpy as np


# Number of tokens whose embeddings are multiplied at once; relative size below which a float32 product counts as 0.
AT_ONCE, ROUNDING = 16_384, 1e-6


def circuits(subject: Subject, tokens: list[int], distance: int) -> tuple[Tensor, Tensor]:
    """What each head raises [layer * head, attended, raised], and attends to [layer * head, query, key] for a key
    `distance` tokens before the query; on the CPU. Raises UnsupportedModel if weights cannot be read."""
    early, late = seen_by(subject, tokens)
    layers = subject.anatomy.with_heads
    looked = [engine.sought(subject, layer, early if layer == 0 else late, distance).cpu() for layer in layers]
    return said(subject, tokens).double(), torch.cat(looked).double()


def scores(moved: Tensor, looked: Tensor, ends: bool | None, top: int) -> dict[str, np.ndarray]:
    """By name, [layer * head, token] of 0 and 1. `ends`: whether the tokens are a series that ends with the last of
    them; None if they are not a series."""
    from ..lab import numbers

    about = centred(moved)
    found = extremes(about, top)
    if ends is not None:
        found["successor"] = next_said(about, ends)
    found["same_token"] = extremes(looked, top)["copying"]
    return {name: numbers(each) for name, each in found.items()}


def chance(name: str, count: int, top: int) -> float:
    """The expected score if what a head raises has nothing to do with what it attends to."""
    return 1 / count if name == "successor" else top / count


def positive_eigenvalues(moved: Tensor) -> np.ndarray:
    """[layer * head] from -1 to 1: the sum of the eigenvalues of OV, `centred`, over the sum of their sizes (Elhage et
    al. 2021): 1 if all are positive, as in a head that copies, 0 if nothing is written."""
    values = torch.linalg.eigvals(centred(moved))
    sizes = values.abs().sum(-1)
    # Do not compute shares of rounding errors.
    small = 1e-9 * moved.abs().amax((1, 2)) * moved.shape[-1]
    return torch.where(sizes > small, values.real.sum(-1) / sizes.clamp(min=1e-300), 0.0).numpy()


def whole_eigenvalues(subject: Subject) -> np.ndarray:
    """[layer * head] from -1 to 1: the sum of the eigenvalues of a head's whole OV circuit, from the embedding of every
    token of the vocabulary to its logit, over the sum of their sizes (Elhage et al. 2021).

    The circuit E V O U [vocabulary, vocabulary] has the eigenvalues of O U E V [d_head, d_head], and zeros.
    """
    table: Tensor = subject.model.get_input_embeddings().weight  # type: ignore[union-attr]
    between = torch.zeros(subject.anatomy.d_model, subject.anatomy.d_model, dtype=torch.float64)
    head: Any = subject.anatomy.unembedding
    count = min(len(table), len(head.weight))
    for tokens in torch.arange(count).split(AT_ONCE):
        rows = table[tokens.to(table.device)].detach().double().cpu()
        between += engine.unembedding(subject, tokens).double().cpu() @ rows
    found: list[Tensor] = []
    for layer in range(subject.anatomy.n_layers):
        weights = engine.head_weights(subject, layer)
        out, into = weights.O.double().cpu(), weights.V.double().cpu()
        whole = out @ between @ into
        # Do not compute shares of rounding errors: here the product is far smaller than its factors allow.
        allowed = out.norm(dim=(1, 2)) * between.norm() * into.norm(dim=(1, 2))
        there = whole.norm(dim=(1, 2)) > ROUNDING * allowed
        values = torch.linalg.eigvals(torch.where(there[:, None, None], whole, 0.0))
        found.append(values.real.sum(-1) / values.abs().sum(-1).clamp(min=1e-300))
    return torch.cat(found).numpy()


def deviations(matrix: Tensor, what: str) -> np.ndarray:
    """A matrix minus its means (OV: over attended tokens; QK: over each query's keys), divided by its standard
    deviation."""
    about = matrix - matrix.mean(0 if what == "OV" else 1, keepdim=True)
    return (about / about.std().clamp(min=1e-12)).numpy()
