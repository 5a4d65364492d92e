"""Word problems of two or three steps in the style of GSM8K (arXiv 2110.14168), generated here.

Every problem contains three numbers, each once, as a digit. So one triple fits every story, and it is the key: the same
numbers are never in both splits. In the corrupted prompt one of the three is another digit. No text of the dataset is
used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from .family import Family, choose, fill
from .prompt import Prompt, split_of
from .question import Question, numbers_in
from .task import Task

Triple = tuple[int, int, int]


class Story(NamedTuple):
    """`steps` is evaluated from left to right, as in a + b - c; its numbers are the prompt's operands."""

    text: str
    steps: str


STORIES = (
    Story(
        "{name} has {a} {things} and buys {b} more. Then {he} gives {c} {things} to a friend. "
        "How many {things} does {name} have left?",
        "a + b - c",
    ),
    Story(
        "{name} buys {a} bags with {b} {things} in each. On the way home {he} loses {c} of the {things}. "
        "How many {things} does {name} have now?",
        "a * b - c",
    ),
    Story(
        "{name} had {a} boxes of {things} and gave {c} of the boxes away. There are {b} {things} in each box. "
        "How many {things} are in the boxes that {he} kept?",
        "a - c * b",
    ),
    Story(
        "Every day {name} collects {a} {things} in the morning and {b} in the afternoon. "
        "How many {things} does {he} collect in {c} days?",
        "a + b * c",
    ),
    Story(
        "{name} fills {a} boxes with {b} {things} each, and has {c} {things} that did not fit. "
        "How many {things} does {he} have altogether?",
        "a * b + c",
    ),
    Story(
        "{name} has {a} {things}. Robin has {b} more {things} than {name}. Together they give away {c} {things}. "
        "How many {things} do the two of them have now?",
        "a + b + a - c",
    ),
    Story(
        "{name} had {a} {things} in spring and twice as many in summer. In autumn {he} found {b} more and lost {c}. "
        "How many {things} did {name} have in the end?",
        "a * 2 + b - c",
    ),
    Story(
        "A box for {things} costs {a} dollars and a ribbon costs {c} dollars. "
        "{name} buys {b} boxes, each with a ribbon. How many dollars does {he} spend?",
        "a + c * b",
    ),
)
NAMES = (
    *(("Mary", "she"), ("Jane", "she"), ("Sarah", "she"), ("Anna", "she"), ("Maria", "she"), ("Alice", "she")),
    *(("Tom", "he"), ("Ben", "he"), ("David", "he"), ("Paul", "he"), ("Henry", "he"), ("Peter", "he")),
)
THINGS = ("apples", "pencils", "marbles", "stickers", "books", "cookies", "shells", "coins", "cards", "stamps")


def triples() -> list[Triple]:
    """Three numbers from 2 to 9, the third below the first: all stories make sense with them."""
    return [(a, b, c) for a in range(3, 10) for b in range(2, 10) for c in range(2, a)]


def key(numbers: Triple) -> str:
    return ",".join(map(str, numbers))


def operands(steps: str, numbers: Triple) -> list[int]:
    return [numbers["abc".index(word)] if word in "abc" else int(word) for word in steps.split()[::2]]


def results(steps: str, numbers: Triple) -> list[int]:
    """The result after each step, the answer last."""
    first, *others = operands(steps, numbers)
    reached = [first]
    for operator, value in zip(steps.split()[1::2], others, strict=True):
        reached.append({"+": reached[-1] + value, "-": reached[-1] - value, "*": reached[-1] * value}[operator])
    return reached[1:]


@cache
def corruptions(steps: str, numbers: Triple) -> list[Triple]:
    """Triples of the same split with one other number and another answer, with as many digits if possible."""
    a, b, c = numbers
    changes = [other for d in range(2, 10) for other in ((d, b, c), (a, d, c), (a, b, d))]
    answer, possible = results(steps, numbers)[-1], set(triples())
    found = [
        other
        for other in changes
        if other in possible and results(steps, other)[-1] != answer and split_of(key(other)) == split_of(key(numbers))
    ]
    return [other for other in found if len(str(results(steps, other)[-1])) == len(str(answer))] or found


def mistakes(steps: str, numbers: Triple) -> list[int]:
    """Intermediate results, or results that are off by one, with as many digits as the answer."""
    *halfway, answer = results(steps, numbers)
    return sorted(
        {d for d in (*halfway, answer - 1, answer + 1) if d != answer and len(str(d)) == len(str(answer)) and d > 0}
    )


def variants(_numbers: Triple, _story: int) -> int:
    return len(NAMES) * len(THINGS)


def write(numbers: Triple, story: int, variant: int) -> Prompt:
    text, steps = STORIES[story]
    name, he = NAMES[variant % len(NAMES)]
    words = {"name": name, "he": he, "things": THINGS[variant // len(NAMES)]}
    problem, spans = fill(text + "\nAnswer:", **words, **dict(zip("abc", numbers, strict=True)))
    twin = choose(corruptions(steps, numbers), problem)
    return Prompt(
        text=problem,
        answer=f" {results(steps, numbers)[-1]}",
        distractor=f" {choose(mistakes(steps, numbers), problem)}",
        corrupted=fill(text + "\nAnswer:", **words, **dict(zip("abc", twin, strict=True)))[0],
        corrupted_answer=f" {results(steps, twin)[-1]}",
        spans={part: spans[part] for part in ("name", "things", "a", "b", "c")},
        template=f"gsm8k.{story}",
        key=key(numbers),
        operands=tuple(operands(steps, numbers)),
        values=step_values(results(steps, numbers)),
    )


def step_values(reached: list[int]) -> dict[str, str]:
    return {f"step_{i}": str(result) for i, result in enumerate(reached, 1)}


def ask(prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
    """The same story with other numbers."""
    numbers, fixed = numbers_in(texts, "abc"), ("name", "things")
    own = {name: prompt.text[slice(*prompt.spans[name])] for name in fixed}
    # A pronoun belongs to the name, and things may occur again.
    if numbers is None or any(texts[name] != own[name] for name in fixed):
        return None
    numbers = numbers[0], numbers[1], numbers[2]
    if numbers not in triples():
        return None
    reached = results(STORIES[int(prompt.template.partition(".")[2])].steps, numbers)
    return Question(key(numbers), f" {reached[-1]}", step_values(reached))


GSM8K = Task(
    name="gsm8k",
    title="Word problems in two or three steps",
    description="Solves short stories with names, things and three small numbers, in the style of GSM8K.\n"
    "Chance is about 1 in 20, the share of the most frequent answer; answers have one to three digits.",
    keywords=(
        *("gsm8k", "gsm", "word problem", "worded problem", "story", "stories", "math problem", "grade school"),
        *("math", "mathematics", "arithmetic reasoning", "multi-step reasoning"),
    ),
    answer_kind="number",
    max_new_tokens=10,
    group="reasoning",
    source=Family("gsm8k 1", triples, key, variants=variants, write=write, strata=len(STORIES), ask=ask),
)
