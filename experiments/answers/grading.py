"""Grade a generated text.

Only the generated text counts, never the prompt. Numbers are compared by value, so "80" is not 8 and "9." is 9; words
by their letters (`letters` says which of them count); yes and no by meaning. If a text repeats the question before it
answers ("3 + 5 = 8", "The capital of Kenya is Nairobi"), the part after that counts.
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
# Numbers joined by signs at the start: the question repeated, with its answer after the equals sign.
EXPRESSION = re.compile(
    r"[^\w.+−-]*[-−]?\$?[0-9][0-9.,]*(?:(?:\s*[-+−*×÷]\s*|\s+[/x]\s+|/)[-−]?\$?[0-9][0-9.,]*)+\s*(?P<equals>=)?"
)
# A single division, as in 1/2 and 6/3.
FRACTION = re.compile(r"[^\w.+−-]*[-−]?\$?[0-9]+/[0-9]+[.,]*\s*")
LEADING_UP = re.compile(
    r"\s*(?:(?:so|well|then),?\s+)?(?:the|its|it|this|that|a|an)\b[^.,;:!?\n]{0,60}?\b(?:is|are|was|equals)\b", re.I
)
CLOSERS = ")]}"
YES, NO = ("yes", "true"), ("no", "false")
ANNOUNCED = re.compile(r"\A[\W_]*(?:so,?\s+)?the\s+(?:correct\s+)?answer\s+is\b[\W_]*", re.I)
UNKNOWN = re.compile(r"\s*(?:(?:it|this|that|the answer)\s+)?(?:is\s+)?(?:unknown|uncertain|undetermined|not known|"
                     r"(?:cannot|can't|can not) be (?:determined|known|said|told))\b", re.I)  # fmt: skip
# Words that may precede a name.
BEFORE_NAMES = {"the", "a", "an", "to", "in", "it", "is", "it's", "mr", "mrs", "ms", "dr", "city", "of"}


def is_correct(answer_kind: AnswerKind, generated: str, answer: str) -> bool:
    """Whether the generated text gives the answer first.

    number  the first number in the text has the value of the answer; $, thousands commas and units are skipped.
            If the text starts with numbers joined by signs, the first number after their equals sign counts
    yes_no  the first word is yes (or true), no (or false), as in the answer; "The answer is" before it is skipped
    true_false_unknown  the same, and unknown (or uncertain, or: cannot be determined)
    word    the first words are those of the answer, whatever their case and the punctuation between them; accents on
            Latin and Greek letters may be missing; "The capital of Kenya is" and the like before them is skipped
    name    the same; articles, titles and "to", "in", "of" are also skipped
    text    the text starts with the answer, exactly except for blanks around it and the Unicode form, and does not run
            on: inside a word, with a sign (C, C++), or after closing brackets with more of them

    Raises ValueError for `open`, which has no right or wrong answers.
    """
    if answer_kind == "open":
        raise ValueError("An open prompt has no answer, so it cannot be graded.")
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
    """Whether these words start with the expected ones."""
    return len(said) >= len(expected) and all(map(same_word, said, expected))


def is_sign(before: str, after: str) -> bool:
    """Whether `after` starts with a sign that changes the last word of `before`."""
    return before[-1].isalnum() and SIGN.match(after) is not None


def number_said(text: str) -> Decimal | None:
    """The number that a text gives as its answer; None if it gives none, as in "3 + 5" and "3 + 5 =".

    The first number, or, after numbers joined by signs, the first one after the equals sign. 1/2 is a number; 6/3 is
    not: it is a division without a result.
    """
    begins = EXPRESSION.match(text)
    if begins is None:
        return first_number(text)
    if begins["equals"]:
        return first_number(text[begins.end() :])
    value = first_number(text) if FRACTION.fullmatch(begins[0]) else None
    return None if value is None or value == value.to_integral_value() else value


def first_number(text: str) -> Decimal | None:
    """The value of the first number in the text; 1/2 is a half. None if there is none."""
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
    """True if the first word is yes or true, False if it is no or false, None otherwise. Skips "The answer is"."""
    first = words_of(ANNOUNCED.sub("", text))[:1]
    return True if first and first[0] in YES else False if first and first[0] in NO else None


def verdict(text: str) -> str | None:
    """true, false or unknown, as the text starts; None if it starts with none of them."""
    if UNKNOWN.match(ANNOUNCED.sub("", text)):
        return "unknown"
    said = polarity(text)
    return None if said is None else str(said).lower()


def readings(text: str) -> tuple[str, ...]:
    """The text, and the part after a sentence that introduces the answer, if it starts with one."""
    leading = LEADING_UP.match(text)
    return (text,) if leading is None else (text, text[leading.end() :])


def words_of(text: str) -> list[str]:
    """The words in lower case, without the punctuation around them."""
    return [folded(word) for word in words(text)]


def names_said(text: str) -> list[str]:
    """The words from the first name on, in lower case; empty if the text does not start with a name."""
    found = words(text)
    while found and found[0].casefold() in BEFORE_NAMES:
        del found[0]
    # In a script without capitals, names look like other words.
    is_name = bool(found) and not found[0][0].islower()
    return [folded(word) for word in found] if is_name else []


def is_number(answer: str) -> bool:
    """Whether this is only a number."""
    return bool(re.fullmatch(r"[-+−]?\$?[\d,]*\.?\d+", answer.strip())) and first_number(answer) is not None


# What an answer of each kind must be.
READ_AS: dict[str, str] = {
    "number": "a number and nothing else",
    "yes_no": "yes or no (true or false)",
    "true_false_unknown": "true, false or unknown",
    "word": "one to three words",
    "name": "a name: a capital letter first",
    "text": "text",
}


def readable(kind: AnswerKind, answer: str) -> bool:
    """Whether the answer counts as right if the subject says it. True for a blank one, which is reported as empty."""
    if not answer.strip():
        return True
    if kind == "number":
        return is_number(answer)
    return is_correct(kind, answer, answer) and (kind not in ("word", "name") or len(answer.split()) <= 3)


def counts_as(kind: AnswerKind, said: str, answer: str) -> bool:
    """Whether grading would accept the text as the answer."""
    return bool(said.strip() and answer.strip()) and is_correct(kind, said, answer)
