"""Repeated random words: the word that followed the first time follows again (induction, arXiv 2209.11895).

The text starts with a space, so every word has the same token in both copies; the tokenizer may add a BOS. The
corrupted prompt shuffles only the first copy: it has the same words, but another one follows the last word there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from .drawn import MOST, Drawn
from .fitted import Fitted
from .prompt import Prompt, Split, split_of
from .question import Question
from .task import Task
from .vocabulary import NOUNS

LENGTHS = (8, 12, 16, 20)
# How many corrupted word lists to try for one of the right split.
TRIES = 8


def line(first: list[str], second: list[str]) -> str:
    return "".join(f" {word}" for word in (*first, *second))


def corruption(rng: random.Random, words: list[str], last: str, answer: str, split: Split) -> list[str] | None:
    """The words in another order, in which another word than the answer follows `last`."""
    for _ in range(TRIES):
        other = rng.sample(words, len(words))
        after = other[(other.index(last) + 1) % len(words)]
        if other[-1] != last and after != answer and split_of(" ".join(other)) == split:
            return other
    return None


def ask(prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
    """The same words with another one after the repeated word."""
    words, answer = prompt.key.split(), texts["answer"]
    at = int(prompt.values["at"])
    if texts["before"] != words[at - 1] or texts["repeated"] != words[at - 1] or answer in words:
        return None
    return Question(" ".join([*words[:at], answer, *words[at + 1 :]]), f" {answer}", prompt.values)


def family(nouns: tuple[str, ...]) -> Drawn:
    def draw(rng: random.Random, kind: int, split: Split) -> Prompt | None:
        words = rng.sample(nouns, LENGTHS[kind])
        if split_of(" ".join(words)) != split:
            return None
        at = rng.randrange(len(words) // 2, len(words) - 1)
        last, answer = words[at], words[at + 1]
        other = corruption(rng, words, last, answer, split)
        if other is None:
            return None
        text = line(words, words[: at + 1])
        start = len(line(words[:at], [])) + 1
        return Prompt(
            text=text,
            answer=f" {answer}",
            distractor=f" {words[at - 1]}",
            corrupted=line(other, words[: at + 1]),
            corrupted_answer=f" {other[other.index(last) + 1]}",
            spans={
                "before": (start, start + len(last)),
                "answer": (start + len(last) + 1, start + len(last) + 1 + len(answer)),
                "repeated": (len(text) - len(last), len(text)),
            },
            template=f"induction.{len(words)}-{at + 1}",
            key=" ".join(words),
            values={"words": str(len(words)), "at": str(at + 1)},
        )

    return Drawn("induction 1", draw, kinds=len(LENGTHS), most=MOST if len(nouns) >= 2 * max(LENGTHS) else 0, ask=ask)


INDUCTION = Task(
    name="induction",
    title="Repeated random words",
    description="Continues a repeated list of 8 to 20 random words.\n"
    "Chance is 1 in 8 to 1 in 20, a word of the list; only the repetition shows what follows.",
    keywords=(
        *("induction", "induction head", "in-context", "in-context learning", "repeated words", "random words"),
        *("repeated tokens", "random tokens", "previous token", "prefix matching"),
    ),
    answer_kind="word",
    max_new_tokens=4,
    guess=lambda p: 1 / len(set(p.text.split())),
    group="sequences",
    source=Fitted(NOUNS, lambda tokens, noun: tokens.single(f" {noun}"), "words that are one token", family),
)
