"""Letters, marks and words in the scripts of the world, and when two texts are the same to a reader.

A vowel sign of Devanagari, a tone mark of Thai or a dakuten is part of its letter: क is not का. An accent on a Latin or
Greek letter may be left out (Brasilia for Brasília), but another accent makes another word (má, mà). Chinese, Japanese,
Thai and a few others put no spaces between words; there each letter counts as a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

# As the names of their characters begin.
UNSPACED = (
    "CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA ", "BOPOMOFO ", "YI ",
    "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE ", "TAI ", "NEW TAI ",
)  # fmt: skip
ACCENTED = ("LATIN ", "GREEK ")
# Signs that make another word of the one they follow: C, C++ and C#; 5 and 5%; A and A-.
SIGNS = r"(?:[+#%‰°]+|[-−]+(?=[\s.,;:!?]|\Z))"
# In the shape of a text, where w stands for a letter, u for one of a script without spaces, m for a mark.
WORD = re.compile(rf"um*|[wm]+(?:['-][wm]+)*(?:{SIGNS}(?![wmu]))?")
SIGN = re.compile(SIGNS)

Kind = Literal["letter", "unspaced", "mark", ""]
SHAPE: dict[Kind, str] = {"letter": "w", "unspaced": "u", "mark": "m"}


@cache
def kind_of_letter(character: str) -> Kind:
    """A letter or digit, one of a script without spaces between words, a mark on a letter, or none of them."""
    if unicodedata.category(character)[0] == "M":
        return "mark"
    if not character.isalnum():
        return ""
    return "unspaced" if unicodedata.name(character, "").startswith(UNSPACED) else "letter"


def goes_without_spaces(text: str) -> bool:
    """Does the text hold a letter of a script that puts no spaces between words?"""
    return any(kind_of_letter(c) == "unspaced" for c in text)


def runs_on(before: str, after: str) -> bool:
    """Would `after`, set right behind `before`, go on with its last word?"""
    first, then = kind_of_letter(before[-1:] or " "), kind_of_letter(after[:1] or " ")
    return bool(first) and (then == "mark" or (bool(then) and "unspaced" not in (first, then)))


def visible(text: str) -> str:
    """The text without characters that take no place, such as a zero-width space or a soft hyphen."""
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")


def words(text: str) -> list[str]:
    """The words as they are written, without the punctuation around them; in NFKC (full-width letters are letters)."""
    text = unicodedata.normalize("NFKC", visible(text)).replace("’", "'")
    shape = "".join(SHAPE.get(kind_of_letter(c), c) for c in text)
    return [text[found.start() : found.end()] for found in WORD.finditer(shape)]


def only_words(text: str) -> bool:
    """Does the text hold nothing but words, blanks and punctuation, so that its words are all there is to it?"""
    rest = unicodedata.normalize("NFKC", visible(text)).replace("’", "'")
    for word in words(text):
        rest = rest.replace(word, "", 1)
    return all(c.isspace() or unicodedata.category(c)[0] == "P" for c in rest)


def folded(word: str) -> str:
    """The word in small letters."""
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
    """Are two folded words the same to a reader who minds no case, and to whom an accent may be missing?"""
    if a == b:
        return True
    plain = without_accents(a)
    return plain == without_accents(b) and plain in (a, b)


def normal(text: str) -> str:
    """What two texts share that are the same to a reader: small letters, single blanks, one Unicode form (NFC)."""
    return folded(" ".join(visible(unicodedata.normalize("NFC", text)).split()))
