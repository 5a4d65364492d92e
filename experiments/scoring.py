"""How well the answer is predicted: loss, logit difference, probability, rank; and how far the prediction moved.

The loss is the mean negative log-likelihood over all answer tokens, in nats, read in place after the prompt.
The logit difference is taken at the first token where answer and distractor differ; so is the rank, among
the whole vocabulary, from 0. The probability is that of the whole answer. The divergence (KL) from the intact model's
prediction to the edited one's is taken at the same place, over the whole vocabulary: it needs no answer, and sees
every change, also one that leaves answer and distractor where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .batch import Batch
from .errors import BadConfiguration
from .result import Measurement
from .statistics import Array, measurement

METRICS: dict[str, str] = {"logit_diff": "logits", "loss": "nats", "prob": "probability", "kl": "nats"}
# The sign of a change that is damage.
WORSE: dict[str, int] = {"logit_diff": -1, "loss": 1, "prob": -1, "kl": 1}

# What the paired change of each is called as a measurement.
CHANGES = {"loss": "loss_increase", "prob": "prob_change", "logit_diff": "logit_diff_change", "kl": "kl"}


@dataclass
class AnswerReadout:
    """Everything there is to say about the answer; unembeds the whole vocabulary at the answer's columns.

    With `keep_log_probs` the log-probabilities where answer and distractor differ stay, [row, vocabulary]. With
    those of the intact model, `intact` [batch, vocabulary], the divergence from it is read, too.
    """

    batch: Batch
    keep_log_probs: bool = False
    intact: Tensor | None = None
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
        if self.intact is not None:
            out["kl"] = divergence(self.intact[prompts.cpu()], final)
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


@dataclass
class FirstReadout:
    """The prediction where answer and distractor part, one column of the whole vocabulary: its divergence from the
    intact one, or, without `intact` [batch, vocabulary], its log-probabilities [row, vocabulary]."""

    batch: Batch
    intact: Tensor | None = None
    every_column: bool = False
    at: Tensor | None = field(init=False)
    tokens: Tensor | None = None

    def __post_init__(self) -> None:
        self.at = self.batch.answer_at

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        log_probs = logits[:, 0].float().log_softmax(-1)
        if self.intact is None:
            return {"log_probs": log_probs}
        return {"kl": divergence(self.intact[prompts.cpu()], log_probs)}


def divergence(intact: Tensor, edited: Tensor) -> Tensor:
    """Log-probabilities [row, vocabulary] twice -> the KL divergence of the edited from the intact [row], in nats."""
    intact = intact.to(edited.device)
    return (intact.exp() * (intact - edited)).sum(-1).clamp(min=0)


def readout_for(metric: str, batch: Batch) -> AnswerReadout | PairReadout:
    """The cheapest readout that gives the metric. Raises BadConfiguration where the task has no distractors."""
    if metric == "logit_diff":
        if bool((batch.pair[:, 1] < 0).any()):
            raise BadConfiguration("This task has prompts without a distractor, so there is no logit_diff; use loss.")
        return PairReadout(batch)
    return AnswerReadout(batch)


def intact(metric: str, values: Array, questions: Sequence[str]) -> list[Measurement]:
    """The intact model's own score [n]; none for its divergence from itself, which is nothing to report."""
    return [] if metric == "kl" else [measurement(f"intact_{metric}", values, METRICS[metric], questions)]


def changes(scores: dict[str, Tensor], questions: Sequence[str]) -> list[Measurement]:
    """scores by name [intervention, prompt], the intact model first -> the mean change of each that the second made."""
    return [
        measurement(word, (scores[metric][1] - scores[metric][0]).double().cpu().numpy(), METRICS[metric], questions)
        for metric, word in CHANGES.items()
        if metric in scores
    ]
