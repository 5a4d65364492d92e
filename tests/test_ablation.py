"""MLPs and neurons removed: as plain hooks do it, by laws, where the answer is known, and on SmolLM2."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.experiment import Experiment
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.mlp_ablation import MlpAblation
from lashley.experiments.kinds.neuron_ablation import NeuronAblation
from lashley.experiments.lab import Lab
from lashley.experiments.methods.ablation import estimates
from lashley.experiments.methods.control_sets import random_others, random_sets
from lashley.experiments.methods.controls import every
from lashley.experiments.methods.removal import removal
from lashley.experiments.model.loading import load
from lashley.experiments.sites import Part, Site, parse_site
from lashley.experiments.statistics.random_sets import DRAWS
from lashley.experiments.statistics.screening import OTHERS
from lashley.experiments.tasks.registry import task
from lashley.tests.slow_way import slow_logits, tokens_of
from lashley.tests.test_controls import counting_lab, kept_agrees
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED
from lashley.tools.report.figures import draw

GIVEN: dict[str, Any] = {"task": "counting", "n": 6, "metric": "loss"}
SIZES = {"n_layers": 4, "n_heads": 3, "d_mlp": 40}
# Without biases; a norm behind an MLP makes of a mean of its input something else than its own mean.
LINEAR, WITHOUT_BIAS = ("qwen2", "qwen3", "mistral"), ("olmo2", "gemma2", "gemma3_text")


def asked(bench: Lab) -> list[str]:
    return [p.key for p in bench.prompts(6, "explore", 0)[0]]


def slow_loss(bench: Lab, site: Site) -> np.ndarray:
    """The loss of each prompt without what is at the site, by hooks on the plain model."""
    _, batch = bench.prompts(6, "explore", 0)
    subject, found = bench.subject, list[float]()
    for row in range(len(batch)):
        ids = tokens_of(batch, row)
        logits = slow_logits(
            subject.model, ids, removal("x", [site], "zero"), lambda *_: True, lambda *_: None, subject.anatomy.d_head
        )
        targets = batch.targets[row][batch.targets[row] >= 0]
        scored = logits.log_softmax(-1)[-batch.reads :][: len(targets)].gather(-1, targets[:, None])
        found.append(-float(scored.mean()))
    return np.array(found)


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize(
    "experiment",
    [MlpAblation(**GIVEN), NeuronAblation(**GIVEN, neurons=["L0.mlp.n7", "L2.mlp.n40"])],
    ids=lambda e: e.kind,
)
def test_a_removal_is_what_plain_hooks_make_of_it(kind: str, experiment: Experiment) -> None:
    bench = counting_lab(kind)
    result = experiment.run(bench)
    kept_agrees(result, asked(bench))
    for i, effect in enumerate(result.effects, start=1):
        slow = slow_loss(bench, parse_site(effect.site))
        assert result.arrays["loss"][i] == pytest.approx(slow, abs=2e-4)
        assert effect.percentile is not None


@pytest.mark.parametrize(
    ("kind", "method"), [*((k, "zero") for k in (*LINEAR, *WITHOUT_BIAS)), *((k, "mean") for k in LINEAR)]
)
def test_all_neurons_of_a_layer_are_its_mlp(kind: str, method: Any) -> None:
    bench = counting_lab(kind)
    given = {**GIVEN, "method": method, "together": True}
    whole = MlpAblation(**given, layers=[1]).run(bench)
    parts = NeuronAblation(**given, neurons=[f"L1.mlp.n{i}" for i in range(48)]).run(bench)
    assert parts.arrays["loss"] == pytest.approx(whole.arrays["loss"], abs=1e-4)
    assert whole["percentile"].n == 2
    assert parts["percentile"].n == DRAWS


@given(st.sampled_from(["z", "mlp_out", "neurons"]), st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_random_others_are_of_the_same_part_and_layers_where_there_are_enough(part: Part, data: st.DataObject) -> None:
    places = every(part, SIZES)
    sites = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=4, unique=True))
    sets = random_sets(sites, SIZES, "zero", data.draw(st.integers(0, 5)))
    free = len(places) - len(sites)
    # The one MLP that is of no end of this model has none of its kind beside it.
    middle = part == "mlp_out" and any(s.layer == 2 for s in sites)
    assert bool(sets) == (free >= len(sites) and not middle)
    assert bool(random_sets(sites, SIZES, "zero", 0, pool="anywhere")) == (free >= len(sites))
    for one in sets:
        drawn = [e.site for e in one.edits]
        assert len(set(drawn)) == len(sites)
        assert not set(drawn) & set(sites)
        assert {s.part for s in drawn} == {part}
        if part == "neurons":
            assert sorted(s.layer for s in drawn) == sorted(s.layer for s in sites)
    alone = random_others(sites, SIZES, "zero", 0)
    assert len(alone) == (0 if middle and len(sites) == 1 else min(free, DRAWS - len(sites) + 1))
    assert {e.edits[0].site.part for e in alone} <= {part}


@pytest.mark.parametrize(("controls", "others"), [(1, 0), (2, 1), (5, 4), (20, 10)])
def test_a_short_sweep_has_as_many_others_beside_each_head_as_are_asked(controls: int, others: int) -> None:
    bench = counting_lab("llama")
    free = len(every("z", bench.subject.sizes)) - 2
    asked = HeadAblation(task="counting", n=6, metric="loss", heads=["L1.H0", "L1.H1"], controls=controls)
    result = asked.run(bench)
    assert [e.site for e in result.effects] == ["L1.H0", "L1.H1"]
    counted = {m.name: m.value for m in result.measurements}.get("controls", 0)
    assert counted == min(free, controls - 1) == others


def test_neurons_are_found_on_other_prompts_and_measured_beside_random_ones() -> None:
    bench = counting_lab("llama")
    result = NeuronAblation(**GIVEN, verify=5).run(bench)
    assert len(result.effects) == 5 + OTHERS
    assert result["controls"].value == DRAWS
    assert {"screen_agreement", "screen_missed"} <= {m.name for m in result.measurements}
    values, beside = result.arrays["loss"], np.abs((result.arrays["controls"] - result.arrays["loss"][0]).mean(-1))
    assert len(beside) == DRAWS
    for i, effect in enumerate(result.effects):
        assert effect.value == pytest.approx((values[i + 1] - values[0]).mean(), abs=1e-5)
        assert effect.percentile == pytest.approx(100 * np.mean(beside < abs(effect.value)))
        assert effect.p_max is not None, "they were not picked on these prompts"
    assert {f.kind for f in result.figures} == {"layer_bars", "scatter"}
    again = NeuronAblation(**GIVEN, verify=5).run(bench)
    assert again.model_dump() == result.model_dump()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_what_gradients_say_of_a_neuron_is_near_what_its_removal_does(kind: str) -> None:
    """In the last layer only the last norm lies between a neuron and the answer."""
    bench = counting_lab(kind)
    guessed, _ = estimates(bench, (6, "explore", 0), "neurons", [1, 2], "zero", "logit_diff")
    exact = NeuronAblation(task="counting", n=6, layers=[2], verify=48).run(bench).arrays["logit_diff"]
    assert guessed[2].shape == (6, 48)
    assert np.corrcoef(guessed[2].T.ravel(), (exact[1:] - exact[0]).ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(guessed[1].T.ravel(), (exact[1:] - exact[0]).ravel())[0, 1]) < 0.5


def test_the_mlp_of_a_dead_layer_is_not_missed() -> None:
    name = "planted:dead-layer"
    result = MlpAblation(model=name, task="induction", n=8).run(planted_lab(name))
    assert next(e.value for e in result.effects if e.site == "L1.mlp") == 0.0
    neurons = NeuronAblation(model=name, task="induction", n=8, layers=[1], verify=4).run(planted_lab(name))
    assert all(e.value == 0.0 for e in neurons.effects)


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [
        (MlpAblation, {"layers": [9]}, "There is no layer 9"),
        (MlpAblation, {"layers": []}, "layers is empty"),
        (NeuronAblation, {"neurons": ["L0.mlp.n48"]}, "There is no neuron 48"),
        (NeuronAblation, {"neurons": ["L0.H1"]}, "L0.H1 is not a neuron. Write it as L7.mlp.n512"),
        (NeuronAblation, {"neurons": ["L0.mlp.n1"] * 2}, "each once"),
        (NeuronAblation, {"neurons": ["L0.mlp.n1"], "layers": [0]}, "neurons or layers, not both"),
        (NeuronAblation, {"neurons": [f"L0.mlp.n{i}" for i in range(201)]}, "at most 200"),
        (NeuronAblation, {"together": True}, "Name the neurons"),
        (NeuronAblation, {"metric": "kl"}, "name the neurons"),
    ],
)
def test_what_is_not_there_is_one_clear_line(kind: type[Experiment], wrong: dict[str, Any], says: str) -> None:
    bench = counting_lab("llama")
    with pytest.raises(BadConfiguration, match=says):
        kind.model_validate({**GIVEN, **wrong}).check(bench.subject.sizes, bench.task)


@functools.cache
def smollm() -> Lab:
    return Lab(load("smollm2-135m", "cpu"), task("capitals"))


def test_smollms_first_mlp_is_missed_most_and_few_neurons_at_all() -> None:
    result = MlpAblation(task="capitals", n=2, layers=[0, 10, 14, 18, 29]).run(smollm())
    assert min(result.effects, key=lambda e: e.value).site == "L0.mlp"
    found = NeuronAblation(task="capitals", n=3, layers=[26, 27, 28], verify=6).run(smollm())
    assert len(found.effects) == 6 + OTHERS
    assert found["screen_agreement"].value > 0.5
    assert max(map(len, (result.found, found.found))) < 1500
    for figure in (*result.figures, *found.figures):
        assert "capitals" in draw(figure)
