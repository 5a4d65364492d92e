"""The next argument of a docstring (Heimersheim and Janiak, 2023): after `:param` comes the third documented one.

A function has 2 + 3 + 1 arguments; the docstring describes two of the three in the middle, and the third is next. In
the corrupted prompt, the definition has another third argument. Words are random.
"""

from __future__ import annotations

import random

from .drawn import MOST, Drawn
from .family import fill
from .fitted import Fitted
from .prompt import Prompt, Split, split_of
from .task import Task
from .vocabulary import NOUNS

TEXT = '''def {name}(self, {r1}, {r2}, {a}, {b}, {c}, {r3}):
    """{d1} {d2}

    :param {said_a}: {d3} {d4}
    :param {said_b}: {d5} {d6}
    :param'''
ARGUMENTS = 6
PARTS = ("name", "r1", "r2", "a", "b", "c", "r3", "d1", "d2", "d3", "d4", "d5", "d6")


def key(words: dict[str, str]) -> str:
    """The three arguments that the docstring describes."""
    return " ".join(words[part] for part in "abc")


def family(nouns: tuple[str, ...]) -> Drawn:
    def draw(rng: random.Random, _kind: int, split: Split) -> Prompt | None:
        *drawn, new = rng.sample(nouns, len(PARTS) + 1)
        words: dict[str, str] = dict(zip(PARTS, drawn, strict=True))
        other = words | {"c": new}
        if not split_of(key(words)) == split == split_of(key(other)):
            return None
        text, spans = fill(TEXT, **words, said_a=words["a"], said_b=words["b"])
        return Prompt(
            text=text,
            answer=f" {words['c']}",
            distractor=f" {words[rng.choice(('r1', 'r2', 'r3'))]}",
            corrupted=fill(TEXT, **other, said_a=words["a"], said_b=words["b"])[0],
            corrupted_answer=f" {new}",
            spans={part: spans[part] for part in ("r1", "r2", "a", "b", "c", "r3", "said_a", "said_b")},
            template="docstring",
            key=key(words),
            values={"name": words["name"]},
        )

    return Drawn("docstring 1", draw, most=MOST if len(nouns) >= 100 else 0)


DOCSTRING = Task(
    name="docstring",
    title="The next argument of a docstring",
    description="Names the argument that the docstring of a Python function describes next, the third of three.\n"
    "Chance is 1 in 6, one of the arguments; against the distractor, which is not described, it is 1 in 2.",
    keywords=("docstring", "python", "argument", "source code"),
    answer_kind="word",
    max_new_tokens=4,
    stop=("\n", ":"),
    guess=lambda _: 1 / ARGUMENTS,
    group="code",
    source=Fitted(NOUNS, lambda tokens, noun: tokens.single(f" {noun}"), "words that are one token", family),
)
