"""Tasks of one operation on numbers of one to three digits, and sums of three numbers: as lines and as questions.

Numbers of one, two and three digits alternate, and so do the wordings: lines after two solved ones, and questions
without. A solved line has the same operation, number of digits and split as the question, and a different result from
the question and its corrupted prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from .family import Family, choose, fill
from .mixed import Mixed
from .operations import OPERATIONS, Numbers, Operation, contents, key
from .prompt import Prompt, Split, split_of
from .question import Question, numbers_in
from .task import Task

DIGITS = (1, 2, 3)
SHOWN = 24
CORRUPTIONS = 12


@cache
def own_split(name: str, digits: int, split: Split) -> tuple[Numbers, ...]:
    return tuple(n for n in contents(name, digits) if split_of(key(name, n)) == split)


@cache
def others(name: str, digits: int, numbers: Numbers) -> tuple[Numbers, ...]:
    """All numbers of the same split with another result, starting from any of them."""
    result = OPERATIONS[name].result
    pool = own_split(name, digits, split_of(key(name, numbers)))
    start = choose(range(len(pool)), key(name, numbers))
    return tuple(n for n in (*pool[start:], *pool[:start]) if result(n) != result(numbers))


@cache
def corruptions(name: str, digits: int, numbers: Numbers) -> tuple[Numbers, ...]:
    """Some others, best first: one number differs, and the result has as many digits."""
    result = OPERATIONS[name].result
    length = len(str(result(numbers)))

    def unlike(n: Numbers) -> tuple[bool, int]:
        return len(str(result(n))) != length, sum(x != y for x, y in zip(n, numbers, strict=True))

    ranked = sorted(others(name, digits, numbers), key=unlike)
    best = [n for n in ranked[:CORRUPTIONS] if unlike(n) == unlike(ranked[0])]
    # A solved line may show one of two results.
    return tuple(best) if len({result(n) for n in best}) > 1 else tuple(ranked[:CORRUPTIONS])


def mistakes(operation: Operation, numbers: Numbers) -> list[int]:
    """Results that are off by one or ten, or of another operation, with as many digits as the right one."""
    answer = operation.result(numbers)
    a, b = numbers[:2]
    near = {answer - 1, answer + 1, answer - 10, answer + 10, a + b, abs(a - b), a * b}
    return sorted(d for d in near if d > 0 and d != answer and len(str(d)) == len(str(answer)))


def orders(operation: Operation, numbers: Numbers) -> tuple[Numbers, ...]:
    """The numbers in both orders if the order does not matter."""
    return (numbers, numbers[::-1]) if operation.sign in "+*" and numbers != numbers[::-1] else (numbers,)


def say(template: str, numbers: Numbers) -> tuple[str, dict[str, tuple[int, int]]]:
    return fill(template, **dict(zip("abc", numbers, strict=False)))


def family(name: str, digits: int) -> Family[Numbers]:
    operation = OPERATIONS[name]
    result = operation.result

    def variants(numbers: Numbers, stratum: int) -> int:
        shown = 1 if stratum else min(SHOWN, len(others(name, digits, numbers)))
        return len(orders(operation, numbers)) * shown

    def write(numbers: Numbers, stratum: int, variant: int) -> Prompt:
        turned = orders(operation, numbers)
        shown, order = divmod(variant, len(turned))
        asked, by = turned[order], f"{numbers} {stratum} {variant}"
        first = others(name, digits, numbers)[shown]
        twin = choose([n for n in corruptions(name, digits, numbers) if result(n) != result(first)], by)
        before, template = "", operation.questions[stratum - 1] if stratum else operation.line
        if not stratum:
            known = {result(numbers), result(twin), result(first)}
            second = next(n for n in others(name, digits, first) if result(n) not in known)
            before = "".join(f"{say(operation.line, n)[0]} {result(n)}\n" for n in (first, second))
        text, spans = say(template, asked)
        return Prompt(
            text=before + text,
            answer=f" {result(numbers)}",
            distractor=f" {choose(mistakes(operation, numbers), by)}",
            corrupted=before + say(template, twin[::-1] if order else twin)[0],
            corrupted_answer=f" {result(twin)}",
            spans={part: (start + len(before), end + len(before)) for part, (start, end) in spans.items()},
            template=f"{name}.{digits}-{stratum}",
            key=key(name, numbers),
            operands=asked,
            values=operation.values(asked),
        )

    def ask(prompt: Prompt, texts: Mapping[str, str]) -> Question | None:
        """Other numbers, with as many digits in their result, that no solved line shows."""
        other = numbers_in(texts, "abc"[: operation.operands])
        if other is None:
            return None
        in_order = tuple(sorted(other)) if operation.sign in "+*" else other
        if min(other) < 1 or not operation.fits(in_order):
            return None
        answer = f" {result(other)}"
        if len(answer) != len(prompt.answer.strip()) + 1 or f"{answer}\n" in prompt.text:
            return None
        return Question(key(name, in_order), answer, operation.values(other))

    strata = 1 + len(operation.questions)
    return Family(
        f"{name} {digits} 2", lambda: contents(name, digits), lambda n: key(name, n), variants, write, strata, ask
    )


ABOUT = {
    "addition": (
        "Sums of numbers",
        ("addition", "big sums", "large numbers", "carry", "carrying", "add", "plus", "sum"),
    ),
    "subtraction": (
        "Differences of numbers",
        ("subtraction", "subtract", "minus", "borrow", "take away"),
    ),
    "multiplication": ("Products of numbers", ("multiplication", "multiply", "product", "times table")),
    "division": ("Quotients of numbers", ("division", "divide", "quotient", "divided by")),
    "three_operands": ("Sums of three numbers", ("three operands", "three numbers", "add three", "sum of three")),
}


def calculation(name: str) -> Task:
    title, keywords = ABOUT[name]
    return Task(
        name=name,
        title=f"{title} of one to three digits",
        description="One operation with numbers of one, two and three digits in turn, after solved lines or in words.\n"
        "Chance is below 1 in 5 for one digit, near 0 for more; copying a result is never right.",
        keywords=(*keywords, "arithmetic", "calculate"),
        formulas=(OPERATIONS[name].sign.join("abc"[: OPERATIONS[name].operands]),),
        answer_kind="number",
        max_new_tokens=24,
        group="arithmetic",
        source=Mixed(tuple(family(name, digits) for digits in DIGITS)),
    )


CALCULATIONS = tuple(calculation(name) for name in OPERATIONS)
