"""Wrong answers told apart: by rules, and on what a real model said, labelled by reading."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.experiments.answers.failures import FAILURES, failure, is_digit_error, is_loop
from lashley.experiments.tasks.prompt import Prompt

FIXTURE = Path(__file__).with_name("fixtures") / "failures.jsonl"

SUM = Prompt(text="6 + 3 =", answer=" 9", key="3+6", operands=(6, 3))
CHAIN = Prompt(text="(2 + 3) * 2 =", answer=" 10", key="(2+3)*2", operands=(2, 3, 2))


@pytest.mark.parametrize(
    ("prompt", "said", "expected"),
    [
        (SUM, " 9", "correct"),
        (SUM, " 9 9 9 9", "correct"),
        (SUM, " 90", "digit_error"),
        (SUM, " 8", "off_by_one"),
        (SUM, " 10.", "off_by_one"),
        (SUM, " 18", "wrong_operation"),
        (SUM, " 2", "wrong_operation"),
        (SUM, " -3", "wrong_operation"),
        # 3 is also 6 - 3: the operation is asked before the copy.
        (SUM, " 3", "wrong_operation"),
        (SUM, " 6", "copied_operand"),
        (SUM, " 4", "hallucination"),
        (SUM, " 9.5", "hallucination"),
        (SUM, " 6 + 3", "incomplete"),
        (SUM, " 6 + 3 =", "incomplete"),
        (SUM, " The answer is", "incomplete"),
        (SUM, " I cannot answer that.", "refusal"),
        (SUM, "", "incomplete"),
        (SUM, " \n ", "incomplete"),
        (SUM, " -", "incomplete"),
        (SUM, " the", "format"),
        (SUM, " the the the", "repetition"),
        (SUM, " 4 4 4 4", "repetition"),
        (SUM, " 4444444", "repetition"),
        (SUM, " = = = =", "repetition"),
        (SUM, "the cat the cat the cat the c", "repetition"),
        (SUM, " 777", "hallucination"),
        (CHAIN, " 1", "incomplete"),
        (CHAIN, " 11", "off_by_one"),
        (CHAIN, " 7", "wrong_operation"),
        (CHAIN, " 12", "wrong_operation"),
        (CHAIN, " 2", "wrong_operation"),
        (CHAIN, " 5", "incomplete"),
        (CHAIN, " 50", "digit_error"),
        (Prompt(text="6 + 3 =", answer=" 9", key="3+6"), " 18", "hallucination"),
        (Prompt(text="9 + 0 =", answer=" 9", key="0+9", operands=(9, 0)), " 0", "wrong_operation"),
    ],
)
def test_failures_of_sums(prompt: Prompt, said: str, expected: str) -> None:
    assert failure(prompt, said, "number") == expected


@pytest.mark.parametrize(
    ("kind", "answer", "said", "expected"),
    [
        ("word", " New Delhi", " New", "incomplete"),
        ("word", " New Delhi", " New York", "hallucination"),
        ("word", " Paris", " ...", "incomplete"),
        ("word", " Paris", " a city in", "hallucination"),
        ("yes_no", " Yes", " No", "other_choice"),
        ("yes_no", " Yes", " Y", "incomplete"),
        ("yes_no", " Yes", " Blicks are", "format"),
        ("text", "]}", "]", "incomplete"),
        ("text", "]}", "}", "hallucination"),
        ("text", "]}", "", "incomplete"),
        ("text", "]]]]", "]]]", "incomplete"),
        ("text", "]]]]", "]]]}", "hallucination"),
        ("name", " Mary", " the shop", "format"),
        ("name", " Mary", "'s hat", "format"),
        ("name", " Mary", " Lisa", "hallucination"),
        ("name", " Mary", " I'm sorry, I don’t know.", "refusal"),
        ("word", " Paris", "x", "format"),
        ("word", " Paris", " x", "copied_operand"),
        ("true_false_unknown", " True", " unknown", "other_choice"),
    ],
)
def test_failures_of_words(kind: str, answer: str, said: str, expected: str) -> None:
    assert failure(Prompt(text="x", answer=answer, key="x"), said, kind) == expected  # type: ignore[arg-type]


@given(st.text(alphabet="ab c", min_size=2, max_size=9), st.integers(3, 6))
def test_what_is_said_three_times_is_a_loop(piece: str, times: int) -> None:
    if len((piece * times).strip()) >= 4 and piece.strip() == piece:
        assert is_loop(piece * times)


def test_half_a_text_is_a_loop_and_less_is_none() -> None:
    assert is_loop("no no no no, well then")
    assert is_loop("well then, no no no no")
    assert not is_loop("well then, no no no, that is what he said")


def test_ordinary_answers_are_no_loops() -> None:
    for said in (
        "Paris",
        "1000000",
        "that is that",
        "Mississippi",
        "bananas",
        "no, no",
        "777",
        "1 1",
        "1 apple, 10000",
    ):
        assert not is_loop(said)


@pytest.mark.parametrize(
    ("said", "right", "error"),
    [
        (82, 62, True),
        (604, 594, True),
        (107, 97, True),
        (1005, 905, True),
        (42, 24, True),
        (123, 132, True),
        (123, 321, False),
        (12, 123, True),
        (1123, 123, True),
        (8, 3, False),
        (8, 83, True),
        (44, 55, False),
        (-42, 42, False),
        (-42, -52, True),
        (Decimal("4.2"), 42, False),
    ],
)
def test_errors_of_a_digit(said: int | Decimal, right: int, error: bool) -> None:
    assert is_digit_error(Decimal(said), Decimal(right)) is error


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_an_error_of_a_digit_is_one_both_ways_round(a: int, b: int) -> None:
    if a != b:
        assert is_digit_error(Decimal(a), Decimal(b)) == is_digit_error(Decimal(b), Decimal(a))


def fixture() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]


def classified(row: dict[str, Any]) -> str:
    operands = None if row["operands"] is None else tuple(row["operands"])
    prompt = Prompt(text=row["prompt"], answer=row["answer"], operands=operands, key=row["prompt"])
    return failure(prompt, row["said"], row["answer_kind"])


def test_the_program_agrees_with_a_reader() -> None:
    """The labels were set by reading each text beside the definitions, before the program saw it."""
    rows = fixture()
    said_by_the_subject = [row for row in rows if not row["by_hand"]]
    assert len(said_by_the_subject) >= 200
    assert set(Counter(row["label"] for row in rows)) == set(FAILURES)
    agreed = [classified(row) == row["label"] for row in said_by_the_subject]
    assert sum(agreed) >= 0.95 * len(agreed)
    # A class is not carried by the others.
    for label in FAILURES:
        own = [classified(row) == label for row in rows if row["label"] == label]
        assert sum(own) >= 0.8 * len(own), label


def test_an_article_is_not_copied() -> None:
    prompt = Prompt(text="The nurse wished that", answer=" she", key="nurse")
    made_up = dict.fromkeys((" the patient had", " he was", " that the"), "hallucination")
    said = {**made_up, " nurse": "copied_operand", " the nurse": "copied_operand"}
    assert {text: failure(prompt, text, "word") for text in said} == said


def test_any_accepted_answer_is_right() -> None:
    prompt = Prompt(text="From 1741 to 17", answer="52", accepted=("52", "53"), key="x")
    assert [failure(prompt, said, "number") for said in ("52", "53", "51")] == ["correct", "correct", "off_by_one"]
