"""Closing brackets: a JSON text that stops inside one to four brackets, and the closing brackets in order.

Every level is an array `["word", ...` or an object `{"word": ...`, which differ in two characters; so the corrupted
prompt opens one level with the other bracket and keeps the rest. Two complete lines of the same depth come first, to
show that the text should be closed here: one alternates arrays and objects, the other the reverse, so neither bracket
is more frequent. The innermost value is true, false or null: a quotation mark could form one token with the bracket
after it, and a number could continue.
"""

from __future__ import annotations

import random

from .drawn import Drawn
from .prompt import Prompt, Split, split_of
from .task import Task
from .vocabulary import NOUNS

DEEPEST = 4
OPEN = {"[": ("[", ","), "{": ("{", ":")}
VALUES = ("true", "false", "null")
CLOSE = {"[": "]", "{": "}"}


def written(brackets: str, words: list[str], value: str) -> tuple[str, dict[str, tuple[int, int]]]:
    """The text, and where each level opens: `level_0` is the outermost."""
    text, spans = "", {}
    for level, (bracket, word) in enumerate(zip(brackets, words, strict=True)):
        opening, separator = OPEN[bracket]
        spans[f"level_{level}"] = (len(text), len(text) + 1)
        text += f'{opening}"{word}"{separator} '
    return text + value, spans


def closers(brackets: str) -> str:
    return "".join(CLOSE[bracket] for bracket in reversed(brackets))


def with_other_bracket(brackets: str, level: int) -> str:
    return brackets[:level] + ("{" if brackets[level] == "[" else "[") + brackets[level + 1 :]


def drawn(rng: random.Random, depth: int, split: Split) -> tuple[list[str], str]:
    """The words and the value of a line of this split."""
    while True:
        words, value = rng.sample(NOUNS, depth), rng.choice(VALUES)
        if split_of(key(words, value)) == split:
            return words, value


def key(words: list[str], value: str) -> str:
    return " ".join((*words, value))


def draw(rng: random.Random, kind: int, split: Split) -> Prompt | None:
    depth = kind + 1
    shown = (("[{" * depth)[:depth], ("{[" * depth)[:depth])
    before = "".join(f"{written(s, *drawn(rng, depth, split))[0]}{closers(s)}\n" for s in shown)
    words, value = drawn(rng, depth, split)
    brackets = "".join(rng.choices("[{", k=depth))
    twin, wrong = (with_other_bracket(brackets, rng.randrange(depth)) for _ in range(2))
    text, spans = written(brackets, words, value)
    return Prompt(
        text=before + text,
        answer=closers(brackets),
        distractor=closers(wrong),
        corrupted=before + written(twin, words, value)[0],
        corrupted_answer=closers(twin),
        spans={level: (a + len(before), b + len(before)) for level, (a, b) in spans.items()},
        template=f"json_closing.{depth}-{brackets}",
        key=key(words, value),
        values={"depth": str(depth), "brackets": brackets, "value": value},
    )


JSON_CLOSING = Task(
    name="json_closing",
    title="Closing the brackets of JSON",
    description="Closes one to four open brackets of a JSON text in the right order, after two complete lines.\n"
    "Chance is 1 in 2 for each bracket: from 1 in 2 to 1 in 16.",
    keywords=("json", "bracket", "brackets", "nested", "nesting"),
    answer_kind="text",
    max_new_tokens=8,
    guess=lambda p: 0.5 ** len(p.answer),
    group="code",
    source=Drawn("json_closing 2", draw, kinds=DEEPEST, most=20_000),
)
