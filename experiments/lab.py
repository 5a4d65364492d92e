"""The lab of an experiment: a subject, a task, its prompts, and a progress callback."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import engine
from .answers import failures
from .answers.ability import ability
from .answers.scoring import AnswerReadout, FirstReadout, PairReadout, readout_for
from .engine import Readout, Source
from .engine.cost import seconds_per_run, whole_runs
from .errors import BadTask
from .interventions import Intervention
from .metrics import is_distance
from .model.processor import arithmetic
from .model.room import require_room
from .model.subject import Subject
from .result import Doubt, Sample
from .tasks.batch import Batch, encode_answer, make_batch
from .tasks.carried import most_after, require_carried
from .tasks.donors import more_donors
from .tasks.prompt import Prompt, Split
from .tasks.task import Task

if TYPE_CHECKING:
    from .methods.causal_scrubbing import Pool
    from .tasks.donors_by_rule import Lenders

Progress = Callable[[str, int, int], None]
INTACT = Intervention(name="intact")


def silent(_: str, __: int, ___: int) -> None: ...


@dataclass(frozen=True)
class Intact:
    """The intact subject's answers to n prompts, which of them are right [n], and its scores by metric [n].

    Open prompts have no right answers and no scores."""

    said: list[str]
    correct: np.ndarray | None
    scores: dict[str, np.ndarray]


@dataclass
class Lab:
    """One subject and one task. Prompts and batches are made once per (n, split, seed)."""

    subject: Subject
    task: Task
    progress: Progress = silent
    # The finished parts of an interrupted experiment, sweep by sweep; see `engine.run`.
    kept: dict[str, dict[str, dict[str, torch.Tensor]]] = field(default_factory=dict)
    # How often each sweep was run. A repetition may have other sources, so it takes nothing from the first.
    _times: Counter[str] = field(default_factory=Counter[str])
    # Called before each run with its expected seconds; it may raise.
    before: Callable[[float], None] | None = None
    _batches: dict[tuple[int, str, int], tuple[tuple[Prompt, ...], Batch]] = field(default_factory=dict)
    _intact: dict[tuple[int, str, int], Intact] = field(default_factory=dict)
    _with_donors: dict[tuple[int, str, int], Batch] = field(default_factory=dict)
    # By seed, the prompts that donors by rule are taken from.
    lenders: dict[int, Lenders] = field(default_factory=dict)
    # Tasks of one's own to fit maps on, by name and fingerprint; see `fitting_prompts`.
    own: Mapping[str, Task] = field(default_factory=dict[str, Task])
    # The same for causal scrubbing.
    pools: dict[int, Pool] = field(default_factory=dict)
    _speeds: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises BadTask if the subject cannot run a line of the task."""
        require_carried(self.subject, self.task)

    def begin(self, kept: dict[str, dict[str, dict[str, torch.Tensor]]] | None = None) -> None:
        """Begin an experiment: with the finished parts of its interrupted attempt, or with none."""
        self.kept = {} if kept is None else kept
        self._times.clear()

    def prompts(self, n: int, split: Split, seed: int) -> tuple[tuple[Prompt, ...], Batch]:
        """n prompts and their tokens. Raises BadTask if the split has fewer, or a prompt is too long."""
        key = (n, split, seed)
        if key not in self._batches:
            drawn = self.task.prompts(n, split, seed)
            batch = make_batch(self.subject.tokenizer, drawn, self.subject.device)
            lengths = zip(drawn, batch.prompt_len.tolist(), (batch.targets >= 0).sum(1).tolist(), strict=True)
            for prompt, length, answer in lengths:
                require_room(self.subject.model, length, most_after(self.task, answer), prompt.text)
            self._batches[key] = drawn, batch
        return self._batches[key]

    def intact(self, n: int, split: Split, seed: int) -> Intact:
        """The intact subject's results on these prompts; measured only once."""
        key = (n, split, seed)
        if key not in self._intact:
            prompts, batch = self.prompts(n, split, seed)
            is_open = self.task.answer_kind == "open"
            scores = {} if is_open else engine.run(self.subject, batch, [INTACT], AnswerReadout(batch))
            said = self.speak(batch, [INTACT])[0]
            correct = None if is_open else self.correct(prompts, said)
            self._intact[key] = Intact(said, correct, {name: numbers(values[0]) for name, values in scores.items()})
        return self._intact[key]

    def doubts(self, n: int, split: Split, seed: int, metric: str | None = None) -> tuple[Doubt, ...]:
        """The doubts of a result in this metric, if the intact subject cannot do on these prompts what the metric
        depends on; see `ability`."""
        found = ability(self.task, self.prompts(n, split, seed)[0], self.intact(n, split, seed))
        return () if found is None else found.doubts(metric)

    def readout(
        self, metric: str, batch: Batch, subject: Subject | None = None
    ) -> AnswerReadout | PairReadout | FirstReadout:
        """The cheapest readout of the metric for the lab's subject (or a copy of it)."""
        if is_distance(metric):
            return FirstReadout(batch, self.prediction(batch, subject))
        return readout_for(metric, batch)

    def whole_readout(self, batch: Batch, keep_log_probs: bool = False) -> AnswerReadout | FirstReadout:
        """The readout that gives every metric that the task has."""
        kind = FirstReadout if self.task.answer_kind == "open" else AnswerReadout
        return kind(batch, intact=self.prediction(batch), keep_log_probs=keep_log_probs)

    def prediction(self, batch: Batch, subject: Subject | None = None) -> torch.Tensor:
        """The intact subject's log-probabilities where answer and distractor first differ, [batch, vocabulary]."""
        readout = FirstReadout(batch, keep_log_probs=True)
        return engine.run(subject or self.subject, batch, [INTACT], readout)["log_probs"][0]

    def surprise(self, prompts: tuple[Prompt, ...], said: list[str]) -> np.ndarray:
        """The loss of texts after their prompts under the intact subject, [n] in nats per token.

        Some tokenizers drop the blank before the first word when they decode a text; it is restored if prompt and text
        would otherwise be joined. NaN for an empty text, and for one that still cannot be separated from its prompt.
        """
        found = np.full(len(said), np.nan)
        kept: list[tuple[int, Prompt]] = []
        for i, (prompt, text) in enumerate(zip(prompts, said, strict=True)):
            for answer in (text, f" {text}") if text else ():
                try:
                    encode_answer(self.subject.tokenizer, prompt.text, answer)
                except BadTask:
                    continue
                kept.append((i, prompt.model_copy(update={"answer": answer, "distractor": None})))
                break
        if kept:
            batch = make_batch(self.subject.tokenizer, [prompt for _, prompt in kept], self.subject.device)
            scores = engine.run(self.subject, batch, [INTACT], AnswerReadout(batch))
            found[[i for i, _ in kept]] = numbers(scores["loss"][0])
        return found

    def with_donors(self, n: int, split: Split, seed: int) -> Batch:
        """The same prompts, and after them others, so that each of these has prompts to take a mean or a resample from.

        The others come from the explore split, whatever split is measured on, and fit into the same columns. They are
        looked for once. See `engine.donors` for who lends to whom.
        """
        key = (n, split, seed)
        if key not in self._with_donors:
            drawn, batch = self.prompts(n, split, seed)
            others = more_donors(self, drawn, batch, seed)
            self._with_donors[key] = (
                make_batch(self.subject.tokenizer, [*drawn, *others], self.subject.device) if others else batch
            )
        return self._with_donors[key]

    def without_prompts(self, n: int, split: Split, seed: int) -> Lab:
        """The same subject and task without these prompts: to look for something that is then measured on them."""
        from .tasks.without_prompts import without_prompts

        return Lab(self.subject, without_prompts(self.task, n, split, seed), self.progress, self.kept, self._times,
                   self.before)  # fmt: skip

    def steps(self, what: str) -> Callable[[int, int], None]:
        """A progress callback of the engine's form, under a name."""
        return lambda done, total: self.progress(what, done, total)

    def run(
        self,
        doing: str,
        batch: Batch,
        interventions: Sequence[Intervention],
        readout: Readout,
        sources: Mapping[str, Source] | None = None,
        subject: Subject | None = None,
        narrowed: str | None = None,
    ) -> dict[str, torch.Tensor]:
        """`engine.run` on the lab's subject (or a copy), under a name for progress and for resuming."""
        if self.before is not None:
            self.before(self.expected(batch, interventions, readout, subject or self.subject, narrowed is not None))
        model = (subject or self.subject).model
        # What was begun in another way would not go together with the rest to the last bit.
        way = arithmetic(self.subject.device), sorted({str(p.dtype) for p in model.parameters()})
        what = repr((doing, interventions, type(readout).__name__, batch.ids.tolist(), narrowed, way))
        name = hashlib.sha256(what.encode()).hexdigest()[:16]
        times, self._times[name] = self._times[name], self._times[name] + 1
        kept = self.kept.setdefault(f"{name}_{times}" if times else name, {})
        return engine.run(subject or self.subject, batch, interventions, readout, sources, progress=self.steps(doing),
                          kept=kept, narrowed=narrowed)  # fmt: skip

    def expected(
        self, batch: Batch, interventions: Sequence[Intervention], readout: Readout, subject: Subject, narrowed: bool
    ) -> float:
        """About how many seconds a run will take. How fast the subject is here is measured once a length."""
        # A copy with shuffled weights has the subject's name, and another model.
        key = id(subject.model), batch.length
        if key not in self._speeds:
            self._speeds[key] = seconds_per_run(subject, batch, readout)
        return self._speeds[key] * len(batch) * whole_runs(interventions, subject.anatomy.n_layers, narrowed)

    def speak(
        self,
        batch: Batch,
        interventions: list[Intervention],
        sources: Mapping[str, Source] | None = None,
    ) -> list[list[str]]:
        """Greedy continuations [intervention][prompt], as long as this task's answers may be."""
        return engine.generate(
            self.subject,
            batch,
            interventions,
            self.task.max_new_tokens,
            self.task.stop,
            sources,
            self.steps("speaking"),
        )

    def correct(self, prompts: tuple[Prompt, ...], said: list[str]) -> np.ndarray:
        """Which of the generated texts answer their prompts, [n] of 0.0 and 1.0."""
        kind = self.task.answer_kind
        return np.array([failures.is_right(p, s, kind) for p, s in zip(prompts, said, strict=True)], dtype=float)

    def samples(
        self, prompts: tuple[Prompt, ...], said: list[str], changed: list[str] | None = None, condition: str = ""
    ) -> tuple[Sample, ...]:
        """What was said, before and after, prompt by prompt."""
        kind = self.task.answer_kind
        after = changed if changed is not None else [None] * len(said)
        if kind == "open":
            return tuple(
                Sample(prompt=p.text, expected="", said=s, changed=c, condition=condition)
                for p, s, c in zip(prompts, said, after, strict=True)
            )
        return tuple(
            Sample(
                prompt=p.text, expected=p.answer, said=s, changed=c, condition=condition,
                correct=failures.is_right(p, s, kind),
                changed_correct=None if c is None else failures.is_right(p, c, kind),
                failure=failures.failure(p, s if c is None else c, kind),
            )
            for p, s, c in zip(prompts, said, after, strict=True)
        )  # fmt: skip


def lab_of(subject: Subject, task: Task, chat: bool = False, system: str | None = None) -> Lab:
    """The lab of this subject and task, as plain text or through the subject's chat template.

    Raises BadTask if the task does not fit the tokenizer, and BadConfiguration if there is no chat template.
    """
    from .model.chat import through_chat

    fitted = task.for_tokenizer(subject.tokenizer)
    return Lab(*through_chat(subject, fitted, system)) if chat else Lab(subject, fitted)


def numbers(values: torch.Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
