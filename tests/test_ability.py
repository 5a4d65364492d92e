"""Whether a subject can do a task at all: by whole intervals, above chance and above the distractor."""

from __future__ import annotations

import numpy as np
import pytest

from lashley.experiments.ability import ability
from lashley.experiments.chance import chance_of
from lashley.experiments.lab import Intact
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.registry import task, tasks
from lashley.experiments.tasks.task import Task

PROMPTS = [Prompt(text=f"{i} is", answer=f" {i % 4}", distractor=" 9", key=str(i)) for i in range(32)]
TASK = task("arithmetic")


def intact(right: int, preferred: int) -> Intact:
    ones = np.arange(32)
    return Intact([""] * 32, (ones < right).astype(float), {"logit_diff": np.where(ones < preferred, 1.0, -1.0)})


@pytest.mark.parametrize(
    ("right", "preferred", "able"), [(32, 32, True), (20, 30, True), (8, 30, False), (30, 16, False), (0, 0, False)]
)
def test_both_must_be_above_chance_by_the_whole_interval(right: int, preferred: int, able: bool) -> None:
    found = ability(TASK, PROMPTS, intact(right, preferred))
    assert found is not None
    assert (not found.reasons) is able
    assert bool(found.notes) is not able
    assert ("not shown" in found.told) is not able


def guessed(by: float) -> Task:
    return TASK.model_copy(update={"guess": lambda _: by})


def test_chance_is_that_of_the_better_guesser() -> None:
    assert chance_of(TASK, PROMPTS).told == "0.250 (always answering '0')"
    assert chance_of(guessed(0.5), PROMPTS).value == 0.5
    assert "picking" in chance_of(guessed(0.5), PROMPTS).by
    assert chance_of(guessed(0.1), PROMPTS).value == 0.25
    # All of one answer says nothing of how hard it is to find.
    assert chance_of(TASK, PROMPTS[:1]).value == 0.0
    assert chance_of(guessed(0.1), PROMPTS[:1]).value == 0.1


def test_with_a_chance_of_one_half_sixteen_of_twenty_are_not_enough_and_thirty_of_32_are() -> None:
    even = guessed(0.5)
    few, many = ability(even, PROMPTS, intact(20, 32)), ability(even, PROMPTS, intact(30, 32))
    assert few is not None
    assert many is not None
    assert "not above a chance of 0.500" in few.reasons[0]
    assert not many.reasons


def test_of_open_prompts_there_is_no_verdict() -> None:
    assert ability(TASK, PROMPTS, Intact(["a"] * 32, None, {})) is None


# What a guesser gets on two hundred prompts of each family that says more than "a number" or "a word".
LEVELS = {
    "greater_than": (0.4, 0.6), "logic": (0.5, 0.5), "syllogisms": (0.33, 0.35), "rules": (0.5, 0.5), "ioi": (0.5, 0.5),
    "gender": (0.5, 0.7), "induction": (1 / 20, 1 / 8), "copying": (1 / 6, 1 / 3), "repetition": (1 / 4, 1 / 2),
    "successor": (1 / 26, 1 / 7), "kth_smallest": (1 / 16, 1 / 14), "docstring": (1 / 6, 1 / 6),
    "json_closing": (1 / 16, 1 / 2),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, t in tasks().items() if t.answer_kind != "open"])
def test_every_task_has_a_chance_and_no_more_than_one_answer_gives(name: str) -> None:
    its = task(name)
    prompts = its.prompts(min(240, its.capacity("explore")))
    found = chance_of(its, prompts)
    assert 0 <= found.value < 1
    if its.guess is not None:
        low, high = LEVELS[name]
        assert low - 1e-9 <= found.value <= high + 1e-9
    elif len(prompts) > 3:
        assert found.value <= 0.5


def test_how_few_questions_there_are_is_said_where_the_verdict_is_no() -> None:
    shared = [p.model_copy(update={"key": str(i % 4)}) for i, p in enumerate(PROMPTS)]
    found = ability(TASK, shared, intact(20, 32))
    assert found is not None
    assert "32 prompts that ask 4 different questions" in found.told
    assert "32 prompts that ask 4 different questions" in found.notes[0]
    same = ability(TASK, PROMPTS, intact(20, 32))
    assert same is not None
    assert not same.reasons
