"""Which parts random controls are drawn from: what a matched pool holds, what it shows, and what was there before."""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.interventions import parse_layers, show_layers
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.kinds.registry import kinds, own_settings
from lashley.experiments.lab import Lab
from lashley.experiments.methods.control_pool import BEFORE, ends
from lashley.experiments.methods.control_programs import changed, moved_programs, stretches_of
from lashley.experiments.methods.control_sets import random_others, random_sets
from lashley.experiments.methods.controls import every
from lashley.experiments.model.loading import prepare
from lashley.experiments.sites import Part, Site, head
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.tests.test_controls import LINES
from lashley.tests.tiny import tiny_model, tiny_tokenizer
from lashley.tools.evidence.conditions import parse_bound
from lashley.tools.evidence.equivalence import rests_on_controls
from lashley.tools.workbench.catalog import command_of
from lashley.tools.workbench.run_experiment import experiment_from, logged_experiment

PARTS: tuple[Part, ...] = ("z", "mlp_out", "neurons")
# What the version that had no choice drew.
BEFORE_SETS: tuple[tuple[list[tuple[int, int]], list[str]], ...] = (
    ([(1, 2)], ["L1.H1", "L1.H3", "L1.H4", "L1.H0"]),
    ([(1, 0), (3, 1)], ["L1.H2 L3.H2", "L1.H3 L3.H4", "L1.H1 L3.H0", "L1.H4 L3.H3"]),
    ([(0, 0), (0, 1), (0, 2), (0, 3)],
     ["L0.H4 L1.H4 L4.H2 L4.H3", "L0.H4 L4.H0 L4.H4 L5.H2", "L0.H4 L1.H0 L4.H1 L4.H4", "L0.H4 L2.H1 L2.H2 L4.H2"]),
)  # fmt: skip
BEFORE_PROGRAMS = (
    ("0-2, 5-8", ["0, 2-5, 7-8", "0-1, 3-5, 7-8", "0-4, 6, 8"]),
    ("0-3, 3-8", ["0-4, 4-8", "0-5, 5-8", "0-7, 7-8"]),
)


def far(sites: list[Site], drawn: list[Site]) -> float:
    """How far in depth, at the least, a set lies from another: layer by layer, both in order."""
    return fmean(
        abs(a - b) for a, b in zip(sorted(s.layer for s in sites), sorted(s.layer for s in drawn), strict=True)
    )


# --- sets of parts


