"""No answer gives itself away: by its share, by a solved line, or by the other split."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.tasks.prompt import SPLITS, Split, split_of
from lashley.experiments.tasks.registry import task
from lashley.tests.draw import CALCULATIONS, drawn
from lashley.tests.solve import NEXT


@given(n=st.integers(1, 300), seed=st.integers(-5, 10**12), split=st.sampled_from(SPLITS))
@settings(max_examples=30, deadline=None)
def test_yes_and_no_are_balanced_for_any_number(n: int, seed: int, split: Split) -> None:
    counts = Counter(p.answer for p in task("logic").prompts(n, split, seed))
    assert abs(counts[" Yes"] - counts[" No"]) <= 1


def test_logic_cannot_be_solved_by_the_words_alone() -> None:
    for p in drawn("logic", "explore"):
        assert p.corrupted is not None
        assert sorted(p.text.split()) == sorted(p.corrupted.split())


def test_copying_a_solved_line_is_never_right() -> None:
    for name in ("arithmetic", "multi_step"):
        for p in drawn(name, "explore"):
            results = [line.rstrip(".").split()[-1] for line in p.text.splitlines()[:-1]]
            assert len(set(results)) == 2
            assert not {p.answer.strip(), (p.corrupted_answer or "").strip()} & set(results)


def test_a_solved_line_shows_nothing_of_the_other_split() -> None:
    for split in SPLITS:
        for p in drawn("arithmetic", split):
            for line in p.text.splitlines()[:-1]:
                a, b = sorted(map(int, re.findall(r"\d+", line)[:2]))
                assert split_of(f"{a}+{b}") == split
        for p in drawn("multi_step", split):
            for line in p.text.splitlines()[:-1]:
                assert split_of(_chain(line)) == split


@pytest.mark.parametrize("name", CALCULATIONS)
def test_a_solved_calculation_shows_nothing_of_the_other_split(name: str) -> None:
    for split in SPLITS:
        for p in drawn(name, split):
            for line in p.text.splitlines()[:-1] if p.text.endswith("=") else []:
                sign = re.findall(r" ([-+*/]) ", line)[0]
                numbers = re.findall(r"\d+", line.split("=")[0])
                assert split_of(sign.join(numbers if sign in "-/" else sorted(numbers, key=int))) == split
                assert int(line.split("=")[1]) not in {int(p.answer), int(p.corrupted_answer or 0)}


def test_a_solved_pair_of_a_series_shows_nothing_of_the_other_split() -> None:
    for split in SPLITS:
        for p in drawn("successor", split):
            for line in p.text.splitlines()[:-1] if "Q:" not in p.text else []:
                shown, _ = (word for word in re.findall(r"\w+", line) if word in {*NEXT, *NEXT.values()})
                assert split_of(shown) == split


def test_depths_are_balanced_and_each_has_as_many_of_both_answers() -> None:
    for split in SPLITS:
        counts = Counter((p.template.split(".")[1][0], p.answer) for p in drawn("rules", split))
        assert len(counts) == 12
        # The walk is even to one for each time that it has gone through all contents.
        assert max(counts.values()) - min(counts.values()) <= 3


def test_answers_to_syllogisms_are_balanced_for_all_as_for_no() -> None:
    prompts = drawn("syllogisms", "explore")
    counts = Counter((p.text[slice(*p.spans["quantifier"])], p.answer) for p in prompts)
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) <= 6


def _chain(line: str) -> str:
    """The key of a solved chain, such as (2+3)*2."""
    signs = {"Add": "+", "Subtract": "-", "Multiply": "*"}
    words = line.replace("by ", "").replace("(", "").replace(")", "").replace(".", "").replace("Start with ", "")
    a, first, b, second, c = (signs.get(word, word) for word in words.split()[:5])
    if first in "+*":
        a, b = sorted((a, b))
    return f"({a}{first}{b}){second}{c}"


def test_few_shot_sums_have_the_same_shape() -> None:
    for name in ("arithmetic", "multi_step"):
        shapes: dict[str, set[str]] = {}
        for split in SPLITS:
            for p in drawn(name, split):
                shape = re.sub(r"[+*-]", "o", re.sub(r"\d", "n", p.text + p.answer))
                shapes.setdefault(p.template, set()).add(shape)
        assert all(len(same) == 1 for same in shapes.values())


def test_a_sum_is_in_the_same_split_however_it_is_asked() -> None:
    keys = {name: {p.key for p in drawn(name, "explore")} for name in ("arithmetic", "arithmetic_questions")}
    assert keys["arithmetic"] == keys["arithmetic_questions"]


def test_both_orders_of_ioi_come_up_equally() -> None:
    orders = Counter(p.template.split("-")[1] for p in drawn("ioi", "explore", n=320))
    assert orders["abba"] == orders["baba"] == 160
