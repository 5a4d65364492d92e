"""The kinds that look at heads, on a real model: what two of them say of the same heads agrees."""

from __future__ import annotations

from functools import cache

import pytest

from lashley.experiments.kinds.attention_entropy import AttentionEntropy
from lashley.experiments.kinds.head_composition import HeadComposition
from lashley.experiments.kinds.head_detectors import HeadDetectors
from lashley.experiments.kinds.pruning_curve import PruningCurve
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.registry import task


@cache
def lab() -> Lab:
    return Lab(load("smollm2-135m", "cpu"), task("capitals"))


def test_entropy_and_layers_that_go_first() -> None:
    entropies = AttentionEntropy(task="capitals", n=2).run(lab())
    assert sum(e.metric == "entropy" for e in entropies.effects) == 270
    assert entropies["mean_entropy"].value < entropies["mean_entropy_shuffled"].value
    result = PruningCurve(task="capitals", n=2, parts="mlps", layers=[4, 14, 24], draws=1).run(lab())
    assert [e.site for e in result.effects] == [f"weakest {i} of 3" for i in (1, 2, 3)]


@pytest.mark.slow
def test_the_induction_heads_read_a_previous_token_head_by_their_keys() -> None:
    """Two ways to the same circuit: where heads attend, and what their weights join."""
    seen = HeadDetectors(task="capitals", n=4).run(lab())
    score = {(e.metric, e.site): e for e in seen.effects}
    induction = sorted((e for e in seen.effects if e.metric == "induction"), key=lambda e: -e.value)[:5]
    assert all(e.value > 0.4 and e.percentile == 100.0 for e in induction)
    assert seen["induction_shuffled"].value < 0.15
    joined = HeadComposition(task="capitals", top=20).run(lab())
    by_keys = {tuple(e.site.split(" -> ")) for e in joined.effects if e.metric == "k"}
    met = {receiver for sender, receiver in by_keys if score["previous_token", sender].value > 0.4}
    assert len({e.site for e in induction} & met) >= 3
