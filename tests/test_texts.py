"""How texts are written: loops, repetition, distinct words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.experiments.answers.text_quality import distinct, is_loop, loop_length, repetition


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("no no no no", 1.0),
        ("well then, no no no no", 12 / 22),
        ("he said that it is so", 0.0),
        ("", 0.0),
        ("   ", 0.0),
        ("10000000", 0.0),
    ],
)
def test_the_share_of_a_text_that_goes_in_circles(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)


@given(st.text(max_size=60))
def test_a_loop_is_a_part_of_its_text(text: str) -> None:
    assert 0 <= loop_length(text) <= len(text.strip())
    assert is_loop(text) == (repetition(text) >= 0.5)


@given(st.lists(st.sampled_from(["red", "blue", "green"]), min_size=1, max_size=12), st.integers(1, 3))
def test_distinct_counts_different_sequences(words: list[str], n: int) -> None:
    found = distinct(" ".join(words), n)
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    assert found == (len(set(grams)) / len(grams) if grams else None)
