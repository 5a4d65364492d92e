"""Prompts of one's own for the planted subjects, in words that they know."""

from __future__ import annotations

import random

import lashley

WORDS = ("air", "arm", "art", "bag", "ball", "band", "bank", "bar", "base", "bath", "bed", "bell", "bird", "block")


def repeated_words(many: int = 32) -> list[lashley.Prompt]:
    """Three words, two of them again, and the third is to follow."""
    chance = random.Random(0)
    drawn = dict.fromkeys(tuple(chance.sample(WORDS, 4)) for _ in range(2 * many))
    return [lashley.Prompt(f" {a} {b} {c} {a} {b}", f" {c}", distractor=f" {d}") for a, b, c, d in list(drawn)[:many]]