@given(st.sampled_from(PARTS), st.integers(3, 14), st.integers(0, 9), st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_matched_sets_are_as_large_of_the_same_part_and_never_what_was_asked(
    part: Part, n_layers: int, seed: int, data: st.DataObject
) -> None:
    sizes = {"n_layers": n_layers, "n_heads": 4, "n_kv_heads": 2, "d_mlp": 6}
    sites = data.draw(st.lists(st.sampled_from(every(part, sizes)), min_size=1, max_size=4, unique=True))
    sets = [[e.site for e in i.edits] for i in random_sets(sites, sizes, "zero", seed)]
    assert sets == [[e.site for e in i.edits] for i in random_sets(sites, sizes, "zero", seed)]
    assert len({frozenset(one) for one in sets}) == len(sets) <= 20
    asked_at_end = sum(s.layer in ends(n_layers) for s in sites)
    for one in sets:
        assert len(set(one)) == len(sites)
        assert {s.part for s in one} == {part}
        assert not set(one) & set(sites)
        if part == "mlp_out":
            assert sum(s.layer in ends(n_layers) for s in one) <= asked_at_end
    singles = [i.edits[0].site for i in random_others(sites, sizes, "zero", seed, 20)]
    assert not set(singles) & set(sites)


@given(st.integers(12, 30), st.integers(0, 9), st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_matched_heads_are_no_farther_in_depth_than_those_from_anywhere(
    n_layers: int, seed: int, data: st.DataObject
) -> None:
    sizes = {"n_layers": n_layers, "n_heads": 3}
    # Next to an end, which is kept out, the nearest may be farther away.
    middle = st.tuples(st.integers(n_layers // 3, 2 * n_layers // 3), st.integers(0, 2))
    sites = [head(*one) for one in sorted(data.draw(st.sets(middle, min_size=1, max_size=5)))]
    near, anywhere = (
        fmean(far(sites, [e.site for e in i.edits]) for i in random_sets(sites, sizes, "zero", seed, pool=pool))
        for pool in ("matched", "anywhere")
    )
    assert near <= anywhere
    # Three heads a layer are soon used up, and those of the ends are the last that are taken.
    singles = [i.edits[0].site for i in random_others(sites, sizes, "zero", seed, 9)]
    assert not {s.layer for s in singles} & ends(n_layers)


def test_a_head_stands_beside_those_of_its_layer_and_then_of_the_nearest() -> None:
    sizes = {"n_layers": 30, "n_heads": 9, "n_kv_heads": 3}
    layers = [i.edits[0].site.layer for i in random_sets([head(12, 4)], sizes, "zero", 0)]
    assert layers[:8] == [12] * 8
    assert set(layers[8:]) == {11, 13}
    mlps = random_sets([Site(layer=12, part="mlp_out")], sizes, "zero", 0)
    assert sorted(i.edits[0].site.layer for i in mlps) == [*range(2, 12), *range(13, 23)]


def test_a_kv_group_stands_beside_whole_kv_groups() -> None:
    sizes = {"n_layers": 30, "n_heads": 9, "n_kv_heads": 3}
    for i in random_sets([head(12, h) for h in (3, 4, 5)], sizes, "zero", 0):
        groups = {(e.site.layer, (e.site.index or 0) // 3) for e in i.edits}
        assert len(i.edits) == 3
        assert len(groups) == 1
        assert (12, 1) not in groups
    # Three heads of different groups are three heads.
    assert any(len({e.site.layer for e in i.edits}) > 1 or len({(e.site.index or 0) // 3 for e in i.edits}) > 1
               for i in random_sets([head(12, h) for h in (0, 3, 6)], sizes, "zero", 0))  # fmt: skip


# --- programs of layers


@given(st.integers(3, 30), st.integers(0, 9), st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_matched_stretches_are_as_long_apart_from_the_asked_and_the_nearest(
    n_layers: int, seed: int, data: st.DataObject
) -> None:
    asked = sorted(data.draw(st.sets(st.integers(0, n_layers - 1), min_size=1, max_size=5)))
    program = tuple(layer for layer in range(n_layers) if layer not in asked)
    found = [sorted(set(range(n_layers)) - set(i.program or ())) for i in moved_programs(program, n_layers, seed)]
    assert found == [
        sorted(set(range(n_layers)) - set(i.program or ())) for i in moved_programs(program, n_layers, seed)
    ]
    lengths = sorted(map(len, stretches_of(asked)))
    for gone in found:
        assert not set(gone) & set(asked)
        assert sorted(map(len, stretches_of(gone))) == lengths
        assert set(asked) & ends(n_layers) or not set(gone) & ends(n_layers)
    if len(lengths) == 1:
        # Each stretch that would do and was not taken lies at least as far away as each that was.
        inside = range(n_layers) if set(asked) & ends(n_layers) else range(2, n_layers - 1)
        firsts = [f for f in inside if f + lengths[0] <= inside.stop and not set(range(f, f + lengths[0])) & set(asked)]
        taken = {gone[0] for gone in found}
        assert taken <= set(firsts)
        assert len(taken) == min(20, len(firsts))
        left = [abs(f - asked[0]) for f in firsts if f not in taken]
        assert not left or max(abs(f - asked[0]) for f in taken) <= min(left)


@pytest.mark.parametrize("program", [(0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9), (0, 1, 2, 4, 3, 5, 6, 7, 8, 9)])
def test_a_repeated_or_swapped_stretch_is_held_against_others_of_the_middle(program: tuple[int, ...]) -> None:
    own = changed(program, 10)
    found = [i.program or () for i in moved_programs(program, 10, 0)]
    assert found
    for other in found:
        there = changed(other, 10)
        assert len(there) == len(own)
        assert not set(there) & (set(own) | ends(10))
        # The same deed, moved: the differences from step to step are those of the program.
        assert sorted(np.diff(other)) == sorted(np.diff(program))


# --- what they show


@pytest.fixture(scope="module")
def fragile() -> Lab:
    """Twelve layers, of which 0 and 1 are needed by far the most, 5 and 6 clearly, and the others hardly."""
    model = tiny_model("llama", num_hidden_layers=12)
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            strength = {0: 3.0, 1: 3.0, 5: 0.3, 6: 0.3}.get(number, 0.01)
            layer.self_attn.o_proj.weight *= strength
            layer.mlp.down_proj.weight *= strength
    subject = prepare("fragile", model, tiny_tokenizer(), "cpu")
    return Lab(subject, from_jsonl("counting", "\n".join(map(json.dumps, LINES))))


def test_damage_in_the_middle_is_not_made_small_by_controls_that_break_the_model(fragile: Lab) -> None:
    shown = {
        pool: LayerProgram(task="counting", n=8, program="0-4, 7-11", metric="kl", control_pool=pool).run(fragile)
        for pool in ("anywhere", "matched")
    }
    before, now = shown["anywhere"], shown["matched"]
    assert before.effects[0] == now.effects[0], "the damage itself is the same"
    assert before["excess"].value < 0, "beside layers 0 and 1 it looks less than usual"
    assert before["percentile"].value < 80
    assert now["excess"].value > 0
    assert now["excess"].low is not None
    assert now["excess"].low > 0
    assert now["percentile"].value == 100
    assert abs(now["control_largest"].value) < before["control_largest"].value / 5


def test_a_result_says_which_pool_its_controls_are_from(fragile: Lab) -> None:
    given: dict[str, Any] = {"task": "counting", "n": 4, "metric": "loss"}
    one = LayerProgram(**given, program="0-4, 7-11").run(fragile)
    assert "with 5 programs that do the same to layers 2-4, 7-10 (p " in one.found
    assert "few_matched_controls" in [n.code for n in one.notes]
    assert "gives only 5 of 20" in one.notes[0].text
    anywhere = LayerProgram(**given, program="0-4, 7-11", control_pool="anywhere").run(fragile)
    assert "with 20 programs that do the same to other layers (p " in anywhere.found
    assert "few_matched_controls" not in [n.code for n in anywhere.notes]
    heads = HeadAblation(**given, heads=["L5.H0", "L5.H2"], together=True).run(fragile)
    assert "with 20 random sets of as many heads of layers 4-6 (p " in heads.found
    assert "few_matched_controls" not in [n.code for n in heads.notes]
    swept = HeadAblation(**given, layers=[5]).run(fragile)
    assert "other heads of layers" in swept.found


# --- what was logged before


def test_a_configuration_from_before_the_field_means_the_pool_of_then() -> None:
    with_pools = [one for one in kinds().values() if "control_pool" in one.model_fields]
    assert {one.kind for one in with_pools} >= {
        "layer_program", "head_ablation", "mlp_ablation", "neuron_ablation", "token_effects", "self_repair",
        "minimal_set", "pruning_curve", "attention_entropy",
    }  # fmt: skip
    for one in with_pools:
        assert one.before == BEFORE
        assert one.model_fields["control_pool"].default == "matched"
    new = LayerProgram(task="counting", program="0-4, 7-11")
    logged = {name: value for name, value in new.config().items() if name != "control_pool"}
    assert new.config()["control_pool"] == "matched", "so that the absence means something"
    assert logged_experiment("layer_program", logged) == new.model_copy(update={"control_pool": "anywhere"})
    assert logged_experiment("layer_program", new.config()) == new
    assert experiment_from("layer_program", logged) == new
    assert own_settings("layer_program", logged)["control_pool"] == "anywhere"
    assert "--control-pool anywhere" in (command_of("layer_program", logged) or "")
    assert "--control-pool" not in (command_of("layer_program", new.config()) or "")


def test_the_pool_of_before_gives_the_sets_of_before() -> None:
    sizes = {"n_layers": 6, "n_heads": 5}
    for sites, expected in BEFORE_SETS:
        drawn = random_sets([head(*one) for one in sites], sizes, "zero", 3, 4, "anywhere")
        assert [" ".join(str(e.site) for e in i.edits) for i in drawn] == expected
    for program, programs in BEFORE_PROGRAMS:
        found = moved_programs(parse_layers(program, 9), 9, 3, 3, "anywhere")
        assert [show_layers(i.program or ()) for i in found] == programs


# --- equivalence


@pytest.mark.parametrize(
    ("bound", "refused"),
    [
        ("excess < 0.1", True), ("excess between -0.1 and 0.1", True), ("excess < -0.2", True), ("excess > -0.1", True),
        ("excess > 0", False), ("excess > 0.5", False), ("excess between 0.5 and 2", False),
        ("percentile < 50", True), ("percentile > 80", False), ("percentile[L0.H1] < 20", True),
        ("control_rank > 5", True), ("control_rank < 2", False), ("control_p > 0.5", True), ("control_p < 0.1", False),
        ("loss_increase - excess < 0.1", True), ("loss_increase between -0.1 and 0.1", False),
        ("effect[L0.H1] between -0.1 and 0.1", False),
    ],
)  # fmt: skip
def test_no_equivalence_rests_on_controls(bound: str, refused: bool) -> None:
    said = rests_on_controls(parse_bound(bound), "loss")
    assert bool(said) == refused
    assert not said or said.endswith("with a bound on both sides of zero: loss_increase between -0.1 and 0.1.")
