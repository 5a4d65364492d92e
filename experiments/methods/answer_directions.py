"""Directions after the last norm along which an answer's logit rises relative to others', by prompt."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..engine.direct import unembedded
from ..model.subject import Subject
from ..tasks.batch import Batch


@dataclass(frozen=True)
class AnswerDirections:
    """vectors [batch, d_model], and what the unembedding's bias adds to them, bias [batch]."""

    vectors: Tensor
    bias: Tensor


def answer_directions(subject: Subject, batch: Batch, others: bool) -> AnswerDirections:
    """The answer's logit minus the distractor's or, with `others`, minus the mean of the other answers of the batch."""
    rows, bias = unembedded(subject, batch.pair.clamp(min=0))
    if not others:
        return AnswerDirections(rows[:, 0] - rows[:, 1], bias[:, 0] - bias[:, 1])
    answers = batch.pair[:, 0].unique()
    each, its_bias = unembedded(subject, answers)
    count = len(answers) - 1
    return AnswerDirections(
        rows[:, 0] - (each.sum(0) - rows[:, 0]) / count, bias[:, 0] - (its_bias.sum(0) - bias[:, 0]) / count
    )


def of_other_prompts(own: AnswerDirections, batch: Batch, others: bool) -> AnswerDirections | None:
    """For each prompt, the mean over prompts with other answers; None if a prompt has no such prompt."""
    pairs = batch.pair[:, :1] if others else batch.pair
    differs = (pairs[:, None] != pairs[None]).any(-1).float().to(own.vectors)
    count = differs.sum(-1, keepdim=True)
    if bool((count == 0).any()):
        return None
    return AnswerDirections(differs @ own.vectors / count, (differs @ own.bias[:, None] / count)[:, 0])
