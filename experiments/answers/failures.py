"""Classify how a generated text is wrong.

The classes distinguish kinds of damage: a wrong operation and a repetition loop are different. A person with the prompt
and the text could apply each definition, and a fixture of a real model's texts, labelled by hand, checks the program
against that.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import product
from typing import Literal, get_args

from ..tasks.family import listed
from ..tasks.letters import same_word
from ..tasks.prompt import Prompt
from ..tasks.task import AnswerKind
from .grading import (
    LEADING_UP,
    first_number,
    is_correct,
    names_said,
    number_said,
    polarity,
    readings,
    verdict,
    words_of,
)
from .text_quality import is_loop

Failure = Literal[
    "correct",
    "repetition",
    "refusal",
    "incomplete",
    "format",
    "off_by_one",
    "wrong_operation",
    "copied_operand",
    "digit_error",
    "other_choice",
    "hallucination",
]
FAILURES: tuple[Failure, ...] = get_args(Failure)

REFUSAL = re.compile(
    r"\bi(?:'m| am) (?:sorry|unable|not able|afraid|not sure)\b|\bas an ai\b|^\W*sorry\b"
    r"|\bi (?:don't|do not) (?:know|have)\b"
    r"|\b(?:can't|cannot|can not|couldn't|unable to|not able to|not something i can)\s+"
    r"(?:help|answer|say|tell|see|know|provide|give|do|assist|determine)\b",
    re.I,
)
ANNOUNCED = re.compile(r"[\W_]*(?:the\s+)?answer(?:\s+is)?[\W_]*", re.I)
# Words in nearly every prompt: saying one of them is not copying.
LITTLE = frozenset(listed("a an and are at because by for from in is it it's of on that the to was were with"))
ANYTHING = re.compile(r"[^\W_]")


def failure(prompt: Prompt, generated: str, answer_kind: AnswerKind) -> Failure:
    """The class of a text: the first that fits, in this order:

    correct          by `is_correct`, whatever follows the answer
    repetition       one piece, three times or more in a row, is at least half of the text (and not of the answer)
    refusal          it says that it cannot or will not answer, or does not know
    incomplete       it stops before an answer: only blanks and punctuation, the start of the answer, an
                     expression without its result, "The answer is"; or the result of an earlier step of the task
    format           something, but no answer of the kind: no number, no name, none of the choices
    off_by_one       a number that is one more or one less than the answer
    wrong_operation  the result of the operands with one operation replaced by another
    copied_operand   one of the operands, or a name or word that follows "the" and the like in the prompt
    digit_error      one digit is another (of two or more), missing or too many, two neighbours have changed places, or
                     a carry is lost or invented: ten, a hundred, ... too many or too few
    other_choice     one of the choices, but not the right one: yes for no, true for unknown
    hallucination    any other answer of the right kind, which is not from the prompt

    Raises ValueError for `open`, which has no right or wrong answers.
    """
    if is_right(prompt, generated, answer_kind):
        return "correct"
    # Closing brackets are all alike, so for text answers only a longer text counts as repetition.
    longer = answer_kind != "text" or len(generated.strip()) > len(prompt.answer.strip())
    if is_loop(generated) and longer and not is_loop(prompt.answer):
        return "repetition"
    if REFUSAL.search(generated.replace("’", "'")):
        return "refusal"
    if _stops_short(generated, prompt.answer, answer_kind):
        return "incomplete"
    if answer_kind == "number":
        return _wrong_number(prompt, generated)
    if answer_kind in ("yes_no", "true_false_unknown"):
        chosen = polarity(generated) if answer_kind == "yes_no" else verdict(generated)
        return "format" if chosen is None else "other_choice"
    if answer_kind == "text":
        return "hallucination"
    # A text that continues the last word of the prompt is not an answer.
    if prompt.answer[0].isspace() and generated[:1].isalpha():
        return "format"
    said = names_said(readings(generated)[-1]) if answer_kind == "name" else words_of(readings(generated)[-1])
    first = next((word for word in said if word not in LITTLE), "")
    if not said:
        return "format"
    copied = any(same_word(first, word) for word in words_of(prompt.message))
    return "copied_operand" if copied else "hallucination"


def is_right(prompt: Prompt, generated: str, answer_kind: AnswerKind) -> bool:
    """Whether the text gives the answer first, or another one that the prompt accepts. See `is_correct`."""
    return any(is_correct(answer_kind, generated, answer) for answer in prompt.accepted or (prompt.answer,))


def _wrong_number(prompt: Prompt, generated: str) -> Failure:
    value, right, operands = number_said(generated), first_number(prompt.answer), prompt.operands or ()
    if value is None or right is None:
        return "format"
    if abs(value - right) == 1:
        return "off_by_one"
    others, earlier = worked(operands, right)
    if value in others:
        return "wrong_operation"
    if value in earlier:
        return "incomplete"
    if value in operands:
        return "copied_operand"
    return "digit_error" if is_digit_error(value, right) else "hallucination"


def is_digit_error(said: Decimal, right: Decimal) -> bool:
    """Whether whole numbers of the same sign differ by one digit, two swapped digits or one carry; see `failure`."""
    if said != said.to_integral_value() or right != right.to_integral_value() or (said < 0) != (right < 0):
        return False
    a, b = (str(abs(int(number))) for number in (said, right))
    if re.fullmatch("10+", str(abs(int(said - right)))):
        return True
    if len(a) == len(b):
        differ = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        exchanged = (
            len(differ) == 2
            and differ[1] == differ[0] + 1
            and a[differ[0]] + a[differ[1]] == b[differ[1]] + b[differ[0]]
        )
        return len(a) > 1 and (len(differ) == 1 or exchanged)
    shorter, longer = sorted((a, b), key=len)
    return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))


def worked(operands: tuple[int, ...], right: Decimal) -> tuple[set[int], set[int]]:
    """The results of the operands, from left to right, when one operation of a right chain is replaced; and the
    intermediate values of right chains.

    A right chain is any that gives the answer; + - * and exact division are tried, - and / both ways round.
    Empty for more than six operands, of which nearly every number is some result.
    """
    exchanged: set[int] = set()
    passed: set[int] = set()
    if not 2 <= len(operands) <= 6:
        return exchanged, passed
    for chain in product("+-*/", repeat=len(operands) - 1):
        if right in _work(operands, chain):
            passed.update(*(_work(operands[: k + 1], chain[:k]) for k in range(1, len(chain))))
            for place in range(len(chain)):
                for other in "+-*/":
                    exchanged |= _work(operands, (*chain[:place], other, *chain[place + 1 :]))
    return {value for value in exchanged if value != right}, passed


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


def _stops_short(generated: str, answer: str, answer_kind: AnswerKind) -> bool:
    said, expected = generated.strip(), answer.strip()
    if answer_kind == "text":
        return said != expected and expected.startswith(said)
    if not ANYTHING.search(LEADING_UP.sub("", generated, count=1)) or ANNOUNCED.fullmatch(generated):
        return True
    if answer_kind == "number" and number_said(generated) is None and first_number(generated) is not None:
        return True
    return said.casefold() != expected.casefold() and expected.casefold().startswith(said.casefold())
