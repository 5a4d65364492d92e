"""What a subject can do: it says the answer, it prefers the answer, each by an exact test against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from lashley.experiments.answers.ability import ability, exact_p
from lashley.experiments.answers.chance import LEVEL, chance_of, preference_chance
from lashley.experiments.lab import Intact
from lashley.experiments.result import Note, Result
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.registry import task, tasks
from lashley.experiments.tasks.task import Task

PROMPTS = [Prompt(text=f"{i} is", answer=f" {i % 4}", distractor=" 9", key=str(i)) for i in range(32)]
TASK = task("arithmetic")


def intact(right: int, preferred: int) -> Intact:
    ones = np.arange(32)
    return Intact([""] * 32, (ones < right).astype(float), {"logit_diff": np.where(ones < preferred, 1.0, -1.0)})


@pytest.mark.parametrize(
    ("right", "preferred", "says", "prefers"),
    [(32, 32, True, True), (20, 30, True, True), (8, 30, False, True), (30, 20, True, False), (9, 20, False, False)],
)
def test_each_grade_is_tested_against_its_own_chance(right: int, preferred: int, says: bool, prefers: bool) -> None:
    found = ability(TASK, PROMPTS, intact(right, preferred))
    assert found is not None
    assert found.prefers is not None
    assert (found.says.shown, found.prefers.shown, found.able) == (says, prefers, says or prefers)
    assert ("not shown to do the task" in found.summary) is not found.able
    # A quarter of the answers are the same word, which is never the distractor: chance is 1/4, and 1/2 + 1/8.
    assert found.says.p == pytest.approx(float(binomtest(right, 32, 0.25, "greater").pvalue))
    assert found.prefers.p == pytest.approx(float(binomtest(preferred, 32, 0.625, "greater").pvalue))


CODES: dict[tuple[bool, bool], dict[str | None, list[str]]] = {
    (True, True): {"logit_diff": [], "accuracy": [], "loss": [], None: []},
    (False, True): {name: ["not_said"] for name in ("logit_diff", "accuracy", "loss", None)},
    (True, False): {"logit_diff": ["not_preferred"], "accuracy": [], "loss": [], None: []},
    (False, False): {name: ["unable"] for name in ("logit_diff", "accuracy", "loss", None)},
}


@pytest.mark.parametrize("grades", list(CODES))
def test_what_is_doubted_follows_from_what_was_measured(grades: tuple[bool, bool]) -> None:
    says, prefers = grades
    found = ability(TASK, PROMPTS, intact(30 if says else 0, 30 if prefers else 0))
    assert found is not None
    for metric, codes in CODES[grades].items():
        doubts = found.doubts(metric)
        assert [one.code for one in doubts] == codes
        first = Note(code="mine", text="first")
        assert Result(doubts=doubts, notes=(first,)).notes == (first, *(Note(**one.model_dump()) for one in doubts))


def test_who_only_prefers_is_told_so_and_not_that_it_cannot() -> None:
    """The capitals that a small model tells from wrong ones, and does not generate."""
    capitals = [Prompt(text=f"{i} is", answer=f" c{i}", distractor=f" c{(i + 5) % 16}", key=str(i)) for i in range(16)]
    right = np.zeros(16)
    found = ability(TASK, capitals, Intact([""] * 16, right, {"logit_diff": np.full(16, 8.0)}))
    assert found is not None
    assert found.able
    assert "is not shown to say the answer (accuracy 0.000" in found.summary
    assert "but it prefers the answer to the distractor (a share of 1.000" in found.summary
    assert "mean nothing" not in found.summary


def test_a_fixed_preference_is_no_ability() -> None:
    """Always preferring True is right in 24 of 32 prompts where 24 answers are True."""
    words = [(" True", " False") if i % 4 else (" False", " True") for i in range(32)]
    prompts = [Prompt(text=f"{i}:", answer=a, distractor=d, key=str(i)) for i, (a, d) in enumerate(words)]
    always = np.array([1.0 if a == " True" else -1.0 for a, _ in words])
    assert preference_chance(prompts).summary == "0.750 (always preferring 'true')"
    found = ability(TASK, prompts, Intact([""] * 32, np.zeros(32), {"logit_diff": always}))
    assert found is not None
    assert not found.able
    one_answer = [p.model_copy(update={"answer": " True", "distractor": " False"}) for p in prompts]
    assert preference_chance(one_answer).value == 0.5


def test_the_exact_test_counts_questions() -> None:
    right = np.array([1.0, 1.0, 1.0, 0.0] * 8)
    own = [str(i) for i in range(32)]
    assert exact_p(right, 0.5, own) == pytest.approx(float(binomtest(24, 32, 0.5, "greater").pvalue))
    # Eight questions, each right in three of its four prompts: six of eight.
    shared = [str(i // 4) for i in range(32)]
    assert exact_p(right, 0.5, shared) == pytest.approx(float(binomtest(6, 8, 0.5, "greater").pvalue))
    assert exact_p(np.zeros(32), 0.0, own) == 1.0
    assert exact_p(right, 0.0, own) == 0.0


@pytest.mark.parametrize("chance", [0.25, 0.5])
def test_a_guesser_seldom_passes(chance: float) -> None:
    """At most one in forty passes one test, whatever the number of prompts to a question."""
    rng = np.random.default_rng(3)
    for each in (1, 3):
        asked = [str(i // each) for i in range(24)]
        # The prompts of a question share its fate: the worst case.
        fates = rng.random((2000, 24 // each)) < chance
        passed = [exact_p(np.repeat(fate, each).astype(float), chance, asked) < LEVEL for fate in fates]
        assert np.mean(passed) <= LEVEL + 0.01


def guessed(by: float) -> Task:
    return TASK.model_copy(update={"guess": lambda _: by})


def test_chance_is_that_of_the_better_guesser() -> None:
    assert chance_of(TASK, PROMPTS).summary == "0.250 (always answering '0')"
    assert chance_of(guessed(0.5), PROMPTS).value == 0.5
    assert "choosing" in chance_of(guessed(0.5), PROMPTS).by
    assert chance_of(guessed(0.1), PROMPTS).value == 0.25
    # All of one answer says nothing of how hard it is to find.
    assert chance_of(TASK, PROMPTS[:1]).value == 0.0
    assert chance_of(guessed(0.1), PROMPTS[:1]).value == 0.1


def test_with_a_chance_of_one_half_sixteen_of_twenty_are_not_enough_and_thirty_of_32_are() -> None:
    even = guessed(0.5)
    few, many = ability(even, PROMPTS, intact(20, 32)), ability(even, PROMPTS, intact(30, 32))
    assert few is not None
    assert many is not None
    assert "against a chance of 0.500" in few.says.summary
    assert not few.says.shown
    assert many.says.shown


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
    found = ability(TASK, shared, intact(8, 16))
    assert found is not None
    assert "32 prompts that ask 4 different questions" in found.why
    assert "32 prompts that ask 4 different questions" in found.doubts()[0].text
    same = ability(TASK, PROMPTS, intact(20, 32))
    assert same is not None
    assert "questions" not in same.summary
