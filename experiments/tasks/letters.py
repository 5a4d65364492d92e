"""Letters, marks and words in the world's scripts, and when a reader considers two texts the same.

A vowel sign of Devanagari, a tone mark of Thai or a dakuten is part of its letter: क is not का. An accent on a Latin or
Greek letter may be left out (Brasilia for Brasília), but another accent makes another word (má, mà). Chinese, Japanese,
Thai and a few others have no spaces between words; there each letter counts as a word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

# The beginnings of the names of their characters.
UNSPACED = (
    "CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA ", "BOPOMOFO ", "YI ",
    "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE ", "TAI ", "NEW TAI ",
)  # fmt: skip
ACCENTED = ("LATIN ", "GREEK ")
# Signs that change the word before them: C, C++ and C#; 5 and 5%; A and A-.
SIGNS = r"(?:[+#%‰°]+|[-−]+(?=[\s.,;:!?]|\Z))"
# Matches the shape of a text: w is a letter, u a letter of a script without spaces, m a mark.
WORD = re.compile(rf"um*|[wm]+(?:['-][wm]+)*(?:{SIGNS}(?![wmu]))?")
SIGN = re.compile(SIGNS)

Kind = Literal["letter", "unspaced", "mark", ""]
SHAPE: dict[Kind, str] = {"letter": "w", "unspaced": "u", "mark": "m"}


@cache
def kind_of_letter(character: str) -> Kind:
    """Whether it is a letter or digit, one of a script without spaces, a mark on a letter, or none of these."""
    if unicodedata.category(character)[0] == "M":
        return "mark"
    if not character.isalnum():
        return ""
    return "unspaced" if unicodedata.name(character, "").startswith(UNSPACED) else "letter"


def goes_without_spaces(text: str) -> bool:
    """Whether the text contains a letter of a script without spaces between words."""
    return any(kind_of_letter(c) == "unspaced" for c in text)


def runs_on(before: str, after: str) -> bool:
    """Whether `after`, placed directly after `before`, would continue its last word."""
    first, then = kind_of_letter(before[-1:] or " "), kind_of_letter(after[:1] or " ")
    return bool(first) and (then == "mark" or (bool(then) and "unspaced" not in (first, then)))


def visible(text: str) -> str:
    """The text without invisible characters, such as a zero-width space or a soft hyphen."""
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")


def words(text: str) -> list[str]:
    """The words without the punctuation around them, in NFKC (full-width letters count as letters)."""
    text = unicodedata.normalize("NFKC", visible(text)).replace("’", "'")
    shape = "".join(SHAPE.get(kind_of_letter(c), c) for c in text)
    return [text[found.start() : found.end()] for found in WORD.finditer(shape)]


def only_words(text: str) -> bool:
    """Whether the text contains only words, blanks and punctuation, so that its words determine it."""
    rest = unicodedata.normalize("NFKC", visible(text)).replace("’", "'")
    for word in words(text):
        rest = rest.replace(word, "", 1)
    return all(c.isspace() or unicodedata.category(c)[0] == "P" for c in rest)


def folded(word: str) -> str:
    """The word in lower case."""
    return unicodedata.normalize("NFC", word.casefold())


@cache
def without_accents(word: str) -> str:
    """The word without the marks on its Latin and Greek letters."""
    kept: list[str] = []
    letter = ""
    for c in unicodedata.normalize("NFD", word):
        if kind_of_letter(c) != "mark":
            letter = c
        elif unicodedata.name(letter or " ", "").startswith(ACCENTED):
            continue
        kept.append(c)
    return unicodedata.normalize("NFC", "".join(kept))


def same_word(a: str, b: str) -> bool:
    """Whether two folded words are the same to a reader who ignores case and missing accents."""
    if a == b:
        return True
    plain = without_accents(a)
    return plain == without_accents(b) and plain in (a, b)


def normal(text: str) -> str:
    """A normal form for comparing texts as a reader does: lower case, single blanks, one Unicode form (NFC)."""
    return folded(" ".join(visible(unicodedata.normalize("NFC", text)).split()))
