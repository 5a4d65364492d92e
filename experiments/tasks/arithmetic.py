"""Sums of two numbers from 1 to 9: as lines after two solved lines, and as questions.

A sum and its reverse share their key ("3+4"), in both tasks: that makes 45 sums, about 22 in each split. A test counts
questions, so with fewer of them even a large effect would stay undecided. No solved line has the result of the asked
sum or of its corrupted prompt, so copying a result is never right. Solved lines and corrupted prompts have results with
as many digits as the asked sum, so all prompts of a template have the same number of tokens in any tokenizer that
splits digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import permutations

from .family import Family, choose, fill
from .prompt import Prompt, split_of
from .question import Question, numbers_in
from .task import Task
from .values import sum_values

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
    """Every sum of two operands from 1 to 9, the smaller operand first."""
    return [(a, b) for a in range(1, 10) for b in range(a, 10)]


def key(pair: Sum) -> str:
    return f"{min(pair)}+{max(pair)}"


def digits(pair: Sum) -> int:
    """How many digits the result has: 1 or 2."""
    return len(str(sum(pair)))


@cache
def alike(pair: Sum) -> frozenset[Sum]:
    """The sums of the same split whose results have as many digits as this one, in both orders."""
    return frozenset(
        turned
        for other in pairs()
        if split_of(key(other)) == split_of(key(pair)) and digits(other) == digits(pair)
        for turned in both_orders(other)
    )


def both_orders(pair: Sum) -> list[Sum]:
    """The sum in both orders; one for a double."""
    return [pair] if pair[0] == pair[1] else [pair, (pair[1], pair[0])]


@cache
def few_shot(pair: Sum) -> list[tuple[Sum, Sum, Sum]]:
    """All (asked sum, first line, second line) with three different results that leave a fourth for a corrupted prompt.

    The lines are of the same split as the asked sum: a solved line with a sum of the other split would reveal a
    held-out answer.
    """
    lines = sorted(line for line in alike(pair) if sum(line) != sum(pair))
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
    for change in ([(a, d) for d in range(1, 10)], [(d, b) for d in range(1, 10)]):
        if found := [s for s in change if sum(s) not in {a + b, *shown} and s in alike(pair)]:
            return found
    return []


def mistakes(pair: Sum) -> list[int]:
    """Plausible wrong results, with as many digits as the right one: off by one, or of another operation."""
    a, b = pair
    near = {a + b - 1, a + b + 1, abs(a - b), a * b} - {a + b}
    return sorted(d for d in near if d > 0 and len(str(d)) == digits(pair))


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
        values=sum_values(pair),
    )


def ask(prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
    """Another sum, with as many digits in its result, that no solved line shows."""
    own, numbers = prompt.operands, numbers_in(texts, "ab")
    if own is None or numbers is None:
        return None
    other = numbers[0], numbers[1]
    if other not in alike((own[0], own[1])) or f"= {sum(other)}\n" in prompt.text:
        return None
    return Question(key(other), f" {sum(other)}", sum_values(other))


def write_lines(pair: Sum, _stratum: int, variant: int) -> Prompt:
    asked, *lines = few_shot(pair)[variant]
    solved = "".join(f"{a} + {b} = {a + b}\n" for a, b in lines)
    template = f"arithmetic.lines-{digits(pair)}"
    return prompt(solved + "{a} {operator} {b} =", template, asked, {sum(line) for line in lines})


def write_question(pair: Sum, stratum: int, variant: int) -> Prompt:
    return prompt(QUESTIONS[stratum], f"arithmetic.question-{stratum}", both_orders(pair)[variant], set())


ARITHMETIC = Task(
    name="arithmetic",
    title="Adding small numbers",
    description="Adds two numbers from 1 to 9 after two solved lines; the result is 2 to 18.\n"
    "Chance is about 1 in 7, for always saying the commonest result; copying one of a solved line is never right.",
    keywords=(
        *("arithmetic", "add", "sum", "plus", "small numbers", "two numbers", "two digits", "digit", "small sums"),
        *("calculation", "math", "mathematics", "few-shot arithmetic"),
    ),
    formulas=("1+1",),
    answer_kind="number",
    max_new_tokens=6,
    group="arithmetic",
    source=Family(
        "arithmetic 3",
        pairs,
        key,
        variants=lambda pair, _stratum: len(few_shot(pair)),
        write=write_lines,
        ask=ask,
    ),
)

ARITHMETIC_QUESTIONS = Task(
    name="arithmetic_questions",
    title="Questions about sums",
    description="Asks for the sum of two numbers from 1 to 9 in eight wordings, without solved examples.\n"
    "Chance is about 1 in 7, for always saying the commonest result, 2 to 18.",
    keywords=(
        *("arithmetic question", "addition question", "math question", "questions about sums", "sum question"),
        *("arithmetic", "add", "sum", "plus"),
    ),
    formulas=("1+1",),
    answer_kind="number",
    max_new_tokens=12,
    group="arithmetic",
    source=Family(
        "arithmetic_questions 3",
        pairs,
        key,
        variants=lambda pair, _stratum: len(both_orders(pair)),
        write=write_question,
        strata=len(QUESTIONS),
        ask=ask,
    ),
)
