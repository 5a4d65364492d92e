"""The laws that the prompts of every family keep."""

from __future__ import annotations

from collections import Counter

import pytest

from lashley.experiments.errors import BadTask
from lashley.experiments.tasks.drawn import Drawn
from lashley.experiments.tasks.fitted import Fitted
from lashley.experiments.tasks.prompt import SPLITS, Split
from lashley.experiments.tasks.registry import task
from lashley.experiments.tasks.task import Source
from lashley.tests.draw import CALCULATIONS, ENOUGH, FAMILIES, drawn
from lashley.tests.solved import is_right

# How many words the twin changes, where it is not one; None where another subject may have another number of words.
CHANGED: dict[str, int | None] = {
    "logic": 2,
    "json_closing": None,
    "induction": None,
    "repetition": None,
    **dict.fromkeys(("languages", "continents", "cities", "elements", "authors", "years"), None),
    # A sum may have no neighbour of the same split with as many digits.
    **dict.fromkeys(CALCULATIONS, None),
}


def _plain(name: str) -> Source:
    source = task(name).source
    return source.source if isinstance(source, Fitted) else source


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", FAMILIES)
class TestEveryFamily:
    def test_the_answer_and_that_of_the_twin_are_right(self, name: str, split: Split) -> None:
        for p in drawn(name, split):
            assert is_right(name, p.text, p.answer)
            assert p.distractor is not None
            assert not is_right(name, p.text, p.distractor)
            assert p.corrupted is not None
            assert p.corrupted_answer is not None
            assert is_right(name, p.corrupted, p.corrupted_answer)
            assert not is_right(name, p.text, p.corrupted_answer)

    def test_the_twin_is_one_small_change(self, name: str, split: Split) -> None:
        for p in drawn(name, split):
            assert p.corrupted is not None
            assert p.template
            words, twin = p.text.split(), p.corrupted.split()
            if CHANGED.get(name, 1) is None:
                assert words != twin
                continue
            assert len(words) == len(twin)
            changed = [(a, b) for a, b in zip(words, twin, strict=True) if a != b]
            assert len(changed) == CHANGED.get(name, 1)

    def test_texts_are_distinct_and_of_this_split(self, name: str, split: Split) -> None:
        prompts = drawn(name, split, seed=5, n=3000)
        assert len({p.text for p in prompts}) == len(prompts)
        assert {p.split for p in prompts} == {split}

    def test_a_larger_draw_contains_the_smaller_one(self, name: str, split: Split) -> None:
        assert drawn(name, split, seed=3, n=90)[:31] == drawn(name, split, seed=3, n=31)

    def test_seeds_draw_differently(self, name: str, split: Split) -> None:
        assert drawn(name, split, seed=1, n=40) != drawn(name, split, seed=2, n=40)

    def test_distractors_are_wrong_and_of_the_same_form(self, name: str, split: Split) -> None:
        for p in drawn(name, split):
            assert p.distractor is not None
            assert p.distractor != p.answer
            assert (p.distractor[0], p.answer[0]) == (" ", " ") or name in ("json_closing", "greater_than")
            if task(name).answer_kind == "number" and name != "kth_smallest":
                assert len(p.distractor) == len(p.answer)

    def test_keys_come_up_evenly(self, name: str, split: Split) -> None:
        if name in (*CALCULATIONS, "successor") or isinstance(_plain(name), Drawn):
            pytest.skip("keys of this one have different numbers of prompts")
        # No more than half of what there is: doubles such as 2 + 2 have half as many prompts as the rest.
        n = min(ENOUGH, task(name).capacity(split) // 2)
        counts = Counter(p.key for p in drawn(name, split, n=n)).values()
        assert max(counts) - min(counts) <= 1

    def test_at_least_a_hundred(self, name: str, split: Split) -> None:
        assert task(name).capacity(split) >= 100

    def test_texts_end_where_the_answer_begins(self, name: str, split: Split) -> None:
        for p in drawn(name, split, n=50):
            assert not p.text[-1].isspace()
            assert "  " not in p.text + p.answer or task(name).group == "code"


@pytest.mark.parametrize("name", FAMILIES)
def test_no_key_is_in_both_splits_over_seeds(name: str) -> None:
    keys = {split: {p.key for seed in range(4) for p in drawn(name, split, seed)} for split in SPLITS}
    assert not keys["explore"] & keys["confirm"]
    assert all(keys.values())


@pytest.mark.parametrize("name", [name for name in FAMILIES if task(name).capacity("explore") < 25_000])
def test_the_capacity_is_what_can_be_drawn(name: str) -> None:
    for split in SPLITS:
        exist = task(name).capacity(split)
        assert len({p.text for p in task(name).prompts(exist, split)}) == exist
        with pytest.raises(BadTask, match=f"has only {exist} of .* prompts in its {split} split.*Use at most {exist}"):
            task(name).prompts(exist + 1, split)
