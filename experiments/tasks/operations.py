"""The operations of arithmetic: their names, wordings and numbers.

A question is "Q: ...", with "A:" on its own line: in other forms, models that were tuned to chat may stop before they
answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from .values import carry, combined, digits, operands

Numbers = tuple[int, ...]

# The most pairs to use for each number of digits.
MOST = 400
PLACES = ("ones", "tens", "hundreds")


class Operation(NamedTuple):
    """`line` and `questions` have the fields a, b (and c); `result` computes them; `fits` selects the numbers."""

    name: str
    sign: str
    line: str
    questions: tuple[str, ...]
    result: Callable[[Numbers], int]
    fits: Callable[[Numbers], bool]
    operands: int = 2

    def values(self, numbers: Numbers) -> dict[str, str]:
        """The operands, what the operation gives of two or three of them, the digits of the result, and what is carried
        or borrowed."""
        known = {**operands(numbers), **digits(self.result(numbers), PLACES)}
        match self.sign:
            case "+":
                return {**known, **combined(numbers, "+"), **carry(numbers)}
            case "-":
                a, b = numbers
                return {**known, "a-b": str(a - b), "borrow": str(int(a % 10 < b % 10))}
            case "*":
                return {**known, **combined(numbers, "*")}
            case _:
                return {**known, "a/b": str(self.result(numbers))}


def unordered(numbers: Numbers) -> bool:
    return all(a <= b for a, b in pairwise(numbers))


ADDITION = Operation(
    "addition",
    "+",
    "{a} + {b} =",
    ("Q: What is the sum of {a} and {b}?\nA:", "Q: What is {a} plus {b}?\nA:", "The sum of {a} and {b} is"),
    sum,
    unordered,
)
SUBTRACTION = Operation(
    "subtraction",
    "-",
    "{a} - {b} =",
    (
        "Q: What is the difference between {a} and {b}?\nA:",
        "Q: What is {a} minus {b}?\nA:",
        "If you take {b} away from {a}, what is left is",
    ),
    lambda n: n[0] - n[1],
    lambda n: n[0] > n[1],
)
MULTIPLICATION = Operation(
    "multiplication",
    "*",
    "{a} * {b} =",
    ("Q: What is the product of {a} and {b}?\nA:", "Q: What is {a} times {b}?\nA:", "The product of {a} and {b} is"),
    lambda n: n[0] * n[1],
    lambda n: unordered(n) and n[0] > 1,
)
DIVISION = Operation(
    "division",
    "/",
    "{a} / {b} =",
    ("Q: What is the quotient of {a} and {b}?\nA:", "Q: What is {a} divided by {b}?\nA:", "{a} divided by {b} gives"),
    lambda n: n[0] // n[1],
    lambda n: n[1] > 1 and n[0] % n[1] == 0 and n[0] > n[1],
)
THREE = Operation(
    "three_operands",
    "+",
    "{a} + {b} + {c} =",
    (
        "Q: What is the sum of {a}, {b} and {c}?\nA:",
        "Q: What is {a} plus {b} plus {c}?\nA:",
        "The sum of {a}, {b} and {c} is",
    ),
    sum,
    unordered,
    operands=3,
)
OPERATIONS = {o.name: o for o in (ADDITION, SUBTRACTION, MULTIPLICATION, DIVISION, THREE)}


def key(name: str, numbers: Numbers) -> str:
    return OPERATIONS[name].sign.join(map(str, numbers))


@cache
def contents(name: str, digits: int) -> tuple[Numbers, ...]:
    """Numbers with this many digits; a fixed random selection if there are many.

    A product has one factor of one digit; in a division the result has this many digits, and the divisor one.
    """
    operation = OPERATIONS[name]
    own, small = range(max(1, 10 ** (digits - 1)), 10**digits), range(2, 10)
    rng = random.Random(f"{name} {digits}")
    every: list[Numbers]
    if name == "multiplication":
        every = [(min(a, b), max(a, b)) for a in own for b in small]
    elif name == "division":
        every = [(a * b, b) for a in own for b in small if a > 1]
    else:
        draws = [sorted(rng.choices(own, k=operation.operands)) for _ in range(10 * MOST)]
        every = [tuple(draw[::-1] if name == "subtraction" else draw) for draw in draws]
    fitting = sorted({numbers for numbers in every if operation.fits(numbers)})
    return tuple(rng.sample(fitting, min(MOST, len(fitting))))
