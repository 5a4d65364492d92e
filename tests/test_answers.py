"""What counts as right, and how what is wrong is told apart."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.answers.failures import failure
from lashley.experiments.answers.grading import first_number, is_correct
from lashley.experiments.tasks.prompt import SPLITS, Prompt
from lashley.experiments.tasks.registry import tasks
from lashley.experiments.tasks.task import AnswerKind


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
        (" 6 + 2 = 8", " 8", True),
        (" 6 + 2 = 7. 8", " 8", False),
        (" 6 + 2", " 6", False),
        (" 4*-2 = -8", " -8", True),
        (" 4 / 2 = 2", " 2", True),
        (" 315/3 = 105", " 105", True),
        (" 315/3 = 11", " 105", False),
        (" 315/3 = 11", " 11", True),
        (" 315/3", " 105", False),
        (" 16/4.", " 4", False),
        (" 1/2.", " 0.5", True),
        (" 3/6 = 1/2", " 0.5", True),
        (" 9. 4 + 4 = 8", " 8", False),
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


KINDS: tuple[tuple[AnswerKind, str], ...] = (
    ("number", " 8"),
    ("word", " Paris"),
    ("name", " Paris"),
    ("yes_no", " Yes"),
    ("true_false_unknown", " Unknown"),
    ("text", "]}"),
)


@given(st.text())
@settings(deadline=None)
def test_no_text_breaks_the_scoring(said: str) -> None:
    first_number(said)
    for kind, answer in KINDS:
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
        (" Paris, which is", " Paris", True),
        (" Lyon, not Paris", " Paris", False),
        (" the capital of France", " Paris", False),
        (" Brasilia", " Brasília", True),
        (" Port-au-Prince!", " port-au-prince", True),
        ('"Mary"', " Mary", True),
        ("", " Mary", False),
        (" ,", " Mary", False),
        ("anything", " !", False),
        (" The capital of France is Paris.", " Paris", True),
        (" It is Rome, not Paris", " Paris", False),
        (" The Hague is in", " The Hague", True),
    ],
)
def test_words(said: str, answer: str, right: bool) -> None:
    assert is_correct("word", said, answer) is right


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" Mary.", " Mary", True),
        (" MARY", " Mary", True),
        (" the Mary", " Mary", True),
        (" Mrs. Mary", " Mary", True),
        (" to Mary", " Mary", True),
        (" the museum, and Mary", " Mary", False),
        (" mary", " Mary", False),
        (" his friend Mary", " Mary", False),
        (" The capital is Paris", " Paris", True),
        (" the", " Paris", False),
    ],
)
def test_names(said: str, answer: str, right: bool) -> None:
    assert is_correct("name", said, answer) is right


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" True", " True", True),
        (" yes", " True", True),
        (" False.", " True", False),
        (" Unknown", " Unknown", True),
        (" It cannot be determined.", " Unknown", True),
        (" uncertain", " Unknown", True),
        (" Unknown", " False", False),
        (" True, unknown", " Unknown", False),
        (" Max", " True", False),
        (" The answer is: Unknown", " Unknown", True),
        (" The answer is unknown, so no", " False", False),
    ],
)
def test_true_false_and_unknown(said: str, answer: str, right: bool) -> None:
    assert is_correct("true_false_unknown", said, answer) is right


def test_nothing_is_right_or_wrong_of_an_open_prompt() -> None:
    with pytest.raises(ValueError, match="no answer"):
        is_correct("open", " Once upon a time", "")


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
        (" The answer is no.", " No", True),
        (" The answer is no.", " Yes", False),
        (" The answer is not", " No", False),
        (" The answer", " No", False),
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
        ("]}, {", "]}", True),
        ("]}]", "]}", False),
        ("]]", "]", False),
        ("})", "}", False),
        (" the end", " the end", True),
        (" The end", " the end", False),
        (" the ending", " the end", False),
        (" the end, and", " the end", True),
        ("", "]}", False),
    ],
)
def test_other_text(said: str, answer: str, right: bool) -> None:
    assert is_correct("text", said, answer) is right


def test_every_task_scores_its_own_prompts() -> None:
    asking = [task for task in tasks().values() if task.answer_kind != "open"]
    for task, split in product(asking, SPLITS):
        exist = min(100, task.capacity(split))
        for prompt in task.prompts(exist, split) if exist else ():
            assert failure(prompt, task.cut(f"{prompt.answer}\nQ: 1"), task.answer_kind) == "correct"
            assert prompt.distractor is not None
            assert failure(prompt, prompt.distractor, task.answer_kind) not in ("correct", "format", "repetition")
