"""Is a generated text right, and if not, in what way is it wrong?

Only the generated text is looked at, never the prompt. A number is right by its value, so that "80" is not 8
and "9." is 9; a word by its letters; yes and no by what they say. The classes of failure are those by which
one tells a damaged model from a confused one: a wrong operation and a lost loop are different damage.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from itertools import product
from typing import Literal

from .tasks.prompt import Prompt
from .tasks.task import AnswerKind

Failure = Literal[
    "correct",
    "repetition",
    "incomplete",
    "format",
    "off_by_one",
    "wrong_operation",
    "copied_operand",
    "wrong",
]

# A digit after a letter belongs to a word (H2), and 1,234 is one number while 3,4 are two.
NUMBER = re.compile(
    r"(?<![^\W_])(?<![0-9]\.)(?P<sign>[-+−]?)\$?(?P<sign_after>[-−]?)"
    r"(?P<value>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)(?:/(?P<over>[0-9]+))?"
)
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
YES, NO = ("yes", "true"), ("no", "false")


def is_correct(answer_kind: AnswerKind, generated: str, answer: str) -> bool:
    """Does the generated text begin with the answer?

    number  the first number in the text has the value of the answer; $, thousands commas and units are passed over
    yes_no  the first word is yes (or true), no (or false), as in the answer
    word    the first words are those of the answer, whatever their case, accents and punctuation
    text    the text begins with the answer, exactly but for blanks around it, and does not run on inside a word
    """
    if answer_kind == "number":
        return (value := first_number(generated)) is not None and value == first_number(answer)
    if answer_kind == "yes_no":
        return (said := polarity(generated)) is not None and said == polarity(answer)
    if answer_kind == "word":
        expected = words_of(answer)
        return bool(expected) and words_of(generated)[: len(expected)] == expected
    said, expected = generated.strip(), answer.strip()
    runs_on = expected[-1].isalnum() and said[len(expected) : len(expected) + 1].isalnum()
    return said.startswith(expected) and not runs_on


def failure(prompt: Prompt, generated: str, answer_kind: AnswerKind) -> Failure:
    """The class of what was said. The first that fits is taken, in this order:

    correct          as `is_correct` has it, whatever follows the answer
    repetition       the text is one piece said over and over, at least three times
    incomplete       nothing but blanks and punctuation, or only the beginning of the answer
    format           no answer of the kind: no number, no word, neither yes nor no
    off_by_one       a number that is one more or one less than the answer
    wrong_operation  the result of the operands with one of the operations exchanged for another
    copied_operand   one of the operands
    wrong            any other answer
    """
    if is_correct(answer_kind, generated, prompt.answer):
        return "correct"
    if is_loop(generated):
        return "repetition"
    if _is_beginning(generated, prompt.answer, answer_kind):
        return "incomplete"
    if answer_kind == "yes_no":
        return "format" if polarity(generated) is None else "wrong"
    if answer_kind != "number":
        return "wrong" if words_of(generated) or answer_kind == "text" else "format"
    value = first_number(generated)
    if value is None:
        return "format"
    right = first_number(prompt.answer)
    operands = prompt.operands or ()
    if right is not None and abs(value - right) == 1:
        return "off_by_one"
    if right is not None and value in other_operations(operands, right):
        return "wrong_operation"
    return "copied_operand" if value in operands else "wrong"


def first_number(text: str) -> Decimal | None:
    """The value of the first number in the text; 1/2 is a half. None when there is none."""
    for found in NUMBER.finditer(text):
        value = Decimal(found["value"].replace(",", ""))
        if (found["sign"] + found["sign_after"]) in ("-", "−"):
            value = value.copy_negate()
        if found["over"] is None:
            return value
        if over := Decimal(found["over"]):
            return value / over
    return None


def polarity(text: str) -> bool | None:
    """True when the first word is yes or true, False when it is no or false, None otherwise."""
    first = words_of(text)[:1]
    return True if first and first[0] in YES else False if first and first[0] in NO else None


def words_of(text: str) -> list[str]:
    """The words in small letters, without accents and without the punctuation around them."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return WORD.findall(plain.replace("’", "'").casefold())


def is_loop(text: str) -> bool:
    """One piece over and over, three times at least and then perhaps cut off; four characters or more."""
    text = text.strip()
    pieces = range(1, (len(text) + 1) // 3 + 1)
    return len(text) >= 4 and any(text[piece:] == text[:-piece] for piece in pieces)


def other_operations(operands: tuple[int, ...], right: Decimal) -> set[int]:
    """What the operands give, worked from left to right, when one operation of a right chain is exchanged.

    A right chain is any that gives the answer; + - * and exact division are tried, - and / both ways round.
    Empty for more than six operands, of which nearly every number is some result.
    """
    if not 2 <= len(operands) <= 6:
        return set()
    found: set[int] = set()
    for chain in product("+-*/", repeat=max(0, len(operands) - 1)):
        if right in _work(operands, chain):
            for place in range(len(chain)):
                for other in "+-*/":
                    found |= _work(operands, (*chain[:place], other, *chain[place + 1 :]))
    return {value for value in found if value != right}


def _work(operands: tuple[int, ...], chain: tuple[str, ...]) -> set[int]:
    reached = {operands[0]}
    for operator, y in zip(chain, operands[1:], strict=True):
        if operator == "/":
            reached = {u // v for x in reached for u, v in ((x, y), (y, x)) if v and u % v == 0}
        elif operator == "-":
            reached = {d for x in reached for d in (x - y, y - x)}
        else:
            reached = {x + y if operator == "+" else x * y for x in reached}
    return reached


def _is_beginning(generated: str, answer: str, answer_kind: AnswerKind) -> bool:
    said, expected = generated.strip(), answer.strip()
    if answer_kind == "text":
        return said != expected and expected.startswith(said)
    return not re.search(r"[^\W_]", said) or (
        said.casefold() != expected.casefold() and expected.casefold().startswith(said.casefold())
    )
