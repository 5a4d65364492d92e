"""How spread out attention is: the entropy of weights over tokens, divided by that of equal weights, from 0 to 1.

0 is all weight on one token, 1 equal weight on all. The mean over prompts can be spread out although each prompt's
attention is not, so the entropy of the mean differs from the mean of entropies. By position, the mean is taken token by
token over prompts of one template and length: low if a head attends to the same position in all of them. By size, over
the numbers in a prompt in order of size: low if it attends to, say, the smallest, wherever it is (arXiv 2310.14491).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..statistics.intervals import Array, resampled
from ..tasks.batch import Batch
from .attention import last_column

TAIL = 0.025


def entropy(weights: Array, count: Array | int) -> Array:
    """weights [..., key] that sum to 1 over `count` [...] keys -> the entropy over log(count), [...]; 0 for one key."""
    safe = np.where(weights > 0, weights, 1.0)
    most = np.log(np.maximum(count, 2))
    return np.maximum(0.0, -(safe * np.log(safe)).sum(-1) / most)


def of_prompts(weights: Array, batch: Batch) -> Array:
    """[head, prompt]: the entropy in each prompt by itself."""
    return entropy(weights, batch.prompt_len.cpu().numpy())


def ordered_by_size(weights: Array, batch: Batch, numbers: Sequence[tuple[int, ...] | None]) -> Array | None:
    """weights [head, prompt, position] -> [head, prompt, rank], the smallest number first.

    None unless every prompt is a list of equally many numbers of one token each (after an optional BOS).
    """
    counts = {len(own or ()) for own in numbers}
    if len(counts) > 1 or not (count := counts.pop()):
        return None
    extra = {int(length) - count for length in batch.prompt_len}
    if not extra <= {0, 1} or len(extra) > 1:
        return None
    first = last_column(batch) - count + 1
    ranked: list[Array] = []
    for row, own in enumerate(numbers):
        places = np.argsort(np.array(own), kind="stable") + first
        ranked.append(weights[:, row, places])
    return np.stack(ranked, axis=1)


def of_mean(weights: Array, questions: Sequence[str]) -> tuple[Array, Array, Array]:
    """weights [head, prompt, position] -> the entropy of each head's mean over prompts, over that of equal weights, and
    its 95% interval by resampled questions; each [head].

    A mean over resampled prompts is less even than the mean over all, so the interval is too low if anything.
    """
    places = weights.shape[-1]
    values = entropy(normalised(weights.mean(1)), places)
    if len(set(questions)) == 1:
        return values, values, values
    low, high = np.empty(len(values)), np.empty(len(values))
    for head, own in enumerate(weights):
        drawn = entropy(normalised(resampled(own.T, questions).T), places)
        low[head], high[head] = np.quantile(drawn, [TAIL, 1 - TAIL])
    return values, np.minimum(low, values), np.maximum(high, values)


def normalised(weights: Array) -> Array:
    """Weights [..., position], which may lack a token, scaled to sum to 1."""
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.full_like(weights, 1 / weights.shape[-1]), where=total > 1e-12)
