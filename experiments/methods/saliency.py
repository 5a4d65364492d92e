"""How much each token of a prompt matters for a metric, by three methods with one question: what if the token had
another embedding? Occlusion runs it; a gradient estimates it; integrated gradients use the mean slope on the way from
all tokens replaced to the prompt, so that over the tokens they sum to the whole difference (Sundararajan et al. 2017,
arXiv 1703.01365).

Tokens are counted from the end of the prompt, where all prompts are aligned: `t1` is the last one. The baseline
replaces only the prompt's tokens; tokens of the answer before the position that is read stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..interventions import Edit, Intervention
from ..sites import Site
from ..statistics.intervals import Array
from ..statistics.random_sets import DRAWS
from ..tasks.batch import Batch

EMBEDDED = Site(layer=0, part="resid_pre")
FIRST, LAST, REST = "first token", "last token", "other tokens"


# --- shuffled answers, the control ----------------------------------------------------------------------------


@dataclass
class OwnAndOthers:
    """The logit difference of a prompt's own answers, and of `others` [batch, draw] prompts', at the same position:
    `logit_diff` [row] and `shuffled` [row, draw]."""

    batch: Batch
    others: Tensor
    every_column: bool = False
    at: Tensor | None = field(init=False)
    tokens: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        beside = self.batch.pair[self.others].flatten(1)
        self.at, self.tokens = self.batch.answer_at, torch.cat([self.batch.pair, beside], dim=1)

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        found = logits[:, 0].float().unflatten(-1, (-1, 2))
        differences = found[..., 0] - found[..., 1]
        return {"logit_diff": differences[:, 0], "shuffled": differences[:, 1:]}


def shuffles(batch: Batch, seed: int) -> Tensor | None:
    """For each prompt, 20 draws of another one that has neither of its answers, [batch, draw]; None if a prompt has no
    such other."""
    pairs, rng = [set(pair) for pair in batch.pair.tolist()], random.Random(seed)
    free = [[j for j, pair in enumerate(pairs) if not pair & own] for own in pairs]
    if not all(free):
        return None
    return torch.tensor([rng.choices(rows, k=DRAWS) for rows in free], device=batch.ids.device)


# --- tokens and sites -----------------------------------------------------------------------------------------


def occlusion(longest: int) -> list[Intervention]:
    """Each token replaced by the baseline by itself, the last one first; then all of them."""
    return [Intervention(name=at, edits=(at_baseline(at),)) for at in [*steps(longest), "all"]]


def steps(longest: int) -> list[str]:
    return [f"t{k}" for k in range(1, longest + 1)]


def at_baseline(positions: str) -> Edit:
    return Edit(site=EMBEDDED, op="replace", source="baseline", positions=positions)


def parts(batch: Batch, names: Sequence[str], counted: Array) -> tuple[list[str], Array]:
    """The part of a prompt that each token belongs to: a span of the task, the first, the last, or other tokens.

    Returns the parts with a counted token ([token, batch] of 0 and 1) in some prompt, and the tokens, counted from the
    end, of each: [part, token, batch] of 0 and 1.
    """
    longest = int(batch.prompt_len.max())
    wanted = [*names, FIRST, LAST, REST]
    member = np.zeros((len(wanted), longest, len(batch)))
    for row, (spans, length) in enumerate(zip(batch.spans, batch.prompt_len.tolist(), strict=True)):
        end = spans["last"][1]
        for k in range(1, length + 1):
            own = [i for i, name in enumerate(names) if spans[name][0] <= end - k < spans[name][1]]
            which = own[0] if own else wanted.index(LAST if k == 1 else FIRST if k == length else REST)
            member[which, k - 1, row] = 1
    there = [i for i in range(len(wanted)) if (member[i] * counted).any()]
    return [wanted[i] for i in there], member[there]


def agreement(guess: Array, exact: Array, counted: Array) -> tuple[Array, list[int]]:
    """guess, exact [token, n] -> Spearman's correlation over the counted tokens of each prompt, and the prompts used:
    tokens that are 0 in both by construction would agree trivially, and so would two or fewer tokens."""
    from scipy.stats import rankdata

    found: list[float] = []
    rows: list[int] = []
    for i in range(guess.shape[1]):
        a, b = (rankdata(each[counted[:, i] > 0, i]) for each in (guess, exact))
        if len(a) > 2:
            rows.append(i)
            found.append(float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0)
    return np.array(found), rows
