"""The chance level: the score of a guesser who cannot do the task.

There are two guessers. One always gives the same answer, the most frequent one of these prompts. The other reads the
prompt and chooses at random among the answers that it offers: one of two names, a word of the list, a two-digit number.
The task says how many those are (`Task.guess`). Chance is the score of the better guesser.

For the preference between answer and distractor, one guesser always prefers the same word, and the other chooses one of
the two at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tasks.prompt import Prompt
    from ..tasks.task import Task

# The p below which a subject does better than chance. One-sided, as the end of a 95% interval. There are two tests, so
# of the subjects that can do neither at most one in twenty passes one.
LEVEL = 0.025


@dataclass(frozen=True)
class Chance:
    """The accuracy of guessing, from 0 to 1, and the guesser's strategy."""

    value: float
    by: str

    @property
    def summary(self) -> str:
        return f"{self.value:.3f} ({self.by})"


def chance_of(task: Task, prompts: Sequence[Prompt]) -> Chance:
    """The chance level of one or more prompts that have answers."""
    # Counted in the way that answers are graded: only texts are compared letter by letter.
    fold = str if task.answer_kind == "text" else str.casefold
    answer, times = Counter(fold(p.answer.strip()) for p in prompts).most_common(1)[0]
    # If all have one answer, always saying it would be perfect; then only the offered answers give a chance level.
    same = Chance(times / len(prompts), f"always answering {answer!r}") if times < len(prompts) else None
    if task.guess is None:
        return same or Chance(0.0, "nothing to guess from")
    picked = Chance(sum(map(task.guess, prompts)) / len(prompts), "choosing one of the answers that the prompt offers")
    return same if same is not None and same.value > picked.value else picked


def preference_chance(prompts: Sequence[Prompt]) -> Chance:
    """The share of prompts for which a guesser who does not read them prefers the answer.

    A guesser who always prefers one word is right if it is the answer, wrong if it is the distractor, and right in half
    of the other prompts.
    """
    wins = Counter(p.answer.strip().casefold() for p in prompts)
    wins.subtract((p.distractor or "").strip().casefold() for p in prompts)
    word, more = wins.most_common(1)[0]
    # If one word is the answer of all, always preferring it would be perfect; one prompt shows no preference.
    if 1 < more < len(prompts):
        return Chance(0.5 + 0.5 * more / len(prompts), f"always preferring {word!r}")
    return Chance(0.5, "choosing one of the two")
