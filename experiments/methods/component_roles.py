"""The role of a part, from its measured scores: which score is beyond its control.

No rule has a threshold in the units of a model. A score of a part is compared with the same score of parts that are not
in the circuit (`beyond`), with one half (`MAJORITY`: more attention than all other places together), or with the same
score where the part is known to be additive (`joint`). The rules:

    idle            removing it (zero, mean) or patching it changes the answer no more than other parts do, and so does
                    what it adds directly to the answer's logit
    adds_constant   only setting it to zero changes the answer: its mean, or its value on another prompt, serves as well
    reads_position  a head: more than half of its attention is at one fixed place (a number of tokens back, or a
                    position), on random tokens and where the task needs the head
    moves_token     a head that does not, and raises the token that it attends to
    computes        the change if two of its inputs are replaced together is not the sum of the changes if each is
    suppresses      it lowers the answer's logit directly; or a head attends by content and lowers what it attends to
    writes_answer   it raises the answer's logit directly
    unclear         it is not idle, and none of these holds, or these prompts are too few to show it

The first that holds, in an order that depends on the kind of part, is its role; the others are kept. A head computes
only if nothing else describes it: all attention multiplies two inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..result import Effect
from ..statistics.strongest import clear

Role = Literal[
    "idle", "adds_constant", "reads_position", "moves_token", "computes", "suppresses", "writes_answer", "unclear"
]
ROLES: tuple[Role, ...] = (
    "idle", "adds_constant", "reads_position", "moves_token", "computes", "suppresses", "writes_answer", "unclear"
)  # fmt: skip
HEAD_ORDER: tuple[Role, ...] = ("reads_position", "moves_token", "suppresses", "writes_answer", "computes")
MLP_ORDER: tuple[Role, ...] = ("computes", "suppresses", "writes_answer")
MAJORITY = 0.5
# Farther than three deviations from the others' median is an outlier; a deviation is 1.4826 median absolute deviations
# of normal values. Float32 logits are off by some 1e-5, so a change of a thousandth is none.
DEVIATIONS, TO_DEVIATION, LEAST = 3.0, 1.4826, 1e-3


def bound_of(others: Sequence[float]) -> float:
    """The size that a score must exceed to be beyond the same score of other parts: their median size, and three
    deviations. The median, because some of the others may belong to the circuit, too."""
    if not len(others):
        return LEAST
    sizes = np.abs(np.asarray(others, dtype=float))
    middle = np.median(sizes)
    return float(max(LEAST, middle + DEVIATIONS * TO_DEVIATION * np.median(np.abs(sizes - middle))))


@dataclass(frozen=True)
class Compared:
    """A score with its interval, and the bound that the same score of other parts gives."""

    effect: Effect
    bound: float

    @property
    def beyond(self) -> bool:
        """Whether it differs from 0 beyond chance, and by more than the bound."""
        return clear(self.effect) and not self.within

    @property
    def within(self) -> bool:
        """Whether its size is at most the bound."""
        return abs(self.effect.value) <= self.bound


@dataclass(frozen=True)
class Place:
    """The fixed place where a head attends most on random tokens, and how much of its attention is there: on other
    random tokens, and on the task's prompts, where the task needs the head (None if no place of it is needed)."""

    name: str
    on_random: float
    on_task: float | None

    @property
    def fixed(self) -> bool:
        return self.on_random > MAJORITY and (self.on_task is None or self.on_task > MAJORITY)


@dataclass(frozen=True)
class Evidence:
    """All scores of a part. A head has a place and copying; joint is missing if fewer than two inputs matter, or
    if it decides nothing.

    removed   by zero, mean and corrupted: the share of the difference that is lost
    direct    what it adds to the answer's logit minus the distractor's, in logits
    copying   the share of random tokens that a head raises above all others when it attends to them; `suppression`,
              the share that it lowers below all others
    joint     the share of the change by two inputs that is not additive, minus that of two halves of its own output
    """

    removed: dict[str, Compared]
    direct: Compared
    place: Place | None = None
    copying: Compared | None = None
    suppression: Compared | None = None
    joint: Effect | None = None

    @property
    def scores(self) -> list[Effect]:
        """All scores as effects at the part."""
        found = [one.effect for one in (*self.removed.values(), self.direct)]
        site, n = self.direct.effect.site, self.direct.effect.n
        if self.place is not None:
            there = {"place_on_random": self.place.on_random, "place_on_task": self.place.on_task}
            found += [Effect(site=site, metric=name, value=value, low=value, high=value, n=n)
                      for name, value in there.items() if value is not None]  # fmt: skip
        found += [one.effect for one in (self.copying, self.suppression) if one is not None]
        return found if self.joint is None else [*found, self.joint]

    @property
    def summary(self) -> str:
        """The scores in words, each with its bound."""
        words = [f"{by} {one.effect.value:+.2f} ({one.bound:.2f})" for by, one in self.removed.items()]
        words.append(f"direct {self.direct.effect.value:+.2f} logits ({self.direct.bound:.2f})")
        if self.place is not None:
            on_task = "" if self.place.on_task is None else f", on the task {self.place.on_task:.2f}"
            words.append(f"attends to {self.place.name} {self.place.on_random:.2f}{on_task}")
        words += [f"{name} {one.effect.value:.2f} ({one.bound:.2f})"
                  for name, one in (("copying", self.copying), ("suppression", self.suppression)) if one]  # fmt: skip
        if self.joint is not None:
            words.append(f"joint {self.joint.text}")
        return ", ".join(words)

    @property
    def holds(self) -> set[Role]:
        direct, found = self.direct, set[Role]()
        if direct.beyond:
            found.add("writes_answer" if direct.effect.value > 0 else "suppresses")
        if self.place is not None and self.place.fixed:
            found.add("reads_position")
        elif self.copying is not None and self.copying.effect.low > self.copying.bound:
            found.add("moves_token")
        elif self.suppression is not None and self.suppression.effect.low > self.suppression.bound:
            found |= set[Role]() if "writes_answer" in found else {"suppresses"}
        if self.joint is not None and self.joint.low > 0:
            found.add("computes")
        return found


def roles_of(evidence: Evidence) -> tuple[Role, ...]:
    """The role of a part, and after it the others that hold."""
    removed, direct = evidence.removed, evidence.direct
    if direct.within and removed["mean"].within and removed["corrupted"].within:
        if removed["zero"].within:
            return ("idle",)
        return ("adds_constant",) if removed["zero"].beyond else ("unclear",)
    if not any(one.beyond for one in (direct, *removed.values())):
        return ("unclear",)
    is_head, holds = evidence.place is not None, evidence.holds
    if is_head and len(holds) > 1:
        holds -= {"computes"}
    return tuple(role for role in (HEAD_ORDER if is_head else MLP_ORDER) if role in holds) or ("unclear",)
