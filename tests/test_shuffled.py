"""Tasks with shuffled answers: the same prompts and answers, none beside its own, found by name and run again."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.errors import BadTask, UnknownName
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.planted.build import tokenizer
from lashley.experiments.tasks.arithmetic import ARITHMETIC
from lashley.experiments.tasks.induction import INDUCTION
from lashley.experiments.tasks.open_prompts import OPEN_PROMPTS
from lashley.experiments.tasks.registry import task, tasks
from lashley.experiments.tasks.shuffled import BLOCK, deranged, shuffled
from lashley.tools.replay.experiment import replay
from lashley.tools.workbench.catalog import named_task
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

LARGE = [t.name for t in tasks().values() if t.answer_kind != "open" and t.group != "small sets"]


@pytest.mark.parametrize("name", LARGE)
def test_no_prompt_keeps_its_answer_and_no_answer_is_lost(name: str) -> None:
    plain, other = task(name), shuffled(task(name))
    assert other.capacity("explore") == plain.capacity("explore")
    capacity = plain.capacity("explore")
    n = BLOCK if capacity >= 2 * BLOCK else capacity
    before, after = plain.prompts(n), other.prompts(n)
    assert [p.text for p in after] == [p.text for p in before]
    assert [p.key for p in after] == [p.key for p in before]
    both = [Counter((p.answer, p.distractor) for p in prompts) for prompts in (before, after)]
    assert both[0] == both[1]
    # A coincidence may give a right answer again, but no more often than two prompts agree.
    agreeing = sum(p.answer == q.answer for p in before for q in before if p is not q) / (n * (n - 1))
    assert sum(p.answer == q.answer for p, q in zip(before, after, strict=True)) / n <= agreeing + 0.25


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=40), st.integers(0, 5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_derangement_leaves_no_key_to_itself(keys: list[str], seed: int) -> None:
    if 2 * max(Counter(keys).values()) > len(keys):
        with pytest.raises(BadTask, match="ask the same"):
            deranged(keys, random.Random(seed))
        return
    givers = deranged(keys, random.Random(seed))
    assert sorted(givers) == list(range(len(keys)))
    assert all(keys[at] != keys[giver] for at, giver in enumerate(givers))


def test_a_larger_draw_begins_with_the_smaller_one_and_seeds_differ() -> None:
    other = shuffled(INDUCTION)
    assert other.prompts(200)[:70] == other.prompts(70)
    assert shuffled(INDUCTION, 1).prompts(8) != other.prompts(8)
    prints = {t.fingerprint() for t in (INDUCTION, other, shuffled(INDUCTION, 1))}
    assert len(prints) == 3
    assert other.fingerprint() == shuffled(INDUCTION).fingerprint()


def test_every_prompt_of_a_finite_task_is_there_once() -> None:
    other = shuffled(ARITHMETIC)
    n = min(300, other.capacity("confirm"))
    assert len({p.text for p in other.prompts(n, "confirm")}) == n


def test_a_tokenizer_still_leaves_out_what_it_cannot_carry() -> None:
    fitted = shuffled(INDUCTION).for_tokenizer(tokenizer())
    assert fitted.left_out == INDUCTION.for_tokenizer(tokenizer()).left_out != ""
    known = set(tokenizer().get_vocab())
    assert all(p.answer.replace(" ", "Ġ") in known for p in fitted.prompts(8))


def test_what_cannot_be_shuffled_is_refused() -> None:
    with pytest.raises(BadTask, match="no answers"):
        shuffled(OPEN_PROMPTS)
    with pytest.raises(BadTask, match="ask the same"):
        shuffled(task("small_addition")).prompts(1)


def test_it_is_found_by_name_and_run_again(tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "t.db")) as context:
        names = {name: context.find_task(name).fingerprint() for name in ("induction~shuffled", "induction~shuffled7")}
        assert len({INDUCTION.fingerprint(), *names.values()}) == 3
        assert {name: named_task(name, tmp_path / "t.db").fingerprint() for name in names} == names
        for wrong in ("no-such-thing~shuffled", "induction~sorted"):
            with pytest.raises(UnknownName):
                context.find_task(wrong)
        given = Baseline(model="planted:induction", task="induction~shuffled7", n=16)
        found = run_experiment(context, given)
        assert found.error is None
        logged = context.reader.experiment(found.number)
        accuracy = next(m.value for m in logged.measurements if m.name == "accuracy")
        assert accuracy < 0.2, "right for its own answers, wrong for these"
        assert replay(context, found.number)["same"]


def test_the_answers_of_ones_own_file_are_shuffled_too(tmp_path: Path) -> None:
    lines = "\n".join(f'{{"text": "w{i} is", "answer": " a{i}"}}' for i in range(40))
    (tmp_path / "own.jsonl").write_text(lines)
    with Context.open(str(tmp_path / "t.db")) as context:
        context.add_task_file(str(tmp_path / "own.jsonl"))
        prompts = context.find_task("own~shuffled").prompts(8)
    assert all(p.answer[2:] != p.text.split()[0][1:] for p in prompts)
    with Context.open(str(tmp_path / "t.db")) as context:
        assert context.find_task("own~shuffled").prompts(8) == prompts
