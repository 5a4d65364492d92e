"""Two tasks of repetition: copying a list, and continuing a periodic pattern.

The words are random, so only the prompt determines what comes next. In the corrupted prompt, another word replaces the
answer's word everywhere.
"""

from __future__ import annotations

import random

from .drawn import MOST, Drawn
from .fitted import Fitted
from .prompt import Prompt, Split, split_of
from .task import Group, Task
from .vocabulary import NOUNS

Words = tuple[str, ...]
LENGTHS = (3, 4, 5, 6)
PERIODS = (2, 3, 4)
GROUP: Group = "sequences"
NEED = "words that are one token"


def key(words: list[str]) -> str:
    return " ".join(sorted(words))


def drawn_words(rng: random.Random, nouns: Words, count: int, at: int, split: Split) -> tuple[list[str], str] | None:
    """Words of this split, and one that can replace the word at `at` within the split."""
    *words, new = rng.sample(nouns, count + 1)
    other = [*words[:at], new, *words[at + 1 :]]
    return (words, new) if split_of(key(words)) == split == split_of(key(other)) else None


def prompt(text: str, name: str, words: list[str], at: int, new: str) -> Prompt:
    """The prompt whose answer is the word at `at`; `text` contains {at} in its place."""
    right = words[at]
    start = text.index("{at}")
    return Prompt(
        text=text.replace("{at}", right),
        answer=f" {right}",
        distractor=f" {words[at - 1]}",
        corrupted=text.replace("{at}", new),
        corrupted_answer=f" {new}",
        spans={"answer": (start, start + len(right))},
        template=name,
        key=key(words),
        values={"words": str(len(words)), "at": str(at)},
    )


def copies(nouns: Words) -> Drawn:
    def draw(rng: random.Random, kind: int, split: Split) -> Prompt | None:
        count = LENGTHS[kind]
        at = rng.randrange(count)
        if (found := drawn_words(rng, nouns, count, at, split)) is None:
            return None
        words, new = found
        said = "".join(f" {word}" for word in words[:at])
        text = f"List: {' '.join([*words[:at], '{at}', *words[at + 1 :]])}\nThe same list again:{said}"
        return prompt(text, f"copying.{count}-{at}", words, at, new)

    return Drawn("copying 1", draw, kinds=len(LENGTHS), most=MOST if len(nouns) >= 100 else 0)


def patterns(nouns: Words) -> Drawn:
    def draw(rng: random.Random, kind: int, split: Split) -> Prompt | None:
        period, rounds = PERIODS[kind // 2], 2 + kind % 2
        at = rng.randrange(period)
        if (found := drawn_words(rng, nouns, period, at, split)) is None:
            return None
        words, new = found
        shown = [*words[:at], "{at}", *words[at + 1 :]]
        text = "".join(f" {word}" for word in [*shown * rounds, *shown[:at]])
        return prompt(text, f"repetition.{period}-{rounds}-{at}", words, at, new)

    return Drawn("repetition 1", draw, kinds=2 * len(PERIODS), most=5_000 if len(nouns) >= 100 else 0)


COPYING = Task(
    name="copying",
    title="Copying a list of words",
    description="Copies the next word of a list of three to six random words.\n"
    "Chance is 1 in 3 to 1 in 6: a word of the list.",
    keywords=("copy", "copying", "list of words", "same list"),
    answer_kind="word",
    max_new_tokens=8,
    guess=lambda p: 1 / (len(p.text.splitlines()[0].split()) - 1),
    group=GROUP,
    source=Fitted(NOUNS, lambda tokens, noun: tokens.single(f" {noun}"), NEED, copies),
)
REPETITION = Task(
    name="repetition",
    title="Periodic patterns of words",
    description="Continues a repeating pattern of two to four random words.\n"
    "Chance is 1 in 2 to 1 in 4: a word of the pattern.",
    keywords=("repetition", "pattern of words", "round and round", "periodic"),
    answer_kind="word",
    max_new_tokens=4,
    guess=lambda p: 1 / len(set(p.text.split())),
    group=GROUP,
    source=Fitted(NOUNS, lambda tokens, noun: tokens.single(f" {noun}"), NEED, patterns),
)
