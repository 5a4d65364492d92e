"""Patching and its estimates: against plain hooks, by laws, on the planted circuit, and on SmolLM2."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lashley.db.records import Artifact
from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit
from lashley.experiments.kinds.activation_patching import ActivationPatching, held
from lashley.experiments.kinds.attribution_patching import AttributionPatching
from lashley.experiments.lab import INTACT, Lab
from lashley.experiments.methods.patching import Place
from lashley.experiments.model.loading import load
from lashley.experiments.result import Effect, Result
from lashley.experiments.sites import COUNTED, Site
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.experiments.tasks.registry import task
from lashley.tests.corrupted_lab import corrupted_lab, slow_recovery
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED, tiny_subject
from lashley.tools.evidence.quantity import Numbers, read
from lashley.tools.report.figures import draw
from lashley.tools.workbench.run_experiment import array_bytes

PARTS = ("resid_pre", "attn_out", "mlp_out", "z", "pattern", "k", "v")
N = 8
PLANTED: dict[str, Any] = {"model": "planted:induction", "task": "induction", "n": 16}
HOW: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate],
}
FEW, MANY = settings(max_examples=2, **HOW), settings(max_examples=40, **HOW)


def values(result: Result, metric: str = "recovery") -> dict[str, Effect]:
    return {e.site: e for e in result.effects if e.metric == metric}


def hold_against_slow_way(kind: str, data: st.DataObject) -> None:
    bench, sizes = corrupted_lab(kind), tiny_subject(kind).sizes
    part = data.draw(st.sampled_from(PARTS))
    index = data.draw(st.integers(0, sizes[COUNTED[part][1]] - 1)) if part in COUNTED else None
    site = Site(layer=data.draw(st.integers(0, 2)), part=part, index=index)  # type: ignore[arg-type]
    at, seed = data.draw(st.sampled_from(["all", "last", "read", "subject", "changed"])), data.draw(st.integers(0, 3))
    direction: Any = data.draw(st.sampled_from(["denoising", "noising"]))
    result = ActivationPatching(task="twins", n=N, sites=[str(site)], positions=[at], direction=direction,
                                seed=seed).run(bench)  # fmt: skip
    drawn = bench.task.prompts(N, "explore", seed)
    (found,) = values(result).values()
    assert found.value == pytest.approx(slow_recovery(kind, drawn, site, at, direction == "denoising"), abs=2e-4)
    assert found.low <= found.value <= found.high
    assert result["everything"].value == pytest.approx(1.0 if direction == "denoising" else -1.0, abs=1e-4)
    assert result["together"].value == pytest.approx(found.value, abs=1e-4)
    assert result["identity"].value < 1e-4
    assert not [note for note in result.notes if note.code.endswith("_failed")]


@pytest.mark.parametrize("kind", SAMPLED)
@given(data=st.data())
@FEW
def test_a_patch_is_what_plain_hooks_make_of_it(kind: str, data: st.DataObject) -> None:
    hold_against_slow_way(kind, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAMPLED)
@given(data=st.data())
@MANY
def test_a_patch_is_what_plain_hooks_make_of_it_many_times(kind: str, data: st.DataObject) -> None:
    hold_against_slow_way(kind, data)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "gemma2"])
def test_the_whole_stream_restores_everything_and_what_is_alike_nothing(kind: str) -> None:
    result = ActivationPatching(task="twins", n=N, positions=["all", "subject", "last"]).run(corrupted_lab(kind))
    found = values(result)
    for layer in range(3):
        assert found[f"L{layer}.resid_pre"].value == pytest.approx(1.0, abs=1e-4)
    assert found["L0.resid_pre@subject"].value == pytest.approx(1.0, abs=1e-4)
    # The last token is the same in both, so before the first layer there is nothing to carry over.
    assert found["L0.resid_pre@last"].value == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("kind", SAMPLED)
def test_integrated_gradients_are_complete_and_slopes_are_those_of_a_small_step(kind: str) -> None:
    bench = corrupted_lab(kind)
    pair = corrupted_prompts(bench, (2, "explore", 0))
    source = engine.patch_source(engine.read(bench.subject, pair.clean, {"resid_pre"}), pair.corrupted, pair.clean)
    edit, readout = Edit(site=Site(layer=0, part="resid_pre"), op="replace", source="twin"), PairReadout(pair.corrupted)
    near, far = (
        engine.attribution(bench.subject, pair.corrupted, [edit], readout, "logit_diff", {"twin": source}, None, source,
                           steps)[0][:, 0]
        for steps in (4, 48)
    )  # fmt: skip
    clean, corrupted = (
        engine.run(bench.subject, batch, [INTACT], PairReadout(batch))["logit_diff"][0]
        for batch in (pair.clean, pair.corrupted)
    )
    whole = (clean - corrupted).numpy()
    assert np.allclose(far.numpy(), whole, atol=0.05 * np.abs(whole).max())
    assert np.abs(far.numpy() - whole).sum() <= np.abs(near.numpy() - whole).sum() + 1e-3


def test_a_replay_is_the_same_to_the_last_bit() -> None:
    for made in (ActivationPatching(task="twins", n=N, part="z"), AttributionPatching(task="twins", n=N, part="z")):
        first, second = (made.run(Lab(tiny_subject("llama"), corrupted_lab("llama").task)) for _ in range(2))
        assert first.model_dump() == second.model_dump()
        assert all(np.array_equal(first.arrays[k], second.arrays[k]) for k in first.arrays)


def test_a_difference_of_two_shares_is_one_of_ratios() -> None:
    """What a prediction or a finding reads: the difference of two effects, prompt by prompt, over the whole."""
    result = ActivationPatching(**PLANTED, part="z").run(planted_lab("planted:induction"))
    kinds = tuple(Artifact(name, "", 0, "") for name in result.arrays)
    row = Numbers.of(result, {"n": 16})._replace(artifacts=kinds)
    kept = {name: array_bytes(array)[1] for name, array in result.arrays.items()}
    found = read(row, "effect[L1.H2] - effect[L0.H1]", kept.__getitem__)
    one, other = (values(result)[site] for site in ("L1.H2", "L0.H1"))
    assert found.value == pytest.approx(one.value - other.value)
    assert found.low == pytest.approx(one.value - other.high, abs=0.02)
    assert found.high == pytest.approx(one.value - other.low, abs=0.02)
    assert read(row, "rank[L1.H2]", kept.__getitem__).value == 1


# --- the planted circuit


@pytest.mark.parametrize(
    ("part", "carrying"),
    [
        ("z", {"L0.H1", "L1.H2"}),
        ("k", {"L1.K2"}),
        ("pattern", {"L1.H2.pattern"}),
        ("v", {"L0.V1", "L1.V2"}),
        ("mlp_out", set[str]()),
    ],
)
def test_the_planted_circuit_is_found_and_nothing_else(part: Any, carrying: set[str]) -> None:
    bench = planted_lab("planted:induction")
    direction = "noising" if part == "v" else "denoising"
    given: dict[str, Any] = {**PLANTED, "part": part, "direction": direction, "positions": ["all"]}
    exact = ActivationPatching(**given).run(bench)
    assert {s for s, e in values(exact).items() if abs(e.value) > 1e-3} == carrying
    assert {s for s, e in values(exact).items() if (e.q or 1) < 0.05} == carrying
    near = AttributionPatching(**given, steps=8).run(bench)
    assert {s for s, e in values(near, "attribution").items() if abs(e.value) > 1e-3} == carrying


def test_a_slope_at_one_end_misses_what_acts_by_a_saturated_pattern() -> None:
    """A pattern of one weight of 1 is flat, so by gradients alone nothing leads through the first head."""
    near = AttributionPatching(**PLANTED, part="z", method="gradient").run(planted_lab("planted:induction"))
    seen = {s for s, e in values(near, "attribution").items() if abs(e.value) > 1e-3}
    assert seen == {"L1.H2"}
    assert values(near)["L0.H1"].value > 0.3


def test_the_induction_head_alone_brings_the_answer_back() -> None:
    result = ActivationPatching(**PLANTED, part="z").run(planted_lab("planted:induction"))
    head = values(result)["L1.H2"]
    assert (head.value, head.low, head.high) == pytest.approx((1.0, 1.0, 1.0), abs=1e-3)
    # Another prompt's value is another answer: it takes the wrong one away and does not bring this one.
    assert values(result, "donor")["L1.H2"].value == pytest.approx(0.5, abs=0.1)
    assert result["clean_logit_diff"].value > 9 > -9 > result["corrupted_logit_diff"].value


def test_runs_that_do_not_differ_are_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"^Clean and corrupted runs do not differ on these prompts: logit_diff"):
        ActivationPatching(model="planted:null", task="induction", n=16).run(planted_lab("planted:null"))


def test_what_is_not_there_is_one_clear_line() -> None:
    bench = planted_lab("planted:induction")
    sizes, made = bench.subject.sizes, bench.task
    for wrong, says in (
        ({"sites": ["L0.H9"]}, "There is no head 9"),
        ({"sites": ["L0.resid_post"]}, "cannot be patched here"),
        ({"sites": ["L0.z"]}, "cannot be patched here"),
        ({"sites": ["L0.H1"], "layers": [0]}, "sites or layers, not both"),
        ({"layers": []}, "layers is empty"),
        ({"positions": []}, "at least one position"),
    ):
        with pytest.raises(BadConfiguration, match=says):
            ActivationPatching(**{**PLANTED, **wrong}).check(sizes, made)
    with pytest.raises(BadConfiguration, match=r"^Not every prompt has the position 'subject'. Positions: all"):
        ActivationPatching(**PLANTED, positions=["subject"]).run(bench)
    small = Lab(load("smollm2-135m", "cpu"), task("small_logic"))
    lacking = (
        r"^Only 0 of the 2 prompts of small_logic have a corrupted prompt with as many tokens \(1 of 1 have none\)"
    )
    with pytest.raises(BadConfiguration, match=lacking):
        ActivationPatching(task="small_logic", n=2).run(small)


# --- a real model


@functools.cache
def smollm(name: str = "ioi") -> Lab:
    subject = load("smollm2-135m", "cpu")
    return Lab(subject, task(name).for_tokenizer(subject.tokenizer))


def test_smollm_holds_the_second_subject_until_it_is_moved_to_the_end() -> None:
    given: dict[str, Any] = {"task": "ioi", "n": 4, "positions": ["s2", "last"], "layers": [2, 28]}
    result = ActivationPatching(**given).run(smollm())
    found = values(result)
    assert found["L2.resid_pre@s2"].value > 0.9 > 0.1 > abs(found["L2.resid_pre@last"].value)
    assert found["L28.resid_pre@last"].value > 0.8 > 0.2 > abs(found["L28.resid_pre@s2"].value)
    for figure in result.figures:
        assert "recovery" in draw(figure).lower()


def test_estimates_of_smollms_heads_agree_with_patches() -> None:
    result = AttributionPatching(task="ioi", n=4, part="z", layers=[17, 20, 23, 24], verify=6, steps=4).run(smollm())
    assert result["correlation"].value > 0.8
    assert result["correlation"].n == 14
    assert result["completeness"].value == pytest.approx(1.0, abs=0.3)
    assert len(values(result, "attribution")) == 36
    assert all(e.q is None for e in values(result, "attribution").values())
    assert all(e.q is not None for e in values(result).values())
    assert {f.kind for f in result.figures} == {"scatter", "head_heatmap"}
    for figure in result.figures:
        assert draw(figure)


def test_the_way_over_the_tokens_is_told() -> None:
    told = {(0, "s2"): 1.0, (0, "last"): 0.0, (2, "s2"): -0.2, (2, "last"): 0.6}
    places = [Place(site=Site(layer=layer, part="resid_pre"), positions=where) for layer, where in told]
    found = tuple(Effect(site="", metric="recovery", value=v, low=v, high=v, n=4) for v in told.values())
    assert held(places, found) == " More than half of it before the layers: s2 0; last 2."
    heads = [Place(site=Site(layer=0, part="z", index=0), positions="all")]
    assert held(heads, found[:1]) == ""
