"""What a fair guesser would get on some prompts who cannot do the task.

There are two of them. One always gives the same answer, the commonest of these prompts. The other reads the prompt and
picks at random among the answers that it offers: one of two names, a word of the list, a number of two digits. How many
those are is the task's to say (`Task.guess`). Chance is what the better of the two gets.

For the preference between answer and distractor, one guesser always prefers the same word, and the other picks one of
the two.
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
    """The accuracy of guessing, from 0 to 1, and how one guesses to get it."""

    value: float
    by: str

    @property
    def summary(self) -> str:
        return f"{self.value:.3f} ({self.by})"


def chance_of(task: Task, prompts: Sequence[Prompt]) -> Chance:
    """The chance level of one or more prompts that have answers."""
    # Counted as answers are graded: only a text is read letter by letter.
    fold = str if task.answer_kind == "text" else str.casefold
    answer, times = Counter(fold(p.answer.strip()) for p in prompts).most_common(1)[0]
    # Where all have one answer, saying it leaves no room above; then only what the prompts offer says what chance is.
    same = Chance(times / len(prompts), f"always answering {answer!r}") if times < len(prompts) else None
    if task.guess is None:
        return same or Chance(0.0, "nothing to guess from")
    picked = Chance(sum(map(task.guess, prompts)) / len(prompts), "picking one of the answers that the prompt offers")
    return same if same is not None and same.value > picked.value else picked


def preference_chance(prompts: Sequence[Prompt]) -> Chance:
    """The share of prompts whose answer is preferred by somebody who does not read them.

    Whoever always prefers one word is right where it is the answer, wrong where it is the distractor, and right in half
    of the other prompts.
    """
    wins = Counter(p.answer.strip().casefold() for p in prompts)
    wins.subtract((p.distractor or "").strip().casefold() for p in prompts)
    word, more = wins.most_common(1)[0]
    # Where one word is the answer of all, preferring it leaves no room above; and one prompt makes no preference.
    if 1 < more < len(prompts):
        return Chance(0.5 + 0.5 * more / len(prompts), f"always preferring {word!r}")
    return Chance(0.5, "picking one of the two")
