"""Where heads attend on a task's prompts: from chosen tokens, by the task's spans and by token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .. import engine
from ..model.subject import Subject
from ..sites import Site
from ..statistics.intervals import Array
from ..tasks.batch import Batch

Spans = Sequence[tuple[int, int]]
FIRST = "first"
# Number of prompts whose patterns are in memory at a time.
AT_ONCE = 8


def last_column(batch: Batch) -> int:
    """The column at which every prompt ends."""
    return batch.length - batch.reads


def largest_group(batch: Batch) -> list[int]:
    """The rows of the template and length that most prompts share, in order; the first group in a tie."""
    most = max(batch.groups, key=lambda g: (bool(g[0]), batch.groups.count(g)))
    return [i for i, group in enumerate(batch.groups) if group == most] if most[0] else [0]


def places(batch: Batch) -> dict[str, list[tuple[int, int]]]:
    """The spans that all prompts have and the first token, by name: (first, last + 1) in columns for each prompt."""
    shared = set.intersection(*(set(spans) for spans in batch.spans))
    begin = batch.mask.argmax(-1).tolist()
    return {**{name: [spans[name] for spans in batch.spans] for name in sorted(shared)},
            FIRST: [(b, b + 1) for b in begin]}  # fmt: skip


def weights_from(subject: Subject, batch: Batch, queries: Spans) -> Array:
    """The weights of each prompt's queries, averaged over several: [layer * head, prompt, position]."""
    found: list[Tensor] = []
    for first in range(0, len(batch), AT_ONCE):
        part = batch.rows(first, min(first + AT_ONCE, len(batch)))
        seen = engine.read(subject, part, {"pattern"})
        patterns = [seen.pattern(layer) for layer in subject.anatomy.with_heads]
        for row, (a, b) in enumerate(queries[first : first + len(part)]):
            found.append(torch.cat([p[row][:, a:b].double().mean(1).cpu() for p in patterns]))
    return torch.stack(found, dim=1).numpy()


def last_weights(subject: Subject, batch: Batch) -> Array:
    """Where each head attends from the prompt's last token: [layer * head, prompt, position]; 0 at pads."""
    end = last_column(batch)
    return weights_from(subject, batch, [(end, end + 1)] * len(batch))


def share_of(weights: Array, spans: Spans) -> Array:
    """Weights [head, prompt, position] -> their sum over each prompt's span, [head, prompt]."""
    return np.stack([weights[:, row, a:b].sum(-1) for row, (a, b) in enumerate(spans)], axis=1)


def even_weights(batch: Batch, queries: Spans) -> Array:
    """`weights_from` for a head with even attention to all tokens that it can see, [1, prompt, position]."""
    mask = batch.mask.cpu().numpy().astype(float)
    found = np.zeros((1, len(batch), batch.length))
    for row, (a, b) in enumerate(queries):
        for query in range(a, b):
            seen = mask[row, : query + 1]
            found[0, row, : query + 1] += seen / seen.sum() / (b - a)
    return found


def mean_patterns(subject: Subject, batch: Batch, rows: Sequence[int], heads: Sequence[Site]) -> Array:
    """[head, query, key]: the mean pattern of heads over prompts of one length, from first token to last."""
    end = last_column(batch) + 1
    inside = slice(end - int(batch.prompt_len[rows[0]]), end)
    layers = sorted({head.layer for head in heads})
    total = torch.zeros(())
    for first in range(0, len(batch), AT_ONCE):
        kept = [row - first for row in rows if first <= row < first + AT_ONCE]
        if not kept:
            continue
        seen = engine.read(subject, batch.rows(first, min(first + AT_ONCE, len(batch))), {"pattern"}, layers=layers)
        own = [seen.pattern(h.layer)[kept][:, h.index or 0, inside, inside].double().sum(0).cpu() for h in heads]
        total = total + torch.stack(own)
    return (total / len(rows)).numpy()
