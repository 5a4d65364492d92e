"""Prompts, splits, fingerprints: what holds of any task."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lashley.experiments.errors import BadTask
from lashley.experiments.tasks.prompt import Prompt, split_of
from lashley.experiments.tasks.registry import task, tasks
from lashley.experiments.tasks.task import Task


@given(st.text(min_size=1))
def test_a_split_is_a_function_of_the_key_alone(key: str) -> None:
    a, b = (Prompt(text=text, answer=" x", key=key) for text in ("one", "two"))
    assert a.split == b.split == split_of(key)


def test_known_splits_do_not_move() -> None:
    """Studies of the past rest on these; a change would put what was explored into what confirms."""
    keys = ("1+1", "2+3", "3+4", "4+5", "France", "Japan", "Kenya", "John Mary")
    assert "".join(split_of(key)[0] for key in keys) == "ecceceee"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"answer": " "}, "answer is empty"),
        ({"answer": ""}, "answer is empty"),
        ({"distractor": " 5"}, "same as the answer"),
        ({"distractor": "6"}, "start with a space"),
        ({"text": "2 + 3 = "}, "ends with a blank"),
        ({"spans": {"a": (0, 99)}}, "outside the text"),
        ({"spans": {"a": (2, 2)}}, "empty"),
        ({"spans": {"a": (-1, 2)}}, "outside the text"),
        ({"corrupted_answer": " 7"}, "without corrupted"),
        ({"corrupted": "2 + 3 ="}, "same as text"),
        ({"corrupted": "2 + 4 =", "corrupted_answer": " 5"}, "same as the answer"),
        ({"accepted": (" 4", " 6")}, "accepted must contain the answer"),
        ({"accepted": (" 5", " 6"), "distractor": " 6"}, "but not the distractor"),
        ({"open": True}, "an open prompt has no answer"),
        ({"key": ""}, "at least 1 character"),
        ({"nonsense": 1}, "not permitted"),
    ],
)
def test_a_prompt_that_contradicts_itself_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Prompt.model_validate({"text": "2 + 3 =", "answer": " 5", "key": "2+3"} | wrong)


def test_a_request_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(BadTask, match="at least 1"):
        task("ioi").prompts(0)
    with pytest.raises(BadTask, match="explore or confirm"):
        task("ioi").prompts(1, "test")  # type: ignore[arg-type]


def test_generated_text_is_cut_at_the_first_stop() -> None:
    assert task("arithmetic").cut(" 6\n4 + 3") == " 6"
    assert task("arithmetic").cut(" 6") == " 6"
    assert task("arithmetic").model_copy(update={"stop": (".", "\n", "Q")}).cut("a Q. b\n") == "a "


def test_fingerprints_tell_tasks_apart_and_stay() -> None:
    prints = {name: t.fingerprint() for name, t in tasks().items()}
    assert len(set(prints.values())) == len(prints)
    again = "from lashley.experiments.tasks.registry import task; print(task('ioi').fingerprint())"
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == prints["ioi"]
    arithmetic = task("arithmetic")
    assert arithmetic.model_copy(update={"stop": ()}).fingerprint() != arithmetic.fingerprint()
    assert arithmetic.model_copy(update={"title": "Sums"}).fingerprint() == arithmetic.fingerprint()


def test_a_task_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"name": "two words"})
    with pytest.raises(ValidationError, match="frozen"):
        task("ioi").name = "other"  # type: ignore[misc]
