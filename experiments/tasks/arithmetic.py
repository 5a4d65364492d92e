"""Sums of two small numbers: as lines after two solved lines, and as questions.

Operands and results are single digits, so that all prompts of a template have the same number of tokens in
any tokenizer that splits digits. A sum and its reverse share their key ("3+4"), in both tasks. No solved line has the
result of the asked sum or of its corrupted prompt, so copying a result is never right.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

from .family import Family, choose, fill
from .prompt import Prompt, split_of
from .task import Task

Sum = tuple[int, int]

QUESTIONS = (
    "Q: What is the sum of {a} and {b}? A:",
    "Q: What is {a} {operator} {b}?\nA:",
    "Question: What is {a} plus {b}?\nAnswer:",
    "Q: How much is {a} plus {b}? A:",
    "Q: What do you get when you add {a} and {b}? A:",
    "Calculate {a} {operator} {b}.\nAnswer:",
    "If you add {a} and {b}, you get",
    "The sum of {a} and {b} is",
)


def pairs() -> list[Sum]:
    """Every sum of two operands from 1 that stays below 10, the smaller operand first."""
    return [(a, b) for a in range(1, 9) for b in range(a, 10 - a)]


def key(pair: Sum) -> str:
    return f"{min(pair)}+{max(pair)}"


def together(one: Sum, other: Sum) -> bool:
    return split_of(key(one)) == split_of(key(other))


def both_orders(pair: Sum) -> list[Sum]:
    """The sum in both orders; one for a double."""
    return [pair] if pair[0] == pair[1] else [pair, (pair[1], pair[0])]


@cache
def few_shot(pair: Sum) -> list[tuple[Sum, Sum, Sum]]:
    """All (asked sum, first line, second line) with three different results that leave a fourth for a corrupted prompt.

    The lines are of the same split as the asked sum: a solved line with a sum of the other split would reveal a
    held-out answer.
    """
    lines = [
        line for other in pairs() if sum(other) != sum(pair) and together(other, pair) for line in both_orders(other)
    ]
    return [
        (asked, x, y)
        for asked in both_orders(pair)
        for x, y in permutations(lines, 2)
        if sum(x) != sum(y) and corruptions(asked, frozenset({sum(x), sum(y)}))
    ]


@cache
def corruptions(pair: Sum, shown: frozenset[int]) -> list[Sum]:
    """Sums with another second operand, and a result different from this one and those shown.

    If there are none (8 + 1), with another first operand. They are of the same split as the sum, so its corrupted
    prompt reveals nothing about the other split.
    """
    a, b = pair
    for change in ([(a, d) for d in range(1, 10 - a)], [(d, b) for d in range(1, 10 - b)]):
        if found := [s for s in change if sum(s) not in {a + b, *shown} and together(s, pair)]:
            return found
    return []


def mistakes(pair: Sum) -> list[int]:
    """Plausible wrong results, all single digits: off by one, or of another operation."""
    a, b = pair
    right = a + b
    return sorted({d for d in (right - 1, right + 1, abs(a - b), a * b) if 1 <= d <= 9 and d != right})


def prompt(template: str, name: str, pair: Sum, shown: set[int]) -> Prompt:
    """The sum in a template with the fields a, b and operator; `shown` are the results in the template."""
    text, spans = fill(template, a=pair[0], b=pair[1], operator="+")
    twin = choose(corruptions(pair, frozenset(shown)), text)
    return Prompt(
        text=text,
        answer=f" {sum(pair)}",
        distractor=f" {choose(mistakes(pair), text)}",
        corrupted=fill(template, a=twin[0], b=twin[1], operator="+")[0],
        corrupted_answer=f" {sum(twin)}",
        spans=spans,
        template=name,
        key=key(pair),
        operands=pair,
    )


def write_lines(pair: Sum, _stratum: int, variant: int) -> Prompt:
    asked, *lines = few_shot(pair)[variant]
    solved = "".join(f"{a} + {b} = {a + b}\n" for a, b in lines)
    return prompt(solved + "{a} {operator} {b} =", "arithmetic.lines", asked, {sum(line) for line in lines})


def write_question(pair: Sum, stratum: int, variant: int) -> Prompt:
    return prompt(QUESTIONS[stratum], f"arithmetic.question-{stratum}", both_orders(pair)[variant], set())


ARITHMETIC = Task(
    name="arithmetic",
    title="Adding small numbers",
    description="Adds two numbers from 1 to 8 after two solved lines; the result is one digit, 2 to 9.\n"
    "Chance is about 1 in 5, for always saying 9; copying a result from the solved lines is never right.",
    keywords=(
        *("arithmetic", "add", "sum", "plus", "small numbers", "two numbers", "two digits", "digit", "small sums"),
        *("calculation", "math", "mathematics", "few-shot arithmetic"),
    ),
    answer_kind="number",
    max_new_tokens=6,
    group="arithmetic",
    source=Family("arithmetic 2", pairs, key, variants=lambda pair, _stratum: len(few_shot(pair)), write=write_lines),
)

ARITHMETIC_QUESTIONS = Task(
    name="arithmetic_questions",
    title="Questions about sums",
    description="Asks for the sum of two numbers from 1 to 8 in eight wordings, without solved examples.\n"
    "Chance is about 1 in 5, for always saying 9; the result is one digit.",
    keywords=(
        *("arithmetic question", "addition question", "math question", "questions about sums", "sum question"),
        *("arithmetic", "add", "sum", "plus"),
    ),
    answer_kind="number",
    max_new_tokens=12,
    group="arithmetic",
    source=Family(
        "arithmetic_questions 2",
        pairs,
        key,
        variants=lambda pair, _stratum: len(both_orders(pair)),
        write=write_question,
        strata=len(QUESTIONS),
    ),
)
