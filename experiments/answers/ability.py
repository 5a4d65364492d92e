"""Two abilities of the intact subject on a task: it says the answer, and it prefers the answer.

It says the answer if the texts that it generates are right more often than a guesser's. It prefers the answer if it
scores the answer above the distractor more often than somebody who does not read the prompt. A small model may do only
the second: it prefers every capital to a wrong one, but writes something else. Both are worth studying, and each result
rests on one of them: a logit difference on preference, an accuracy on generated text. If a subject does neither, damage
shows nothing.

Each ability is an exact binomial test against chance (see `chance`). Questions count, not prompts: sixty prompts that
ask ten sums are ten trials; each counts by the share of its right prompts, and the sum is rounded down. If chance
differs between prompts, its mean is used, which makes no p too small
(Hoeffding, Annals of Mathematical Statistics 27, 1956).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from ..metrics import rests_on_preference
from ..notes import doubt
from ..result import Doubt, Measurement
from ..statistics.intervals import Array, clustered, share
from ..statistics.p_values import p_text
from .chance import LEVEL, Chance, chance_of, preference_chance

if TYPE_CHECKING:
    from ..lab import Intact
    from ..tasks.prompt import Prompt
    from ..tasks.task import Task


def exact_p(right: Array, chance: float, questions: Sequence[str]) -> float:
    """The probability that a guesser who is right with probability `chance` gets this many of the values [n] right."""
    sums, sizes = clustered(right, questions)
    successes = math.floor(float(np.sum(sums / sizes)) + 1e-9)
    return float(binom.sf(successes - 1, len(sizes), chance))


@dataclass(frozen=True)
class Grade:
    """A share of prompts (the accuracy, or `prefers_answer`), the chance level, and the p of the exact test."""

    share: Measurement
    chance: Chance
    p: float

    @property
    def shown(self) -> bool:
        return self.p < LEVEL

    @property
    def summary(self) -> str:
        """Such as "0.250 [0.132, 0.421] against a chance of 0.062 (always answering 'paris'), p = 0.0004"."""
        return f"{self.share.text} against a chance of {self.chance.summary}, p = {p_text(self.p, level=LEVEL)}"

    @property
    def measurements(self) -> tuple[Measurement, Measurement]:
        """The share, and its p."""
        return self.share, Measurement(name=f"{self.share.name}_p", value=self.p)


@dataclass(frozen=True)
class Ability:
    """Both abilities; `prefers` is None if not every prompt has a distractor. `questions` counts the questions."""

    says: Grade
    prefers: Grade | None
    questions: int

    @property
    def prefers_shown(self) -> bool:
        return self.prefers is not None and self.prefers.shown

    @property
    def able(self) -> bool:
        """Whether the subject is shown to say or to prefer the answer."""
        return self.says.shown or self.prefers_shown

    @property
    def summary(self) -> str:
        """The verdict in a sentence or two. The doubts say why neither is shown."""
        says, prefers = self.says, self.prefers
        if not self.able:
            return "It is not shown to do the task."
        said = f"It {'says the answer' if says.shown else 'is not shown to say the answer'} (accuracy {says.summary})"
        if prefers is None:
            return f"{said}."
        verb = "prefers" if prefers.shown else "is not shown to prefer"
        link = "and it" if says.shown == prefers.shown else "but it"
        return f"{said}, {link} {verb} the answer to the distractor (a share of {prefers.summary}).{self._few}"

    @property
    def why(self) -> str:
        """Why neither is shown."""
        says = f"to say the answer (accuracy {self.says.summary})"
        if self.prefers is None:
            return f"that is, {says}{self._few}"
        return f"neither {says} nor to prefer it to the distractor (a share of {self.prefers.summary}){self._few}"

    @property
    def _few(self) -> str:
        n = self.says.share.n
        assert n is not None
        return f" ({n} prompts that ask {self.questions} different questions)" if self.questions < n else ""

    def doubts(self, metric: str | None = None) -> tuple[Doubt, ...]:
        """The doubts of a result in this metric; empty if the subject does what the metric rests on.

        Metrics that compare the answer with a wrong one, such as the logit difference, rest on preference, an accuracy
        on generated text, and any other metric (or None) on either.
        """
        if not self.able:
            return (doubt("unable", why=self.why),)
        if self.prefers is not None and rests_on_preference(metric) and not self.prefers.shown:
            return (doubt("not_preferred", prefers=self.prefers.summary, says=self.says.summary),)
        if not self.says.shown:
            rests = "An accuracy rests on generated text" if metric == "accuracy" else "This result is about preference"
            return (doubt("not_said", rests=rests, says=self.says.summary),)
        return ()


def ability(task: Task, prompts: Sequence[Prompt], intact: Intact) -> Ability | None:
    """The verdict on the intact subject's answers to these prompts; None for open prompts, which have no answers."""
    if intact.correct is None:
        return None
    asked = [p.key for p in prompts]

    def grade(name: str, right: Array, chance: Chance) -> Grade:
        return Grade(share(name, right, asked), chance, exact_p(right, chance.value, asked))

    says = grade("accuracy", intact.correct, chance_of(task, prompts))
    prefers: Grade | None = None
    if "logit_diff" in intact.scores:
        prefers = grade("prefers_answer", (intact.scores["logit_diff"] > 0).astype(float), preference_chance(prompts))
    return Ability(says, prefers, len(set(asked)))
