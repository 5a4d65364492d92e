"""Can the subject do the task at all? What is removed from a model that cannot shows nothing.

It can when its accuracy is above chance, and when it prefers the answer to the distractor in more than half of the
prompts, both by the whole 95% interval. Intervals count questions, not prompts: sixty prompts that ask ten sums are
ten. What chance is, `chance` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chance import Chance, chance_of
from .result import UNABLE, Measurement
from .statistics import share

if TYPE_CHECKING:
    from .lab import Intact
    from .tasks.prompt import Prompt
    from .tasks.task import Task


@dataclass(frozen=True)
class Ability:
    """The measurements that decide, and why the subject cannot do the task: empty when it can."""

    accuracy: Measurement
    chance: Chance
    prefers_answer: Measurement | None
    reasons: tuple[str, ...]
    questions: int

    @property
    def told(self) -> str:
        """The verdict in a sentence or two."""
        if not self.reasons:
            prefers = ", and prefers the answer to the distractor" if self.prefers_answer else ""
            return f"It can do the task: it is above a chance of {self.chance.told}{prefers}."
        return f"It is not shown to do the task at all: {self.why}. What removing a part changes here may mean nothing."

    @property
    def why(self) -> str:
        """All reasons against it, and how few questions they rest on where prompts share them."""
        assert self.accuracy.n is not None
        few = f" ({self.accuracy.n} prompts that ask {self.questions} different questions)"
        return " and ".join(self.reasons) + (few if self.questions < self.accuracy.n else "")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a result has to say about it: nothing when the subject can do the task."""
        return (f"On these prompts {UNABLE}: {self.why}; what is found here may mean nothing.",) if self.reasons else ()


def ability(task: Task, prompts: Sequence[Prompt], intact: Intact) -> Ability | None:
    """The verdict on the intact subject's answers to these prompts; None for open prompts, where nothing is asked."""
    if intact.correct is None:
        return None
    asked = [p.key for p in prompts]
    accuracy, chance = share("accuracy", intact.correct, asked), chance_of(task, prompts)
    reasons: list[str] = []
    assert accuracy.low is not None
    if accuracy.low <= chance.value:
        reasons.append(f"its accuracy of {accuracy.told} is not above a chance of {chance.told}")
    prefers: Measurement | None = None
    if "logit_diff" in intact.scores:
        prefers = share("prefers_answer", (intact.scores["logit_diff"] > 0).astype(float), asked)
        assert prefers.low is not None
        if prefers.low <= 0.5:
            reasons.append(f"it prefers the answer in a share of {prefers.told}, not in more than half")
    return Ability(accuracy, chance, prefers, tuple(reasons), len(set(asked)))
