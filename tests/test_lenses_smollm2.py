"""Lenses and what goes with them on the real model: few prompts, and what is known of it."""

from __future__ import annotations

import pytest

from lashley.experiments.kinds.block_influence import BlockInfluence
from lashley.experiments.kinds.direct_logit_attribution import DirectLogitAttribution
from lashley.experiments.kinds.linear_shortcut import LinearShortcut
from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.kinds.saliency import Saliency
from lashley.experiments.kinds.token_effects import TokenEffects
from lashley.experiments.kinds.tuned_lens import TunedLens
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import load
from lashley.experiments.result import Result
from lashley.experiments.tasks.registry import task


@pytest.fixture(scope="module")
def ioi() -> Lab:
    subject = load("smollm2-135m", "cpu")
    return Lab(subject, task("ioi").for_tokenizer(subject.tokenizer))


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


def test_the_receiver_is_readable_late(ioi: Lab) -> None:
    result = LogitLens(task="ioi", n=4).run(ioi)
    lead = by_metric(result, "lead")
    assert lead["L29.resid_post"] > 3 > abs(lead["L10.resid_post"])
    assert result["settled_after"].value > 20
    assert result["identity"].value < 1e-3


def test_the_layer_where_the_receiver_becomes_readable_is_the_one_that_writes_it(ioi: Lab) -> None:
    lens = by_metric(LogitLens(task="ioi", n=4).run(ioi), "lead")
    result = DirectLogitAttribution(task="ioi", n=4).run(ioi)
    shares = by_metric(result, "share")
    assert result["identity"].value < 1e-3
    assert result["whole"].value == pytest.approx(result["intact_logit_diff"].value, abs=1e-3)
    risen = max(range(1, 30), key=lambda layer: lens[f"L{layer}.resid_post"] - lens[f"L{layer - 1}.resid_post"])
    assert max(shares, key=lambda site: shares[site]).startswith(f"L{risen}.H")


def test_the_ends_of_the_model_turn_the_stream_most(ioi: Lab) -> None:
    found = by_metric(BlockInfluence(task="ioi", n=4).run(ioi), "influence")
    assert all(0 < v < 1.1 for v in found.values())
    assert {"L0", "L29"} <= set(sorted(found, key=lambda site: -found[site])[:4])


@pytest.mark.slow
def test_a_linear_map_stands_in_for_one_layer_and_not_for_the_one_that_writes_the_receiver(ioi: Lab) -> None:
    for layers, site, holds in (("11", "L11", True), ("23", "L23", False)):
        result = LinearShortcut(task="ioi", n=4, train=64, layers=layers, metric="kl").run(ioi)
        skipped, translated = (by_metric(result, way)[site] for way in ("skipped", "translated"))
        assert skipped > 1.5
        assert (translated < skipped / 4) == holds


def test_without_the_layer_that_writes_the_receiver_names_give_way_to_common_words(ioi: Lab) -> None:
    result = TokenEffects(task="ioi", n=8, sites=["L23.attn"], tokens=3).run(ioi)
    went = by_metric(result, "class_prob")
    assert sum(went.values()) == pytest.approx(0, abs=1e-4)
    assert went["answer"] < -0.1 < 0.1 < went["the rest"]
    assert by_metric(result, "token_prob")["token ' the'"] > 0.01


@pytest.mark.slow
def test_the_receiver_rests_on_the_names_and_the_gradients_are_complete(ioi: Lab) -> None:
    result = Saliency(task="ioi", n=4, steps=4).run(ioi)
    found = by_metric(result, "occlusion")
    assert set(sorted(found, key=lambda site: -abs(found[site]))[:3]) == {"io", "s1", "s2"}
    assert found["io"] > 3 > 1 > max(abs(found["place"]), abs(found["object"]))
    assert result["completeness"].value == pytest.approx(1, abs=0.05)
    assert result["moved"].value > 2 * result["moved_shuffled"].value
    assert result["identity"].value < 1e-3


@pytest.mark.slow
def test_a_mean_embedding_breaks_the_run_at_any_token_and_the_result_says_so(ioi: Lab) -> None:
    notes = Saliency(task="ioi", n=4, steps=2, baseline="mean").run(ioi).notes
    assert {"baseline_breaks_run", "not_complete"} <= {note.code for note in notes}


@pytest.mark.slow
def test_a_tuned_lens_is_nearer_to_the_end_and_early_layers_know_nothing_of_the_prompt(ioi: Lab) -> None:
    result = TunedLens(task="ioi", n=4, train=32).run(ioi)
    high = result["kl_change"].high
    assert high is not None
    assert high < 0
    specific = by_metric(result, "specific")
    assert specific["L29.resid_post"] > 1 > abs(specific["L0.resid_pre"])
