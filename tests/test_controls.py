"""The controls that come by themselves: what they are, that they match, and that a broken one is told."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.interventions import Intervention
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.lab import Lab
from lashley.experiments.methods.control_programs import moved_programs
from lashley.experiments.methods.control_sets import random_others, random_sets
from lashley.experiments.methods.controls import (
    TOLERANCE,
    Compared,
    among,
    compare,
    control_measurements,
    identity,
)
from lashley.experiments.methods.removal import removal
from lashley.experiments.metrics import metrics
from lashley.experiments.result import Result
from lashley.experiments.sites import head
from lashley.experiments.statistics.intervals import effects
from lashley.experiments.statistics.random_sets import DRAWS
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.tests.tiny import SAMPLED, tiny_subject

SIZES = {"n_layers": 6, "n_heads": 5}
GIVEN: dict[str, Any] = {"task": "counting", "n": 6}
LINES = [{"text": f"w{i} w{i + 1}", "answer": f" w{i + 2}", "distractor": f" w{i + 3}"} for i in range(10, 40)]


@functools.cache
def counting_lab(kind: str = "llama") -> Lab:
    return Lab(tiny_subject(kind), from_jsonl("counting", "\n".join(map(json.dumps, LINES))))


# --- identity


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize(
    "edited",
    [
        removal("one", [head(1, 2)], "zero"),
        removal("three", [head(0, 1), head(0, 3), head(2, 0)], "zero"),
        Intervention(name="skip", program=(0, 2)),
        Intervention(name="both", program=(1, 1), edits=removal("x", [head(1, 1)], "zero").edits),
    ],
    ids=lambda i: i.name,
)
def test_the_identity_is_run_and_changes_nothing(kind: str, edited: Intervention) -> None:
    bench = counting_lab(kind)
    _, batch = bench.prompts(6, "explore", 0)
    assert identity(edited, 3).first_step(3) == (0 if edited.program else min(e.site.layer for e in edited.edits))
    run = compare(bench, "test", batch, [edited], bench.readout("loss", batch))
    assert run.scores["loss"].shape == (2, 6)
    assert run.identity("loss").value < 1e-4 < float((run.scores["loss"][1] - run.scores["loss"][0]).abs().max())
    assert run.failed("loss") == ()


@pytest.mark.parametrize(("off", "fails"), [(0.0, False), (0.9 * TOLERANCE, False), (1.1 * TOLERANCE, True)])
def test_an_identity_that_changes_something_is_told(off: float, fails: bool) -> None:
    intact = torch.tensor([0.5, 1.0, -2.0], dtype=torch.float64)
    run = Compared({"loss": torch.stack([intact, intact - 3])}, {"loss": intact - torch.tensor([0.0, off, 0.0])})
    assert run.identity("loss").value == pytest.approx(off)
    assert [note.code for note in run.failed("loss")] == ["identity_failed"] * fails


# --- what is drawn


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=18), st.integers(0, 9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_sets_are_others_as_large_and_all_different(chosen: set[tuple[int, int]], seed: int) -> None:
    sites = [head(*one) for one in sorted(chosen)]
    sets = [{str(e.site) for e in i.edits} for i in random_sets(sites, SIZES, "zero", seed)]
    assert all(len(s) == len(sites) and not s & {*map(str, sites)} for s in sets)
    assert len({frozenset(s) for s in sets}) == len(sets)
    assert len(sets) == (DRAWS if len(sites) < 15 else 1 if len(sites) == 15 else 0)
    assert random_sets(sites, SIZES, "zero", seed) == random_sets(sites, SIZES, "zero", seed)


def test_random_sets_lie_in_the_same_layers_where_these_have_enough() -> None:
    sizes = {"n_layers": 4, "n_heads": 12}
    for i in random_sets([head(1, 0), head(1, 1), head(3, 5)], sizes, "zero", 0):
        assert sorted(e.site.layer for e in i.edits) == [1, 1, 3]
    alone = [i.edits[0].site.layer for i in random_sets([head(1, 0)], sizes, "zero", 0)]
    assert alone.count(1) == 11, "all the others of its layer"
    small = random_sets([head(1, 0)], {"n_layers": 4, "n_heads": 4}, "zero", 0)
    assert sorted(str(i.edits[0].site) for i in small) == ["L1.H1", "L1.H2", "L1.H3"]


@pytest.mark.parametrize(("swept", "more"), [(1, 20), (5, 16), (21, 0), (30, 0), (18, 3)])
def test_a_short_sweep_gets_other_heads_beside_it(swept: int, more: int) -> None:
    sites = [head(i // 5, i % 5) for i in range(swept)]
    drawn = [i.edits[0].site for i in random_others(sites, SIZES, "zero", 0)]
    assert len(drawn) == len(set(drawn)) == more
    assert not set(drawn) & set(sites)
    own = {s.layer for s in sites}
    assert [s.layer in own for s in drawn] == sorted((s.layer in own for s in drawn), reverse=True)


@pytest.mark.parametrize("sweep", ["skip_each", "repeat_each", "swap_each"])
@pytest.mark.parametrize("n_layers", [3, 12])
def test_a_program_is_compared_with_the_same_done_elsewhere(sweep: Any, n_layers: int) -> None:
    programs = [i.program for i in LayerProgram(sweep=sweep).programs(n_layers)]
    wide = 1 + (sweep == "swap_each")
    for at, program in enumerate(programs):
        assert program is not None
        found = {i.program for i in moved_programs(program, n_layers, 0, pool="anywhere")}
        assert found == set(programs) - {program}
        # Matched, nothing overlaps what was asked, and an end of the model stands in for an end alone.
        apart = {p: i for i, p in enumerate(programs) if abs(i - at) >= wide}
        end = [i in (0, 1) or i + wide == n_layers for i in range(len(programs))]
        matched = {i.program for i in moved_programs(program, n_layers, 0)}
        assert matched == {p for p, i in apart.items() if end[at] or not end[i]}


@given(st.lists(st.integers(0, 8), max_size=12), st.integers(0, 5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_moved_program_is_another_one_of_the_same_form(layers: list[int], seed: int) -> None:
    program, every = tuple(layers), set(range(9))
    found = [i.program or () for i in moved_programs(program, 9, seed)]
    assert len(set(found)) == len(found) <= DRAWS
    for other in found:
        assert other != program
        assert len(other) == len(program)
        assert set(other) <= every
        if list(program) == sorted(set(program)):
            assert list(other) == sorted(set(other))
            assert not (every - set(other)) & (every - set(program))


def test_where_nothing_is_elsewhere_there_is_no_control() -> None:
    for program in (tuple(range(9)), tuple(range(8, -1, -1)), (0, 1, 2), ()):
        assert moved_programs(program, 9, 0) == []
    assert len(moved_programs(tuple(range(2, 30)), 30, 0)) == DRAWS


# --- what they show


def test_a_percentile_counts_those_that_changed_less() -> None:
    rng = np.random.default_rng(0)
    values, others = rng.normal(size=(7, 5)).round(1), rng.normal(size=4).tolist()
    found = among(effects(list("abcdefg"), "loss", values), others)
    for i, effect in enumerate(found):
        rest = [e.value for j, e in enumerate(found) if j != i] + others
        assert effect.percentile == pytest.approx(100 * np.mean([abs(v) < abs(effect.value) for v in rest]))
    (alone,) = among(effects(["a"], "loss", values[:1]))
    assert alone.percentile is None


@pytest.mark.parametrize("metric", metrics())
def test_the_excess_is_damage_whatever_the_metric(metric: str) -> None:
    rng = np.random.default_rng(1)
    controls, strong = rng.normal(0, 0.1, (20, 12)), metrics()[metric].worse * rng.uniform(2, 3, 12)
    found = {m.name: m for m in control_measurements(metric, strong, controls)}
    assert found["excess"].value == pytest.approx(abs(strong.mean() - controls.mean()))
    assert found["excess"].low is not None
    assert found["excess"].low > 1.5
    assert found["percentile"].value == 100
    assert control_measurements(metric, strong, controls[:0]) == []
    # A removal that helps as much is as far from the random ones, and no damage.
    helped = {m.name: m.value for m in control_measurements(metric, -strong, controls)}
    assert helped["percentile"] == 100
    assert helped["excess"] < -1.5


# --- in an experiment


def kept_agrees(result: Result, asked: list[str]) -> None:
    """The artifacts give the effects again, in their order, and say which prompts ask the same."""
    metric = result.effects[0].metric
    values = result.arrays[metric]
    found = [e for e in result.effects if e.metric == metric]
    assert values.shape == (1 + len(found), len(asked))
    assert (values[1:] - values[0]).mean(-1) == pytest.approx([e.value for e in found], abs=1e-5)
    questions = result.arrays["questions"]
    assert questions.dtype == np.int32
    assert [list(questions == q) for q in questions] == [[a == b for b in asked] for a in asked]
    assert result["identity"].value < TOLERANCE


@pytest.mark.parametrize("config", [{}, {"heads": ["L1.H0", "L2.H3"]}, {"layers": [1], "metric": "loss"}])
def test_a_sweep_of_heads_says_what_others_do(config: dict[str, Any]) -> None:
    result = HeadAblation.model_validate({**GIVEN, **config}).run(counting_lab())
    kept_agrees(result, [p.key for p in counting_lab().prompts(6, "explore", 0)[0]])
    everything = HeadAblation.model_validate({**GIVEN, "metric": result.effects[0].metric}).run(counting_lab())
    # Twelve heads are all there are, so that every sweep has all the others beside it.
    expected = {e.site: e.percentile for e in everything.effects}
    for effect in result.effects:
        assert effect.percentile == pytest.approx(expected[effect.site])
    assert sum(m.value for m in result.measurements if m.name == "controls") == 12 - len(result.effects)


@pytest.mark.parametrize("heads", [["L1.H0"], ["L0.H0", "L2.H3"]])
def test_a_set_has_its_excess(heads: list[str]) -> None:
    result = HeadAblation.model_validate({**GIVEN, "heads": heads, "together": True}).run(counting_lab())
    kept_agrees(result, [p.key for p in counting_lab().prompts(6, "explore", 0)[0]])
    values, beside = result.arrays["logit_diff"], result.arrays["controls"]
    assert result["control_change"].value == pytest.approx((beside - values[0]).mean(), abs=1e-5)
    assert result["excess"].value == pytest.approx(beside.mean() - values[1].mean(), abs=1e-5)
    assert result["percentile"].n == len(beside) == (3 if len(heads) == 1 else DRAWS)
    assert {"loss", "prob", "kl"} <= set(result.arrays)


def test_programs_have_others_beside_them() -> None:
    swept = LayerProgram.model_validate({**GIVEN, "sweep": "skip_each"}).run(counting_lab())
    asked = [p.key for p in counting_lab().prompts(6, "explore", 0)[0]]
    kept_agrees(swept, asked)
    for i, name in enumerate(["1-2", "0, 2", "0-1"]):
        one = LayerProgram.model_validate({**GIVEN, "program": name}).run(counting_lab())
        kept_agrees(one, asked)
        others = [e.value for j, e in enumerate(swept.effects) if j != i]
        assert one["control_change"].value == pytest.approx(np.mean(others), abs=1e-5)
        assert one["percentile"].value == pytest.approx(swept.effects[i].percentile)
        assert one["excess"].value == pytest.approx(swept.effects[i].value - np.mean(others), abs=1e-5)
    nowhere = LayerProgram.model_validate({**GIVEN, "program": "2-0"}).run(counting_lab())
    assert "no_matched_control" in [note.code for note in nowhere.notes]
    assert "excess" not in {m.name for m in nowhere.measurements}
    first = LayerProgram.model_validate({**GIVEN, "sweep": "keep_first"}).run(counting_lab())
    assert {e.percentile for e in first.effects} == {None}
