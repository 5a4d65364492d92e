"""Is a generated text right?

Only the generated text is looked at, never the prompt. A number is right by its value, so that "80" is not 8
and "9." is 9; a word by its letters (`letters` says which of them count); yes and no by what they say. A text that
repeats the question before it answers ("3 + 5 = 8", "The capital of Kenya is Nairobi") is read where it answers.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from ..tasks.letters import SIGN, folded, runs_on, same_word, words
from ..tasks.task import AnswerKind

# A digit after a letter belongs to a word (H2), and 1,234 is one number while 3,4 are two.
NUMBER = re.compile(
    r"(?<![^\W_])(?<![0-9]\.)(?P<sign>[-+−]?)\$?(?P<sign_after>[-−]?)"
    r"(?P<value>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)(?:/(?P<over>[0-9]+))?"
)
# Numbers joined by signs at the very beginning: the question again, and after the equals sign its answer.
EXPRESSION = re.compile(
    r"[^\w.+−-]*[-−]?\$?[0-9][0-9.,]*(?:(?:\s*[-+−*×÷]\s*|\s+[/x]\s+|/)[-−]?\$?[0-9][0-9.,]*)+\s*(?P<equals>=)?"
)
# One division alone, as in 1/2 and 6/3.
FRACTION = re.compile(r"[^\w.+−-]*[-−]?\$?[0-9]+/[0-9]+[.,]*\s*")
LEADING_UP = re.compile(
    r"\s*(?:(?:so|well|then),?\s+)?(?:the|its|it|this|that|a|an)\b[^.,;:!?\n]{0,60}?\b(?:is|are|was|equals)\b", re.I
)
CLOSERS = ")]}"
YES, NO = ("yes", "true"), ("no", "false")
ANNOUNCED = re.compile(r"\A[\W_]*(?:so,?\s+)?the\s+(?:correct\s+)?answer\s+is\b[\W_]*", re.I)
UNKNOWN = re.compile(r"\s*(?:(?:it|this|that|the answer)\s+)?(?:is\s+)?(?:unknown|uncertain|undetermined|not known|"
                     r"(?:cannot|can't|can not) be (?:determined|known|said|told))\b", re.I)  # fmt: skip
# What may stand before a name without being one.
BEFORE_NAMES = {"the", "a", "an", "to", "in", "it", "is", "it's", "mr", "mrs", "ms", "dr", "city", "of"}


def is_correct(answer_kind: AnswerKind, generated: str, answer: str) -> bool:
    """Does the generated text give the answer first?

    number  the first number in the text has the value of the answer; $, thousands commas and units are passed over.
            Where the text begins with numbers joined by signs, the first number after their equals sign counts
    yes_no  the first word is yes (or true), no (or false), as in the answer; "The answer is" before it is passed over
    true_false_unknown  the same, and unknown (or uncertain, or: cannot be determined)
    word    the first words are those of the answer, whatever their case and the punctuation between them; accents on
            Latin and Greek letters may be missing; "The capital of Kenya is" and the like before them is passed over
    name    the same, and articles, titles and "to", "in", "of" are passed over, too
    text    the text begins with the answer, exactly but for blanks around it and the Unicode form, and does not run
            on: inside a word, with a sign (C, C++), or after closing brackets with more of them

    Raises ValueError for `open`: of an open prompt nothing is right or wrong.
    """
    if answer_kind == "open":
        raise ValueError("An open prompt has no answer, so nothing said to it is right or wrong.")
    if answer_kind == "number":
        return (value := number_said(generated)) is not None and value == first_number(answer)
    if answer_kind == "yes_no":
        return (said := polarity(generated)) is not None and said == polarity(answer)
    if answer_kind == "true_false_unknown":
        return (verdict_said := verdict(generated)) is not None and verdict_said == verdict(answer)
    if answer_kind in ("word", "name"):
        expected = words_of(answer)
        read = names_said if answer_kind == "name" else words_of
        return bool(expected) and any(begins_with(read(text), expected) for text in readings(generated))
    said, expected = (unicodedata.normalize("NFC", text).strip() for text in (generated, answer))
    after = said[len(expected) :]
    more = after[:1] in CLOSERS if expected[-1] in CLOSERS else runs_on(expected, after) or is_sign(expected, after)
    return said.startswith(expected) and not (after and more)


def begins_with(said: list[str], expected: list[str]) -> bool:
    """Are the first of these words the expected ones?"""
    return len(said) >= len(expected) and all(map(same_word, said, expected))


def is_sign(before: str, after: str) -> bool:
    """Does `after` begin with a sign that makes another word of the end of `before`?"""
    return before[-1].isalnum() and SIGN.match(after) is not None


def number_said(text: str) -> Decimal | None:
    """The number that a text gives as its answer; None where it gives none, as in "3 + 5" and "3 + 5 =".

    The first number, or, after numbers joined by signs, the first one behind the equals sign. 1/2 is a number; 6/3 is
    not, but a division that was not worked out.
    """
    begins = EXPRESSION.match(text)
    if begins is None:
        return first_number(text)
    if begins["equals"]:
        return first_number(text[begins.end() :])
    value = first_number(text) if FRACTION.fullmatch(begins[0]) else None
    return None if value is None or value == value.to_integral_value() else value


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
    """True when the first word is yes or true, False when it is no or false, None otherwise. "The answer is" is passed
    over."""
    first = words_of(ANNOUNCED.sub("", text))[:1]
    return True if first and first[0] in YES else False if first and first[0] in NO else None


def verdict(text: str) -> str | None:
    """true, false or unknown, as the text begins; None when it says none of them first."""
    if UNKNOWN.match(ANNOUNCED.sub("", text)):
        return "unknown"
    said = polarity(text)
    return None if said is None else str(said).lower()


def readings(text: str) -> tuple[str, ...]:
    """The text as it is, and what follows a sentence that leads up to an answer, where it begins with one."""
    leading = LEADING_UP.match(text)
    return (text,) if leading is None else (text, text[leading.end() :])


def words_of(text: str) -> list[str]:
    """The words in small letters, without the punctuation around them."""
    return [folded(word) for word in words(text)]


def names_said(text: str) -> list[str]:
    """The words from the first name on, in small letters; empty where the text does not begin with a name."""
    found = words(text)
    while found and found[0].casefold() in BEFORE_NAMES:
        del found[0]
    # A script without capitals tells no names from words.
    is_name = bool(found) and not found[0][0].islower()
    return [folded(word) for word in found] if is_name else []


def is_number(answer: str) -> bool:
    """Is this a number and nothing else?"""
    return bool(re.fullmatch(r"[-+−]?\$?[\d,]*\.?\d+", answer.strip())) and first_number(answer) is not None


# What an answer must be to be read as each kind.
READ_AS: dict[str, str] = {
    "number": "a number and nothing else",
    "yes_no": "yes or no (true or false)",
    "true_false_unknown": "true, false or unknown",
    "word": "one to three words",
    "name": "a name: a capital letter first",
    "text": "text",
}


def readable(kind: AnswerKind, answer: str) -> bool:
    """Is the answer counted as right where the subject says it? True for a blank one, which is told as empty."""
    if not answer.strip():
        return True
    if kind == "number":
        return is_number(answer)
    return is_correct(kind, answer, answer) and (kind not in ("word", "name") or len(answer.split()) <= 3)


def counts_as(kind: AnswerKind, said: str, answer: str) -> bool:
    """Would grading take what is said for the answer?"""
    return bool(said.strip() and answer.strip()) and is_correct(kind, said, answer)
