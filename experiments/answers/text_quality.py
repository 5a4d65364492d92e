"""The fluency of a text, whatever it says: does it repeat itself, and how many of its words are distinct?

For prompts without an answer, these are the measures, with the likelihood of the text under the intact model.
"""

from __future__ import annotations

import re

from .grading import words_of

DIGITS = re.compile(r"[0-9]+")


def loop_length(text: str) -> int:
    """The characters of the longest loop: one piece three times or more in a row, four characters at least. 0 for none.

    If the loop is the whole text, its last piece may be cut off. Equal digits in a number (1000000) do not count.
    """
    text = text.strip()
    longest = 0
    for piece in range(1, (len(text) + 1) // 3 + 1):
        run = 0
        for at in range(piece, len(text) + 1):
            if at < len(text) and text[at] == text[at - piece]:
                run += 1
                continue
            length, run = run + piece, 0
            whole = length == len(text)
            long = length >= max(4, 3 * piece - whole, longest + 1)
            if long and (whole or not DIGITS.fullmatch(text[at - length : at])):
                longest = length
    return longest


def repetition(text: str) -> float:
    """The share of the text, from 0 to 1, that its longest loop takes up; 0 for a blank text."""
    return loop_length(text) / max(1, len(text.strip()))


def is_loop(text: str) -> bool:
    """Whether at least half of the text repeats one piece."""
    return repetition(text) >= 0.5


def distinct(text: str, n: int) -> float | None:
    """The share of distinct sequences among all sequences of n words; None if the text has none."""
    words = words_of(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None
