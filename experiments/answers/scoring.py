"""A model's predictions at the answer, and the readouts that measure them: by every metric, or cheaply by one.

The loss is the mean negative log-likelihood over all answer tokens, in nats, after the prompt. The logit difference is
taken at the first token where answer and distractor differ; so is the rank in the whole vocabulary, from 0. The
probability is that of the whole answer. The divergence (KL) from the intact model's prediction to the edited one's is
taken at the same position, over the whole vocabulary: it needs no answer, and shows every change, also one that leaves
answer and distractor unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..metrics import Metric, metrics
from ..result import Measurement
from ..statistics.intervals import Array, measurement
from ..tasks.batch import Batch


class Predicted:
    """A model's predictions for some prompts of a batch, as far as they were read; a metric is a function of it.

    reads  what was read: `answer`, `first` or `pair`, as in `Metric`
    """

    def __init__(self, batch: Batch, prompts: Tensor, logits: Tensor, reads: str, intact: Tensor | None = None) -> None:
        self.batch, self.prompts, self.reads = batch, prompts, reads
        self._logits, self._intact = logits, intact

    @cached_property
    def log_probs(self) -> Tensor:
        """[row, column, vocabulary], at the read columns."""
        if self.reads == "pair":
            raise BadConfiguration("A metric that uses the whole vocabulary must have reads set to first.")
        return self._logits.float().log_softmax(-1)

    @cached_property
    def there(self) -> Tensor:
        """[row, column]: whether the answer has a token."""
        return self.batch.targets[self.prompts] >= 0

    @cached_property
    def nll(self) -> Tensor:
        """[row, column]: the negative log-likelihood of the answer's tokens, 0 where it has none."""
        if self.reads != "answer":
            raise BadConfiguration("A metric that uses every token of the answer must have reads set to answer.")
        targets = self.batch.targets[self.prompts]
        return -self.log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * self.there

    @cached_property
    def first(self) -> Tensor:
        """[row, vocabulary]: the log-probabilities where answer and distractor first differ."""
        if self.reads != "answer":
            return self.log_probs[:, 0]
        rows = torch.arange(len(self.prompts), device=self.log_probs.device)
        return self.log_probs[rows, self.batch.answer_at[self.prompts]]

    @cached_property
    def pair(self) -> Tensor:
        """[row, 2]: the logits of answer and distractor there, up to a common constant."""
        return self._logits[:, 0] if self.reads == "pair" else self.first.gather(-1, self.batch.pair[self.prompts])

    @cached_property
    def rank(self) -> Tensor:
        """[row]: how many tokens are more likely there than the answer's."""
        right = self.first.gather(-1, self.batch.pair[self.prompts][:, :1])
        return (self.first > right).sum(-1).float()

    @property
    def intact(self) -> Tensor:
        """[row, vocabulary]: the intact model's log-probabilities at the position of `first`."""
        assert self._intact is not None
        return self._intact[self.prompts.cpu()]

    def by(self, chosen: Iterable[Metric]) -> dict[str, Tensor]:
        """The metrics by name, [row] each. Raises BadConfiguration for a metric that returns anything else."""
        found = {metric.name: metric.read(self) for metric in chosen}
        for name, values in found.items():
            if not isinstance(values, Tensor) or values.shape != self.prompts.shape:
                raise BadConfiguration(f"The metric {name} must return one number for each prompt.")
        return found


def readable(batch: Batch, reads: Sequence[str], has_intact: bool) -> tuple[Metric, ...]:
    """The metrics of these prompts, among those with these `reads`, in their order."""
    answered, paired = bool((batch.targets >= 0).any()), bool((batch.pair[:, 1] >= 0).all())
    return tuple(
        metric
        for what in reads
        for metric in metrics().values()
        if metric.reads == what
        and (answered or not metric.needs_answer)
        and (paired or not metric.needs_distractor)
        and (has_intact or not metric.from_intact)
    )


@dataclass
class AnswerReadout:
    """Every metric of the answer; unembeds the whole vocabulary at the answer's columns.

    `keep_log_probs` keeps the log-probabilities where answer and distractor differ, [row, vocabulary]. Given those of
    the intact model, `intact` [batch, vocabulary], it also reads the distances from it.
    """

    batch: Batch
    keep_log_probs: bool = False
    intact: Tensor | None = None
    at: Tensor | None = None
    tokens: Tensor | None = None
    every_column: bool = False
    metrics: tuple[Metric, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.metrics = readable(self.batch, ("answer", "pair", "first"), self.intact is not None)

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        seen = Predicted(self.batch, prompts, logits, "answer", self.intact)
        found = {**seen.by(self.metrics), "rank": seen.rank}
        return found | ({"log_probs": seen.first} if self.keep_log_probs else {})


@dataclass
class PairReadout:
    """The metrics of only answer and distractor, above all the logit difference; unembeds two tokens at one column."""

    batch: Batch
    every_column: bool = False
    at: Tensor | None = field(init=False)
    tokens: Tensor | None = field(init=False)
    metrics: tuple[Metric, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.at, self.tokens = self.batch.answer_at, self.batch.pair
        self.metrics = tuple(metric for metric in metrics().values() if metric.reads == "pair")

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        seen = Predicted(self.batch, prompts, logits, "pair")
        return {name: values.float() for name, values in seen.by(self.metrics).items()}


@dataclass
class FirstReadout:
    """The metrics that use only the position where answer and distractor first differ, over the whole vocabulary; given
    `intact` [batch, vocabulary], also the distances from it. `keep_log_probs` keeps the log-probabilities, [row,
    vocabulary]."""

    batch: Batch
    intact: Tensor | None = None
    keep_log_probs: bool = False
    every_column: bool = False
    at: Tensor | None = field(init=False)
    tokens: Tensor | None = None
    metrics: tuple[Metric, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.at = self.batch.answer_at
        self.metrics = readable(self.batch, ("first",), self.intact is not None)

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        seen = Predicted(self.batch, prompts, logits, "first", self.intact)
        return seen.by(self.metrics) | ({"log_probs": seen.first} if self.keep_log_probs else {})


def readout_for(metric: str, batch: Batch) -> AnswerReadout | PairReadout | FirstReadout:
    """The cheapest readout for the metric, except for distances from the intact model (see `Lab.readout`).

    Raises BadConfiguration if the metric needs distractors and the task has prompts without.
    """
    wanted = metrics()[metric]
    if wanted.needs_distractor and bool((batch.pair[:, 1] < 0).any()):
        raise BadConfiguration(f"This task has prompts without a distractor, which {metric} needs. Use loss.")
    match wanted.reads:
        case "pair":
            return PairReadout(batch)
        case "first":
            return FirstReadout(batch)
        case "answer":
            return AnswerReadout(batch)


def intact(metric: str, values: Array, questions: Sequence[str]) -> list[Measurement]:
    """The intact model's own score [n]; empty for a distance from the intact model."""
    of = metrics()[metric]
    return [] if of.from_intact else [measurement(f"intact_{metric}", values, of.unit, questions, metric)]


def changes(scores: dict[str, Tensor], questions: Sequence[str]) -> list[Measurement]:
    """scores by name [intervention, prompt], intact model first -> the mean change of each by the second."""
    return [
        measurement(of.change, (each[1] - each[0]).double().cpu().numpy(), of.unit, questions,
                    name if of.from_intact else None)
        for name, each in scores.items()
        if (of := metrics().get(name)) is not None
    ]  # fmt: skip
