"""Which letters make a word another one, in the scripts of the world."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.answers.grading import is_correct, words_of
from lashley.experiments.tasks.from_file import kind_of
from lashley.experiments.tasks.letters import normal, runs_on, same_word


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" Red", " red", True),
        (" Brasilia", " Brasília", True),
        (" Bogotá", " Bogota", True),
        (" mà", " má", False),
        (" ma", " má", True),
        (" की", " का", False),
        (" का है", " का", True),
        (" क", " का", False),
        (" мои", " мой", False),
        (" が", " か", False),
        (" كَتَبَ", " كُتِبَ", False),
        (" C++", " C", False),
        (" C#", " C++", False),
        (" C++, which", " C++", True),
        (" A-", " A", False),
        (" A - the first", " A", True),
        (" 5%", " 5", False),
        (" \uff30aris", " Paris", True),
        (" Par\u00adis", " Paris", True),
        (" well-known", " well", False),
        (" don’t", " don't", True),
    ],
)
def test_words_are_told_apart_by_what_carries_meaning(said: str, answer: str, right: bool) -> None:
    assert is_correct("word", said, answer) is right
    composed, apart = unicodedata.normalize("NFC", said), unicodedata.normalize("NFD", answer)
    assert is_correct("word", composed, apart) is right, "the form of the characters does not count"


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        ("東京です。", "東京", True),
        ("京都です。", "東京", False),
        ("กรุงเทพมหานคร", "กรุงเทพ", True),
        ("กี", "ก", False),
        (" का", " क", False),
        (" ma\u0301", " m\u00e1", True),
        (" má", " ma", False),
        (" red", " Red", False),
        (" C++", " C", False),
        (" C, and", " C", True),
        (" 5%", " 5", False),
    ],
)
def test_a_text_is_read_letter_by_letter(said: str, answer: str, right: bool) -> None:
    assert is_correct("text", said, answer) is right


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((" का", " की"), "word"),
        (("東京", "大阪"), "text"),
        (("กรุงเทพ",), "text"),
        ((" C++", " C#"), "word"),
        ((" Paris.", " New York"), "word"),
        ((" <b>", " <i>"), "text"),
        ((" 😀", " 😢"), "text"),
        ((" x = 3",), "text"),
    ],
)
def test_the_kind_is_one_that_tells_the_answers_apart(answers: tuple[str, ...], kind: str) -> None:
    assert kind_of(answers) == kind


def test_scripts_without_spaces_are_read_letter_by_letter_where_words_are() -> None:
    assert words_of("東京 Tower กี่") == ["東", "京", "tower", "กี่"]
    assert not runs_on("首都は", "東京")
    assert not runs_on("日本の", "Tokyo")
    assert runs_on("The capital is", "Rome")
    assert runs_on("यह", "का")
    assert runs_on("क", "ा")


def test_texts_that_are_the_same_to_a_reader() -> None:
    same = (
        "caf\u00e9 is",
        "cafe\u0301 is",
        " caf\u00e9  is\n",
        "caf\u00e9 is\u200b",
        "Caf\u00e9\tis",
        "ca\u00adf\u00e9 is",
    )
    assert {normal(text) for text in same} == {"caf\u00e9 is"}
    assert len({normal(text) for text in ("cafe is", "caf\u00e9 is", "3\u00b2 is", "32 is", "का", "की")}) == 6


@given(st.text(max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_word_is_itself_in_every_form(text: str) -> None:
    for form in ("NFC", "NFD"):
        again = words_of(unicodedata.normalize(form, text))
        assert len(again) == len(words_of(text))
        assert all(map(same_word, again, words_of(text)))
    assert normal(normal(text)) == normal(text)
