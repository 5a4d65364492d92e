"""How a text is written, whatever it says: does it go in circles, and how many of its words are new?

For prompts without an answer this is what there is to measure, beside how likely the intact model finds the text.
"""

from __future__ import annotations

import re

from .grading import words_of

DIGITS = re.compile(r"[0-9]+")


def loop_length(text: str) -> int:
    """The characters of the longest loop: one piece three times or more in a row, four characters at least. 0 for none.

    Where the loop is the whole text its last piece may be cut off. Equal digits in a number (1000000) are no loop.
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
    """At least half of the text is one piece over and over."""
    return repetition(text) >= 0.5


def distinct(text: str, n: int) -> float | None:
    """Different sequences of n words as a share of all such sequences; None where the text has none."""
    words = words_of(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None
