"""How well the answer is predicted: loss, logit difference, probability, rank.

The loss is the mean negative log-likelihood over all answer tokens, in nats, read in place after the prompt.
The logit difference is taken at the first token where answer and distractor differ; so is the rank, among
the whole vocabulary, from 0. The probability is that of the whole answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .batch import Batch
from .errors import BadConfiguration

METRICS: dict[str, str] = {"logit_diff": "logits", "loss": "nats", "prob": "probability"}


@dataclass
class AnswerReadout:
    """Everything there is to say about the answer; unembeds the whole vocabulary at the answer's columns.

    With `keep_log_probs` the log-probabilities where answer and distractor differ stay, [row, vocabulary].
    """

    batch: Batch
    keep_log_probs: bool = False
    at: Tensor | None = None
    tokens: Tensor | None = None
    every_column: bool = False

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        batch = self.batch
        log_probs = logits.float().log_softmax(-1)
        targets = batch.targets[prompts]
        there = targets >= 0
        nll = -log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * there
        at = batch.answer_at[prompts]
        rows = torch.arange(len(prompts), device=logits.device)
        final = log_probs[rows, at]
        answer, other = batch.pair[prompts].unbind(-1)
        right = final[rows, answer]
        out = {
            "loss": nll.sum(-1) / there.sum(-1),
            "prob": (-nll.sum(-1)).exp(),
            "rank": (final > right[:, None]).sum(-1).float(),
        }
        if bool((batch.pair[:, 1] >= 0).all()):
            out["logit_diff"] = right - final[rows, other]
        if self.keep_log_probs:
            out["log_probs"] = final
        return out


@dataclass
class PairReadout:
    """Only the logit difference; unembeds two tokens at one column."""

    batch: Batch
    every_column: bool = False
    at: Tensor | None = field(init=False)
    tokens: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        self.at, self.tokens = self.batch.answer_at, self.batch.pair

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        return {"logit_diff": (logits[:, 0, 0] - logits[:, 0, 1]).float()}


def readout_for(metric: str, batch: Batch) -> AnswerReadout | PairReadout:
    """The cheapest readout that gives the metric. Raises BadConfiguration where the task has no distractors."""
    if metric == "logit_diff":
        if bool((batch.pair[:, 1] < 0).any()):
            raise BadConfiguration("This task has prompts without a distractor, so there is no logit_diff; use loss.")
        return PairReadout(batch)
    return AnswerReadout(batch)
