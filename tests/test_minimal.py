"""Smallest sets: laws of the search, the planted circuits, every architecture, and SmolLM2."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.minimal_set import MinimalSet
from lashley.experiments.lab import Lab
from lashley.experiments.methods.control_subsets import random_orders, random_subsets
from lashley.experiments.methods.minimal_set import SMALL, smallest
from lashley.experiments.methods.removal import elements
from lashley.experiments.model.loading import load
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.registry import task
from lashley.tests.corrupted_lab import last
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED, tiny_subject
from lashley.tools.report.figures import draw

GIVEN: dict[str, Any] = {"task": "induction", "n": 8}
worth = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def games(draw: st.DrawFn) -> tuple[list[str], Any]:
    """Members that are worth something alone and in pairs, and a bar that their sum has to reach."""
    count = draw(st.integers(1, 40))
    names = [f"m{i}" for i in range(count)]
    alone = np.array(draw(st.lists(worth, min_size=count, max_size=count)))
    pairs = np.random.default_rng(draw(st.integers(0, 99))).normal(0, draw(st.sampled_from([0.0, 0.3])), (count, count))
    bar = draw(st.floats(-1, 4))

    def score(sets: Sequence[frozenset[str]]) -> list[float]:
        found: list[float] = []
        for one in sets:
            there = np.array([name in one for name in names], dtype=float)
            found.append(float(alone @ there + there @ np.triu(pairs, 1) @ there - bar))
        return found

    return sorted(names, key=lambda name: -alone[names.index(name)]), score


@given(games(), st.integers(1, 4))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_what_is_found_is_enough_and_nothing_of_it_can_be_spared(game: tuple[list[str], Any], beam: int) -> None:
    order, score = game
    found = smallest(order, score, beam)
    enough = score([frozenset(order)])[0] >= 0
    assert (found is not None) == enough
    if found is None:
        return
    members = frozenset(found.members)
    assert score([members])[0] >= 0
    assert list(found.members) == [name for name in order if name in members]
    assert all(score([members - {name}])[0] < 0 for name in members)
    assert found.tried <= 4 * len(order) * (SMALL + 8) * beam


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(0, 60))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_where_members_only_add_up_there_is_no_smaller_set(worths: list[int], bar: int) -> None:
    worths = sorted(worths, reverse=True)
    names = [f"m{i}" for i in range(len(worths))]
    value = dict(zip(names, worths, strict=True))

    def score(sets: Sequence[frozenset[str]]) -> list[float]:
        return [sum(value[name] for name in one) - bar for one in sets]

    sizes = [k for k in range(len(names) + 1) for one in combinations(names, k) if score([frozenset(one)])[0] >= 0]
    found = smallest(names, score)
    assert (None if found is None else len(found.members)) == min(sizes, default=None)


def test_a_large_set_shrinks_in_few_runs() -> None:
    names = [f"m{i}" for i in range(200)]
    needed = frozenset(names[::9])
    asked: list[int] = []

    def score(sets: Sequence[frozenset[str]]) -> list[float]:
        asked.append(len(sets))
        return [float(len(needed & one)) - len(needed) for one in sets]

    found = smallest(names, score)
    assert found is not None
    assert set(found.members) == needed
    assert sum(asked) == found.tried < 1200


def members(result: Any) -> set[str]:
    return {e.site for e in result.effects}


@pytest.mark.parametrize("name", ["planted:induction", "planted:backup", "planted:dead-layer"])
@pytest.mark.parametrize("beam", [1, 3])
def test_the_planted_circuit_is_what_keeps_the_task(name: str, beam: int) -> None:
    truth = TRUTHS[name]
    kept = MinimalSet(model=name, goal="keep", beam=beam, **GIVEN).run(planted_lab(name))
    assert members(kept) - set(truth.redundant) == set(truth.needed)
    assert len(members(kept) & set(truth.redundant)) == min(1, len(truth.redundant))
    assert kept["share"].value > 0.9 > 0.1 > kept["all_removed"].value
    assert kept["members_needed"].value == kept["size"].value == len(kept.effects)
    assert all(e.value < -1 for e in kept.effects)
    assert kept["better_than_random"].value == 1.0 or truth.redundant, "another of a pair does as well"
    broken = MinimalSet(model=name, beam=beam, **GIVEN).run(planted_lab(name))
    assert len(members(broken)) == 1
    assert members(broken) <= set(truth.needed)
    assert broken["share"].value < 0.5


def test_heads_that_stand_in_for_each_other_are_found_together() -> None:
    name = "planted:backup"
    for where in ({"layers": [1]}, {"besides": list(TRUTHS[name].needed)}):
        result = MinimalSet.model_validate({"model": name, **where, **GIVEN}).run(planted_lab(name))
        assert members(result) == set(TRUTHS[name].redundant)
        assert result["members_needed"].value == 2
        assert all(e.value > 1 for e in result.effects)
        assert result["random_share"].value > 0.99
        assert "the task is broken (level 0.5)" in result.found
        assert "rank 1 of " in result.found


def test_where_not_even_all_of_them_suffice_nothing_is_searched() -> None:
    name, done = "planted:backup", list[str]()
    known = planted_lab(name)
    bench = Lab(known.subject, known.task, lambda what, *_: done.append(what))
    left = {"layers": [1], "besides": list(TRUTHS[name].redundant)}
    result = MinimalSet.model_validate({"model": name, **left, **GIVEN}).run(bench)
    assert result.found.startswith("Even all 2 heads do not break the task")
    assert result["share"].value > 0.99
    assert result.effects == ()
    assert "members_needed" not in {m.name for m in result.measurements}
    assert "each by itself" not in done
    assert "2 sets" not in done


def test_what_stays_in_any_case_must_be_there_and_leave_something() -> None:
    name, sizes = "planted:backup", planted_lab("planted:backup").subject.sizes
    with pytest.raises(BadConfiguration, match=r"^L0.H1 is not among the heads to search"):
        MinimalSet(model=name, layers=[1], besides=["L0.H1"], **GIVEN).check(sizes, planted_lab(name).task)
    every = [f"L1.H{h}" for h in range(4)]
    with pytest.raises(BadConfiguration, match=r"^besides names all parts"):
        MinimalSet(model=name, layers=[1], besides=every, **GIVEN).check(sizes, planted_lab(name).task)


@pytest.mark.parametrize(
    ("low", "high", "broken", "kept", "said"),
    [
        (0.1, 0.4, True, False, "the task is broken (level 0.5)"),
        (0.6, 0.9, False, True, "the task is kept (level 0.5)"),
        (0.5, 0.9, False, True, "the task is kept (level 0.5)"),
        (-0.192, 0.747, None, None, "undecided whether the task is kept or broken (level 0.5)"),
    ],
)
def test_a_set_is_enough_by_its_whole_interval(
    low: float, high: float, broken: bool | None, kept: bool | None, said: str
) -> None:
    assert MinimalSet(goal="break").shown(low, high) is broken
    assert MinimalSet(goal="keep").shown(low, high) is kept
    assert MinimalSet().said(low, high) == said


@functools.cache
def said_lab(kind: str) -> Lab:
    """Prompts whose answer is what the random subject says, so that there is something to keep."""
    texts = [f"w{i} w{i + 1}" for i in range(10, 50)]
    lines = [{"text": one, "answer": f" w{int(last(kind, one)[3:].argmax()) + 3}"} for one in texts]
    return Lab(tiny_subject(kind), from_jsonl("said", "\n".join(map(json.dumps, lines))))


@pytest.mark.parametrize("kind", SAMPLED)
def test_on_every_architecture_the_share_is_what_the_values_give(kind: str) -> None:
    bench = said_lab(kind)
    result = MinimalSet(task="said", n=8, metric="prob", parts="mlps", goal="keep", level=0.9).run(bench)
    own, intact = result.arrays["prob"], result.arrays["intact"][0]
    assert result["share"].value == pytest.approx(own[0].mean() / intact.mean(), rel=1e-4)
    for i, effect in enumerate(result.effects, start=1):
        assert effect.value == pytest.approx((own[i] - own[0]).mean(), abs=1e-6)
    # Questions are resampled by hand, both means over the same ones.
    drawn = np.random.default_rng(1).integers(0, 8, (4000, 8))
    ends = [np.quantile(row[drawn].mean(1) / intact[drawn].mean(1), [0.025, 0.975]) for row in own]
    share = result["share"]
    assert share.low is not None
    assert share.high is not None
    # The tails of so few are widened, so the program's interval holds the plain one.
    assert share.low <= ends[0][0] + 0.02
    assert share.high >= ends[0][1] - 0.02
    enough = share.low >= 0.9
    counted = [m.value for m in result.measurements if m.name == "members_needed"]
    # Of a set that is not enough itself, "not enough without it" would hold for every member.
    assert len(counted) == enough
    assert sum(counted) <= sum(end[1] < 0.9 + 0.02 for end in ends[1:])
    codes = [note.code for note in result.notes]
    assert ("set_not_enough" in codes) == (share.high < 0.9)
    assert ("set_open" in codes) == (share.low < 0.9 <= share.high)
    assert result["identity"].value < 1e-3


SIZES = {"n_layers": 6, "n_heads": 4, "n_kv_heads": 4}


def by_layer(names: frozenset[str] | list[str]) -> list[str]:
    return sorted(name.split(".")[0] for name in names)


def test_random_sets_are_different_others_and_as_large() -> None:
    heads = elements("heads", SIZES)
    names = list(heads)
    for pool in ("matched", "anywhere"):
        sets = random_subsets(heads, names[5:8], 6, 0, 20, pool)
        assert len(set(sets)) == 20
        assert {len(one) for one in sets} == {3}
        assert random_subsets(heads, [], 6, 0, 20, pool) == random_subsets(heads, names, 6, 0, 20, pool) == []
        for chosen in (names[:3], names[1:]):
            drawn = random_subsets(heads, chosen, 6, 0, 200, pool)
            assert frozenset(chosen) not in drawn
            assert {len(one) for one in drawn} == {len(chosen)}
    assert len(random_subsets(heads, names[1:], 6, 0, 200, "anywhere")) == 23


def test_matched_sets_have_parts_of_the_same_layers() -> None:
    heads = elements("heads", SIZES)
    # Two of four in layer 2 and one of four in layer 4 leave other heads enough for six sets without a member.
    chosen = ["L2.H0", "L4.H1"]
    for one in random_subsets(heads, chosen, 6, 0, 9):
        assert by_layer(one) == by_layer(chosen)
        assert not one & set(chosen)
    # With three quarters of all heads there are not enough others, so that the sets share members.
    most = [name for name in heads if not name.endswith("H0")]
    for one in random_subsets(heads, most, 6, 0, 20):
        assert by_layer(one) == by_layer(most)


def test_whole_layers_of_the_middle_are_not_compared_with_the_ends() -> None:
    layers = elements("layers", {**SIZES, "n_layers": 9})
    for one in random_subsets(layers, ["L4", "L6"], 9, 0, 20):
        assert not one & {"L0", "L1", "L8"}
    assert {name for one in random_subsets(layers, ["L0"], 9, 0, 20) for name in one} >= {"L1", "L8"}
    anywhere = random_subsets(layers, ["L4", "L6"], 9, 0, 40, "anywhere")
    assert any(one & {"L0", "L1", "L8"} for one in anywhere)


def test_orders_of_a_matched_pool_keep_the_layer_of_each_place() -> None:
    heads, layers = elements("heads", SIZES), elements("layers", {**SIZES, "n_layers": 9})
    given = list(heads)[::-1]
    orders = random_orders(heads, given, 6, 0, 8)
    assert len(set(map(tuple, orders))) == 8
    for one in orders:
        assert sorted(one) == sorted(given)
        assert [name.split(".")[0] for name in one] == [name.split(".")[0] for name in given]
    given = ["L4", "L0", "L5", "L8", "L2", "L3", "L1", "L6", "L7"]
    ends = {"L0", "L1", "L8"}
    for one in random_orders(layers, given, 9, 0, 8):
        assert [name in ends for name in one] == [name in ends for name in given]
    assert any([n in ends for n in one] != [n in ends for n in given]
               for one in random_orders(layers, given, 9, 0, 8, "anywhere"))  # fmt: skip


def test_without_a_task_there_is_nothing_to_keep() -> None:
    with pytest.raises(BadConfiguration, match=r"nothing to keep or break"):
        MinimalSet(model="planted:null", **GIVEN).run(planted_lab("planted:null"))


@pytest.mark.slow
def test_the_layers_that_smollm_keeps() -> None:
    bench = Lab(load("smollm2-135m", "cpu"), task("capitals"))
    layers = [0, 5, 10, 15, 20, 28]
    result = MinimalSet(task="capitals", n=4, parts="mlps", layers=layers, goal="keep").run(bench)
    assert "L0.mlp" in members(result)
    assert len(result.found) < 1500
    for figure in result.figures:
        assert "capitals" in draw(figure)
