"""What the statistics claim where changes are skewed, each beside the old way, which fails it; and what is said where
one question carries an effect."""

from __future__ import annotations

import numpy as np
import pytest

from lashley.benchmarks.candidates import intervals_before, intervals_now, now, p_before
from lashley.benchmarks.statistics import coverage, null_sweeps, shapes, wrong_verdicts
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.result import Effect, Result
from lashley.experiments.statistics.carried import carried, with_carried
from lashley.experiments.statistics.excess import excess_interval
from lashley.experiments.statistics.ratios import ratio_interval
from lashley.tests.test_controls import counting_lab

SHAPES = shapes()


@pytest.mark.parametrize("name", ["exponential", "log-normal"])
def test_a_sweep_of_nothing_claims_nothing(name: str) -> None:
    """40 sweeps of 54 effects over 16 questions; 8% would be three of them."""
    assert max(null_sweeps(SHAPES[name], now, 54, 16, 40)) <= 0.1
    assert max(null_sweeps(SHAPES[name], p_before, 54, 16, 40)) >= 0.25


@pytest.mark.parametrize("questions", [8, 16, 32])
def test_the_interval_of_a_log_normal_mean_holds_it(questions: int) -> None:
    assert coverage(SHAPES["log-normal"], intervals_now, questions) >= 0.92
    assert coverage(SHAPES["log-normal"], intervals_before, questions) <= 0.91


@pytest.mark.parametrize("task", ["arithmetic", "ioi"])
def test_the_interval_of_a_real_change_holds_it(task: str) -> None:
    assert 0.93 <= coverage(SHAPES[f"real, {task}"], intervals_now, 16) <= 0.98


@pytest.mark.parametrize("questions", [8, 16])
def test_six_predictions_at_their_bound_have_no_verdict(questions: int) -> None:
    assert wrong_verdicts(SHAPES["exponential"], intervals_now, questions) <= 0.07
    assert wrong_verdicts(SHAPES["exponential"], intervals_before, questions) >= 0.1


def test_the_interval_of_a_ratio_holds_it_and_excludes_nought_where_the_change_does() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        whole = 3 + rng.exponential(size=16)
        found = ratio_interval((0.4 * whole + 0.5 * (rng.exponential(size=16) - 1))[None], whole)
        held += bool(found[1][0] <= 0.4 <= found[2][0])
    assert held >= 184
    changes = rng.normal(0.3, 1, (200, 16))
    _, low, high = ratio_interval(changes, whole)
    own = intervals_now(changes)
    assert np.array_equal((low > 0) | (high < 0), (own.low > 0) | (own.high < 0))


def test_the_interval_of_an_excess_over_few_strong_sets_holds_it() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        others = rng.lognormal(size=(20, 1)) + rng.normal(0, 0.3, (20, 32))
        _, low, high = excess_interval(2 + rng.normal(0, 0.3, 32), others)
        assert low is not None
        assert high is not None
        held += low <= 2 - np.exp(0.5) <= high
    assert held >= 0.9 * 300


def test_no_interval_leaves_what_its_values_can_be() -> None:
    bench = counting_lab()
    ends = {"kl": (0, np.inf), "prob": (0, 1), "loss": (0, np.inf), "rank": (0, np.inf)}
    removed = HeadAblation(task="counting", heads=["L0.H1"], n=4).run(bench)
    for one in (removed, LogitLens(task="counting", n=4).run(bench), Baseline(task="counting", n=4).run(bench)):
        seen = [(e.metric, e.low, e.value, e.high) for e in one.effects]
        seen += [(m.name, m.low, m.value, m.high) for m in one.measurements]
        bounded = [(ends[name], *interval) for name, *interval in seen if name in ends]
        assert bounded
        assert all(least <= low <= value <= high <= most for (least, most), low, value, high in bounded)


def result(changes: np.ndarray) -> Result:
    effects = tuple(
        Effect(site=f"L0.H{i}", metric="loss", value=float(row.mean()), low=-1, high=1, n=len(row))
        for i, row in enumerate(changes)
    )
    values = np.concatenate([np.zeros((1, changes.shape[1])), changes])
    return Result(effects=effects, arrays={"loss": values, "questions": np.arange(changes.shape[1])})


def test_where_one_question_carries_an_effect_the_result_says_so() -> None:
    even, spike = np.full(16, 1.0), np.array([20.0, *[0.1] * 15])
    assert carried(np.stack([even, spike])).tolist() == pytest.approx([1 / 16, 20 / 21.5])
    # Its prompts count together.
    assert float(carried(np.ones(4), ["a", "a", "a", "b"])) == 0.75
    assert with_carried(result(np.stack([even, even]))).doubts == ()
    found = with_carried(result(np.stack([even, spike])))
    (doubt,) = found.doubts
    assert [note.code for note in found.notes] == ["one_question"]
    assert doubt.code == "one_question"
    assert "L0.H1 on loss (0.93)" in doubt.text
    assert "L0.H0" not in doubt.text
    assert with_carried(result(np.random.default_rng(0).normal(size=(54, 32)))).doubts == ()
