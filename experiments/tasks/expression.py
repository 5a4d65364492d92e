"""Exact evaluation of written arithmetic: the answers that a generated task claims are not trusted.

Python's parser reads the text, and only numbers, names, arithmetic operators and three functions are accepted. Nothing
is executed, and text, numbers and exponents have limits.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

LONGEST = 200
# Larger results are not useful questions for a language model.
LARGEST = 10**30
HIGHEST_POWER = 64

SIGNS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: lambda a, b: a % b,
}
FUNCTIONS: dict[str, Callable[[Sequence[Fraction]], Fraction]] = {
    "abs": lambda of: abs(of[0]),
    "max": lambda of: max(of),
    "min": lambda of: min(of),
}
KNOWN = "numbers, slots, + - * / // % **, parentheses, and abs, min, max"

# A sum asked in a usual form at the end of a text: "17 + 25 =", "What is 17 + 25?\nA:".
ASKED = re.compile(
    r"(?:^|[\n:]|\b(?:is|are|calculate|compute|evaluate))[ \t]*"
    r"(?P<sum>[(+−-]*\d[\d .,()+−*/×÷x-]*)(?:=\s*\??|\?)\s*(?:(?:a|answer)\s*:)?\s*$",
    re.IGNORECASE,
)
WRITTEN = {"×": "*", "x": "*", "÷": "/", "−": "-"}


class NoValue(ValueError):
    """An expression that cannot be evaluated. The message says why, and follows the expression and a colon."""

    code = "no_value"


def value_of(expression: str, slots: Mapping[str, int] | None = None) -> Fraction:
    """The exact value. Raises NoValue."""
    if len(expression) > LONGEST:
        raise NoValue(f"longer than {LONGEST} characters")
    # Text that Python would warn about (1or 2) or read differently (0x10, 1_000, 2j, é) never reaches its parser.
    if found := re.search(r"[^\w\s+*/%().,-]|[^\x00-\x7f]|\d[A-Za-z_]", expression):
        raise NoValue(f"'{found[0]}' is not allowed; only {KNOWN} are")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError) as error:
        raise NoValue("it is not arithmetic") from error
    return _value(tree.body, slots or {})


def written(value: Fraction) -> str:
    """The value in decimal form: 42, -3, 2.5. Raises NoValue if it does not end, such as a third."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        raise NoValue(f"{value.numerator}/{value.denominator} cannot be written as a number; use // or other values")
    return f"{Decimal(value.numerator) / Decimal(value.denominator):f}"


def sum_asked(text: str) -> str | None:
    """The sum that the end of a text clearly asks for ("17 + 25 ="), in the syntax of `value_of`, or None."""
    found = ASKED.search(text)
    if found is None:
        return None
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", found["sum"]).strip()
    for sign, ours in WRITTEN.items():
        plain = plain.replace(sign, ours)
    return plain if re.search(r"\d[\d. ()]*[-+*/][-+ (]*\d", plain) else None


def _value(node: ast.expr, slots: Mapping[str, int]) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            found = _number(number)
        case ast.Name(id=name):
            if name not in slots:
                raise NoValue(f"'{name}' is not a slot with numbers" + (f" ({', '.join(slots)} are)" if slots else ""))
            found = Fraction(slots[name])
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
            found = _value(inner, slots) * (-1 if isinstance(sign, ast.USub) else 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            found = _power(_value(left, slots), _value(right, slots))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in SIGNS:
            try:
                found = SIGNS[type(sign)](_value(left, slots), _value(right, slots))
            except ZeroDivisionError as error:
                raise NoValue("it divides by zero") from error
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            if not args or (name == "abs" and len(args) != 1):
                raise NoValue(f"{name} needs {'one number' if name == 'abs' else 'numbers'}")
            found = FUNCTIONS[name]([_value(arg, slots) for arg in args])
        case _:
            raise NoValue(f"only {KNOWN} are allowed")
    if abs(found) > LARGEST or found.denominator > LARGEST:
        raise NoValue("its value is too large")
    return found


def _number(number: float) -> Fraction:
    try:
        return Fraction(repr(number))
    except ValueError as error:
        raise NoValue("a number in it is too large") from error


def _power(base: Fraction, power: Fraction) -> Fraction:
    if power.denominator != 1 or not 0 <= power <= HIGHEST_POWER:
        raise NoValue(f"an exponent must be a whole number from 0 to {HIGHEST_POWER}")
    # LARGEST bounds both terms of the base, so this has at most some thousands of digits before it is refused.
    return base ** int(power)
