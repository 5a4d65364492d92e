"""Formulas that a goal writes, such as `a + b =`, and the tasks that ask for one of that form.

Much of what looks like a formula in a goal is none: layers 3-5, an A/B test, position n + 1, the k-th head. So numbers,
other letters than a few usual ones, and capital letters count only before an equals sign (numbers also after a word
such as "compute"), and - and / only with a space on both sides. Whatever is not clearly a formula is not one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

TOKEN = re.compile(r"[^\W\d_](?:[\w'’]|\.(?=\w))*|_\w*|\d(?:\w|[.,](?=\w))*|\S")
SIGNS = {"+": "+", "-": "-", "−": "-", "*": "*", "×": "*", "·": "*", "/": "/", "÷": "/"}
NAMES: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
# Letters that stand for numbers without an equals sign. Those of both groups (a - z) are a range.
LETTERS = (frozenset("abc"), frozenset("xyz"))
# Before numbers that are to be calculated.
ASKING = re.compile(r"(?:is|are|comput|calculat|evaluat|solv)\w*", re.IGNORECASE)
# After a formula, these make it another question.
OTHER = {"<", ">", "≤", "≥", "^", "%", "!", *SIGNS}
MODULAR = re.compile(r"\bmod(?:ulo|ular)?\b", re.IGNORECASE)


class Formula(NamedTuple):
    """What the goal writes, the form (`shape_of`), and the number of operands."""

    text: str
    shape: str
    operands: int


class Piece(NamedTuple):
    """A token of a goal: its text, its start and end, and what a formula has for it ("" if it cannot be in one)."""

    text: str
    start: int
    end: int
    written: str


def formulas_in(goal: str) -> list[Formula]:
    """The formulas of a goal in order. None of a goal on modular arithmetic."""
    if MODULAR.search(goal):
        return []
    found: list[Formula] = []
    pieces = list(pieces_of(goal))
    for first, after in runs(pieces):
        if plausible(goal, pieces, first, after):
            shape = shape_of("".join(piece.written for piece in pieces[first:after]))
            if shape is not None:
                text = goal[pieces[first].start : pieces[after - 1].end]
                found.append(Formula(text, shape, len(re.findall("[?19]", shape))))
    return found


def asks_for(formulas: Iterable[str], goal: Formula) -> bool:
    """Whether a task with these formulas asks for the one of the goal."""
    return any(fits(shape_of(one), goal.shape) for one in formulas)


def works_out(formulas: Iterable[str], goal: Formula) -> bool:
    """Whether a task with these formulas works it out on the way: `a + b` in `a + b + c`."""
    return any(fits(part, goal.shape) for one in formulas for part in parts_of(one))


def fits(own: str | None, asked: str) -> bool:
    """Whether the form of a task covers the one of a goal: a letter (?) covers every number, 1 those of one digit; a
    goal's letter may stand for any number."""
    if own is None or len(own) != len(asked):
        return False
    return all(o == a or o == "?" or (a == "?" and o == "1") for o, a in zip(own, asked, strict=True))


@cache
def shape_of(formula: str) -> str | None:
    """The order of the operations and the operands: `a + b * 12` is (?+(?*9)), with ? for a letter, 1 for a number of
    one digit and 9 for a longer one. None if it is not a formula of two operands or more."""
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return shape(tree) if isinstance(tree, ast.BinOp) else None


@cache
def parts_of(formula: str) -> tuple[str, ...]:
    """The forms of the smaller formulas in it."""
    trees = [node for node in ast.walk(ast.parse(formula, mode="eval").body) if isinstance(node, ast.BinOp)]
    return tuple(found for tree in trees[1:] if (found := shape(tree)) is not None)


def shape(node: ast.expr) -> str | None:
    match node:
        case ast.Name():
            return "?"
        case ast.Constant(value=int() as number):
            return "1" if number < 10 else "9"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in NAMES:
            first, second = shape(left), shape(right)
            return None if first is None or second is None else f"({first}{NAMES[type(op)]}{second})"
        case _:
            return None


def pieces_of(goal: str) -> Iterator[Piece]:
    found = list(TOKEN.finditer(goal))
    for i, token in enumerate(found):
        text = token[0]
        letter, number = len(text) == 1 and text.isascii() and text.isalpha(), re.fullmatch(r"[1-9][0-9]{0,5}|0", text)
        between = 0 < i < len(found) - 1 and found[i - 1][0].isdecimal() and found[i + 1][0].isdecimal()
        called = goal[token.end() : token.end() + 1] == "("
        if text == "x" and between:
            written = "*"
        elif letter and called:
            written = ""
        else:
            written = SIGNS.get(text, text if letter or number or text in "()" else "")
        yield Piece(text, *token.span(), written)


def runs(pieces: list[Piece]) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) of each series of operands, signs and parentheses. A dash at its ends is not a minus,
    and two operands without a sign between them are in two series."""
    first = 0
    for i in range(len(pieces) + 1):
        ends = i == len(pieces) or not pieces[i].written
        if ends or (i > first and operand(pieces[i], "(") and operand(pieces[i - 1], ")")):
            yield from trimmed(pieces, first, i)
            first = i + 1 if ends else i


def operand(piece: Piece, bracket: str) -> bool:
    return piece.written.isalnum() or piece.written == bracket


def trimmed(pieces: list[Piece], first: int, after: int) -> Iterator[tuple[int, int]]:
    """The series without dashes and unpaired parentheses at its ends, if it has a sign."""
    while first < after and pieces[first].written in ("-", ")"):
        first += 1
    while first < after and pieces[after - 1].written in ("-", "("):
        after -= 1
    unpaired = sum((p.written == "(") - (p.written == ")") for p in pieces[first:after])
    while unpaired > 0 and pieces[first].written == "(":
        first, unpaired = first + 1, unpaired - 1
    while unpaired < 0 and pieces[after - 1].written == ")":
        after, unpaired = after - 1, unpaired + 1
    if any(p.written in NAMES.values() for p in pieces[first:after]):
        yield first, after


def plausible(goal: str, pieces: list[Piece], first: int, after: int) -> bool:
    """Whether the series is meant as a formula."""
    run = pieces[first:after]
    before = pieces[first - 1] if first else None
    follows = pieces[after].text if after < len(pieces) else ""
    dashed = follows in SIGNS and not (SIGNS[follows] == "-" and spaced(goal, pieces[after]))
    if (follows in OTHER and (dashed or follows not in SIGNS)) or (before and before.text in ("^", "%", "<", ">")):
        return False
    # f(x) + 1
    if before and before.end == run[0].start and before.text[-1].isalnum():
        return False
    if follows == "=":
        return True
    operands = [p.text for p in run if p.written.isalnum()]
    if all(text.isdecimal() for text in operands):
        return before is not None and ASKING.fullmatch(before.text) is not None
    signs = [p for p in run if p.written in ("-", "/")]
    return any(set(operands) <= letters for letters in LETTERS) and all(spaced(goal, p) for p in signs)


def spaced(goal: str, piece: Piece) -> bool:
    """Whether a blank is on both sides."""
    return goal[piece.start - 1 : piece.start].isspace() and goal[piece.end : piece.end + 1].isspace()
