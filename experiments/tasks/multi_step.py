"""Two operations in sequence: "(2 + 3) * 2 =" after two solved lines, or the same in words.

Every operand, intermediate result and answer is one digit from 1 to 9, so prompts of a template have the same number of
tokens in any tokenizer that splits digits. The distractor is the intermediate result if possible: the answer of a model
that stops halfway.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from .family import Family, choose, fill
from .prompt import Prompt, Split, split_of
from .question import Question, numbers_in
from .task import Task
from .values import operands

APPLY = {"+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y}
IN_WORDS = {"+": "Add", "-": "Subtract", "*": "Multiply by"}
LINES, WORDS = 0, 1


class Steps(NamedTuple):
    """(a operator_1 b) operator_2 c"""

    a: int
    operator_1: str
    b: int
    operator_2: str
    c: int

    @property
    def halfway(self) -> int:
        return APPLY[self.operator_1](self.a, self.b)

    @property
    def result(self) -> int:
        return APPLY[self.operator_2](self.halfway, self.c)

    @property
    def key(self) -> str:
        a, b = (self.b, self.a) if self.operator_1 in "+*" and self.b < self.a else (self.a, self.b)
        return f"({a}{self.operator_1}{b}){self.operator_2}{self.c}"


@cache
def contents() -> tuple[Steps, ...]:
    """All chains that stay within 1 to 9 and never multiply by 1; without two products in a row (there is only one)."""
    digits = range(1, 10)
    chains = (
        Steps(a, first, b, second, c)
        for first in APPLY
        for second in APPLY
        if first + second != "**"
        for a in digits
        for b in digits
        if 1 <= APPLY[first](a, b) <= 9 and not (first == "*" and 1 in (a, b))
        for c in digits
        if not (second == "*" and c == 1)
    )
    return tuple(s for s in chains if 1 <= s.result <= 9 and not (s.operator_2 == "*" and s.halfway == 1))


@cache
def alike(first: str, second: str) -> tuple[Steps, ...]:
    """All chains of these operations."""
    return tuple(s for s in contents() if (s.operator_1, s.operator_2) == (first, second))


@cache
def corruptions(steps: Steps) -> tuple[Steps, ...]:
    """The same chain with one other number and another result, of the same split."""
    return tuple(
        s
        for s in alike(steps.operator_1, steps.operator_2)
        if (s.a != steps.a) + (s.b != steps.b) + (s.c != steps.c) == 1
        and s.result != steps.result
        and split_of(s.key) == split_of(steps.key)
    )


@cache
def same_key(steps: Steps) -> tuple[Steps, ...]:
    """All chains with the same key: both orders of a first sum or product."""
    return tuple(s for s in alike(steps.operator_1, steps.operator_2) if s.key == steps.key and corruptions(s))


@cache
def lines(operations: tuple[str, str] | None, results: frozenset[int], split: Split) -> tuple[Steps, ...]:
    """Chains for a solved line: of these operations, or of any, with other results than these.

    They are of the same split as the question, so no line reveals a held-out answer.
    """
    return tuple(
        s
        for s in (alike(*operations) if operations else contents())
        if s.result not in results and split_of(s.key) == split
    )


def operations(steps: Steps, style: int) -> tuple[str, str] | None:
    """The operations of the solved lines: in words, those of the question, so that prompts align."""
    return None if style == LINES else (steps.operator_1, steps.operator_2)


@cache
def fitting(steps: Steps, style: int, first: int) -> tuple[Steps, ...]:
    """The corrupted chains that, after a first line with this result, leave a second line with another one."""
    of, split = operations(steps, style), split_of(steps.key)
    return tuple(
        t
        for t in corruptions(steps)
        if t.result != first and lines(of, frozenset({steps.result, t.result, first}), split)
    )


@cache
def first_lines(steps: Steps, style: int) -> tuple[Steps, ...]:
    """The chains for the first line."""
    possible = lines(operations(steps, style), frozenset({steps.result}), split_of(steps.key))
    return tuple(s for s in possible if fitting(steps, style, s.result))


@cache
def variants(steps: Steps, style: int) -> int:
    return sum(len(first_lines(s, style)) for s in same_key(steps))


@cache
def asked() -> tuple[Steps, ...]:
    """One chain per key, among those that can follow two solved lines in both styles."""
    chains = {s.key: s for s in contents() if corruptions(s)}
    return tuple(s for s in chains.values() if variants(s, LINES) and variants(s, WORDS))


def say(steps: Steps, style: int) -> tuple[str, dict[str, tuple[int, int]]]:
    if style == LINES:
        return fill("({a} {operator_1} {b}) {operator_2} {c} =", **steps._asdict())
    words = steps._asdict() | {"operator_1": IN_WORDS[steps.operator_1], "operator_2": IN_WORDS[steps.operator_2]}
    return fill("Start with {a}. {operator_1} {b}. {operator_2} {c}. The result is", **words)


def mistakes(steps: Steps) -> list[int]:
    """The intermediate result, or results that are off by one."""
    if steps.halfway != steps.result:
        return [steps.halfway]
    return [d for d in (steps.result - 1, steps.result + 1) if 1 <= d <= 9]


def write(content: Steps, style: int, variant: int) -> Prompt:
    steps, *other = same_key(content)
    if variant >= len(first_lines(steps, style)):
        variant -= len(first_lines(steps, style))
        (steps,) = other
    first = first_lines(steps, style)[variant]
    by = f"{steps} {first}"
    twin = choose(fitting(steps, style, first.result), by)
    known = frozenset({steps.result, twin.result, first.result})
    second = choose(lines(operations(steps, style), known, split_of(steps.key)), by)
    full_stop = "" if style == LINES else "."
    before = "".join(f"{say(s, style)[0]} {s.result}{full_stop}\n" for s in (first, second))
    text, spans = say(steps, style)
    return Prompt(
        text=before + text,
        answer=f" {steps.result}",
        distractor=f" {choose(mistakes(steps), by)}",
        corrupted=before + say(twin, style)[0],
        corrupted_answer=f" {twin.result}",
        spans={name: (start + len(before), end + len(before)) for name, (start, end) in spans.items()},
        template="multi_step.lines" if style == LINES else f"multi_step.words{steps.operator_1}{steps.operator_2}",
        key=steps.key,
        operands=(steps.a, steps.b, steps.c),
        values=known_values(steps),
    )


def known_values(steps: Steps) -> dict[str, str]:
    # In words, the spans of the operators are "Add" and the like.
    return {
        **operands((steps.a, steps.b, steps.c)),
        "operator_1": steps.operator_1,
        "operator_2": steps.operator_2,
        "halfway": str(steps.halfway),
    }


def ask(prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
    """Another chain, whose result no solved line shows."""
    numbers, signs = numbers_in(texts, "abc"), {word: sign for sign, word in IN_WORDS.items()}
    if numbers is None:
        return None
    first, second = (signs.get(texts[name], texts[name]) for name in ("operator_1", "operator_2"))
    steps = Steps(numbers[0], first, numbers[1], second, numbers[2])
    shown = any(f" {steps.result}{end}\n" in prompt.text for end in ("", "."))
    if steps not in alike(first, second) or shown:
        return None
    return Question(steps.key, f" {steps.result}", known_values(steps))


MULTI_STEP = Task(
    name="multi_step",
    title="Two operations in a row",
    description="Does two operations (+ - *) after two solved lines, in brackets or in words; results are 1 to 9.\n"
    "Chance is about 1 in 8; copying a result from the solved lines is never right.",
    keywords=(
        *("multi-step", "multiple steps", "several steps", "two steps", "two operations", "brackets"),
        *("arithmetic", "math", "mathematics"),
    ),
    formulas=("(1+1)*1", "(1-1)*1", "1*1+1", "1*1-1", "1+1-1", "1-1+1", "1-1-1"),
    answer_kind="number",
    max_new_tokens=6,
    group="arithmetic",
    source=Family(
        "multi_step 2",
        asked,
        key=lambda steps: steps.key,
        variants=variants,
        write=write,
        strata=2,
        ask=ask,
    ),
)
