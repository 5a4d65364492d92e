"""What counts as right, and how what is wrong is told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.experiments.answers import failure, first_number, is_correct, is_loop
from lashley.experiments.tasks.prompt import SPLITS, Prompt
from lashley.experiments.tasks.registry import tasks


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" 8", " 8", True),
        (" 80", " 8", False),
        (" 8.", " 8", True),
        ("8.0", " 8", True),
        (" 8.5", " 8", False),
        (" 08", " 8", True),
        (" 1,234 dollars", " 1234", True),
        ("1,234,567.", "1234567", True),
        (" 3,4", " 3", True),
        ("$12", " 12", True),
        ("-$12", " -12", True),
        ("$-12", " -12", True),
        (" −12", " -12", True),
        (" 12", " -12", False),
        ("- 5", " 5", True),
        ("+5", " 5", True),
        (" = 5", " 5", True),
        ("**5**", " 5", True),
        ("_5_", " 5", True),
        (" 5kg", " 5", True),
        (" 50%", " 50", True),
        (" 6 + 2 = 8", " 8", False),
        (" The answer is 8", " 8", True),
        (" H2O", " 2", False),
        ("v1.8", " 8", False),
        ("...8", " 8", True),
        (" .5", " 0.5", True),
        (" 1/2", " 1", False),
        (" 1/2", " 0.5", True),
        (" 1/0", " 1", False),
        (" eight", " 8", False),
        ("", " 8", False),
        ("9" * 40, "9" * 39 + "8", False),
    ],
)
def test_numbers(said: str, answer: str, right: bool) -> None:
    assert is_correct("number", said, answer) is right


@given(st.integers(-(10**15), 10**15), st.sampled_from(["{}", " {}.", "{} apples", "It is {}.", "({})", "{},"]))
def test_any_number_is_found_however_it_is_written(value: int, frame: str) -> None:
    for written in (str(value), f"{value:,}", f"{value}.00"):
        assert is_correct("number", frame.format(written), f" {value}")
        assert not is_correct("number", frame.format(written), f" {value + 1}")


@given(st.text())
def test_no_text_breaks_the_scoring(said: str) -> None:
    first_number(said)
    for kind, answer in (("number", " 8"), ("word", " Paris"), ("yes_no", " Yes"), ("text", "]}")):
        prompt = Prompt(text="x", answer=answer, key="x", operands=(3, 5))
        assert (failure(prompt, said, kind) == "correct") == is_correct(kind, said, answer)


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" Paris.", " Paris", True),
        (" PARIS, of course", " Paris", True),
        (" Parisian", " Paris", False),
        (" Paris's", " Paris", False),
        (" the Paris", " Paris", False),
        (" New Delhi.", " New Delhi", True),
        (" New York", " New Delhi", False),
        (" New", " New Delhi", False),
        (" Brasilia", " Brasília", True),
        (" Port-au-Prince!", " port-au-prince", True),
        ('"Mary"', " Mary", True),
        ("", " Mary", False),
        (" ,", " Mary", False),
        ("anything", " !", False),
    ],
)
def test_words(said: str, answer: str, right: bool) -> None:
    assert is_correct("word", said, answer) is right


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" Yes", " Yes", True),
        (" yes, because", " Yes", True),
        (" True", " Yes", True),
        (" no.", " Yes", False),
        (" Not at all", " No", False),
        (" Nobody", " No", False),
        (" NO", " No", True),
        (" Well, yes", " Yes", False),
        ("", " No", False),
    ],
)
def test_yes_and_no(said: str, answer: str, right: bool) -> None:
    assert is_correct("yes_no", said, answer) is right


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        ("]}", "]}", True),
        ("]}\n", "]}", True),
        ("]", "]}", False),
        (" the end", " the end", True),
        (" The end", " the end", False),
        (" the ending", " the end", False),
        (" the end, and", " the end", True),
        ("", "]}", False),
    ],
)
def test_other_text(said: str, answer: str, right: bool) -> None:
    assert is_correct("text", said, answer) is right


SUM = Prompt(text="6 + 3 =", answer=" 9", key="3+6", operands=(6, 3))
CHAIN = Prompt(text="(2 + 3) * 2 =", answer=" 10", key="(2+3)*2", operands=(2, 3, 2))


@pytest.mark.parametrize(
    ("prompt", "said", "expected"),
    [
        (SUM, " 9", "correct"),
        (SUM, " 9 9 9 9", "correct"),
        (SUM, " 90", "wrong"),
        (SUM, " 8", "off_by_one"),
        (SUM, " 10.", "off_by_one"),
        (SUM, " 18", "wrong_operation"),
        (SUM, " 2", "wrong_operation"),
        (SUM, " -3", "wrong_operation"),
        # 3 is also 6 - 3: the operation is asked before the copy.
        (SUM, " 3", "wrong_operation"),
        (SUM, " 6", "copied_operand"),
        (SUM, " 4", "wrong"),
        (SUM, " 9.5", "wrong"),
        (SUM, "", "incomplete"),
        (SUM, " \n ", "incomplete"),
        (SUM, " -", "incomplete"),
        (SUM, " the", "format"),
        (SUM, " the the the", "repetition"),
        (SUM, " 4 4 4 4", "repetition"),
        (SUM, " 4444444", "repetition"),
        (SUM, " = = = =", "repetition"),
        (SUM, "the cat the cat the cat the c", "repetition"),
        (SUM, " 777", "wrong"),
        (CHAIN, " 1", "incomplete"),
        (CHAIN, " 11", "off_by_one"),
        (CHAIN, " 7", "wrong_operation"),
        (CHAIN, " 12", "wrong_operation"),
        (CHAIN, " 2", "wrong_operation"),
        (CHAIN, " 50", "wrong"),
        (Prompt(text="6 + 3 =", answer=" 9", key="3+6"), " 18", "wrong"),
        (Prompt(text="9 + 0 =", answer=" 9", key="0+9", operands=(9, 0)), " 0", "wrong_operation"),
    ],
)
def test_failures_of_sums(prompt: Prompt, said: str, expected: str) -> None:
    assert failure(prompt, said, "number") == expected


@pytest.mark.parametrize(
    ("kind", "answer", "said", "expected"),
    [
        ("word", " New Delhi", " New", "incomplete"),
        ("word", " New Delhi", " New York", "wrong"),
        ("word", " Paris", " ...", "incomplete"),
        ("word", " Paris", " a city in", "wrong"),
        ("yes_no", " Yes", " No", "wrong"),
        ("yes_no", " Yes", " Y", "incomplete"),
        ("yes_no", " Yes", " Blicks are", "format"),
        ("text", "]}", "]", "incomplete"),
        ("text", "]}", "}", "wrong"),
        ("text", "]}", "", "incomplete"),
    ],
)
def test_failures_of_words(kind: str, answer: str, said: str, expected: str) -> None:
    assert failure(Prompt(text="x", answer=answer, key="x"), said, kind) == expected  # type: ignore[arg-type]


@given(st.text(alphabet="ab c", min_size=2, max_size=9), st.integers(3, 6))
def test_what_is_said_three_times_is_a_loop(piece: str, times: int) -> None:
    if len((piece * times).strip()) >= 4 and piece.strip() == piece:
        assert is_loop(piece * times)


def test_ordinary_answers_are_no_loops() -> None:
    for said in ("Paris", "1000000", "that is that", "Mississippi", "bananas", "no, no", "777", "1 1"):
        assert not is_loop(said)


def test_every_task_scores_its_own_prompts() -> None:
    for task in tasks().values():
        for split in SPLITS:
            for prompt in task.prompts(100, split):
                assert failure(prompt, task.cut(f"{prompt.answer}\nQ: 1"), task.answer_kind) == "correct"
                assert prompt.distractor is not None
                assert failure(prompt, prompt.distractor, task.answer_kind) not in ("correct", "format", "repetition")
