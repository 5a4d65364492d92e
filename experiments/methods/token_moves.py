"""Where probability goes: by token, on prompts that were not used to choose the tokens, and by class of token."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..statistics.intervals import Array
from ..tasks.batch import Batch

# The classes of a token for a prompt; a token belongs to the first that fits.
CLASSES = ("answer", "distractor", "other answers", "in the prompt", "the rest")


@dataclass
class SomeTokens:
    """The probability, or log-probability, of given tokens [k] where answer and distractor first differ: [row, k]; 0
    for a prompt's own answer and distractor."""

    batch: Batch
    chosen: Tensor
    log: bool
    at: Tensor | None = field(init=False)
    tokens: Tensor | None = None
    every_column: bool = False

    def __post_init__(self) -> None:
        self.at = self.batch.answer_at

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        found = logits[:, 0].float().log_softmax(-1)[:, self.chosen.to(logits.device)]
        found = found if self.log else found.exp()
        return {"tokens": found * ~self.own(prompts).to(found.device)}

    def own(self, prompts: Tensor) -> Tensor:
        """Whether each token is the prompt's own answer or distractor, [row, k] of bool."""
        pair = self.batch.pair[prompts].cpu()
        return (pair[:, :, None] == self.chosen.cpu()).any(1)


def halves(questions: Sequence[str], seed: int) -> tuple[list[int], list[int]]:
    """Prompts to choose tokens with and prompts to measure on, without a common question. The second half is larger."""
    names = sorted(set(questions))
    random.Random(seed).shuffle(names)
    first = set(names[: len(names) // 2])
    return [i for i, q in enumerate(questions) if q in first], [i for i, q in enumerate(questions) if q not in first]


def without_own(batch: Batch, moves: Tensor) -> Tensor:
    """moves [row, vocabulary] with 0 at each prompt's own answer and distractor, which would hide all other tokens."""
    moves, pair = moves.clone(), batch.pair.cpu()
    for column in range(pair.shape[1]):
        rows = (pair[:, column] >= 0).nonzero()[:, 0]
        moves[rows, pair[rows, column]] = 0
    return moves


def extremes(moves: Tensor, count: int) -> tuple[list[int], list[int]]:
    """moves [row, vocabulary] -> the tokens that rose most on average, and those that fell most."""
    mean = moves.double().mean(0)
    up, down = mean.topk(min(count, len(mean))), (-mean).topk(min(count, len(mean)))
    return (
        [t for t, v in zip(up.indices.tolist(), up.values.tolist(), strict=True) if v > 0],
        [t for t, v in zip(down.indices.tolist(), down.values.tolist(), strict=True) if v > 0],
    )


def by_class(batch: Batch, moves: Tensor) -> dict[str, Array]:
    """moves [row, vocabulary], changes of probability -> their sums by class, [row] each; all together they are 0.

    Classes that no prompt has are left out; an open prompt has no answers.
    """
    answers = {int(t) for t in batch.pair[:, 0].tolist() if t >= 0}
    sums: dict[str, list[float]] = {name: [] for name in CLASSES}
    for row, pair in enumerate(batch.pair.tolist()):
        end = batch.length - batch.reads + 1
        inside = set(batch.ids[row, :end][batch.mask[row, :end].bool()].tolist())
        free = moves[row].double()
        left = float(free.sum())
        seen: set[int] = set()
        for name, tokens in zip(CLASSES[:-1], ({pair[0]}, {pair[1]}, answers, inside), strict=True):
            mine = sorted(t for t in tokens - seen if t >= 0)
            seen.update(mine)
            sums[name].append(float(free[mine].sum()))
            left -= sums[name][-1]
        sums[CLASSES[-1]].append(left)
    present = set(CLASSES) - ({"answer", "other answers"} if not answers else set())
    if not bool((batch.pair[:, 1] >= 0).any()):
        present.discard("distractor")
    if len(answers) == 1:
        present.discard("other answers")
    return {name: torch.tensor(sums[name], dtype=torch.float64).numpy() for name in CLASSES if name in present}
