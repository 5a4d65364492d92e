"""Intervals that cover, p-values that are uniform when nothing is there, and never too small a correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lashley.experiments.statistics import bootstrap, effects, measurement, sign_flip_p

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
FAST = settings(max_examples=60, deadline=None, derandomize=True)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(0).gamma(2.0, 1.0, (2000, 30))
    _, low, high = bootstrap(drawn)
    covered = float(((low <= 2.0) & (high >= 2.0)).mean())
    # A percentile interval of 30 skewed numbers covers a little less than 95%.
    assert 0.90 <= covered <= 0.97


@pytest.mark.parametrize("n", [12, 20])
def test_p_is_uniform_when_there_is_no_effect(n: int) -> None:
    p = sign_flip_p(np.random.default_rng(1).normal(size=(3000, n)))
    for level in (0.01, 0.05, 0.2, 0.5, 0.8):
        assert abs(float((p <= level).mean()) - level) <= 0.02 + 0.03 * level


def test_p_finds_what_is_there() -> None:
    drawn = np.random.default_rng(2).normal(1.0, 1.0, (200, 30))
    assert float((sign_flip_p(drawn) < 0.01).mean()) > 0.95


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=numbers), st.floats(0.1, 1e3))
@FAST
def test_p_knows_neither_sign_nor_unit(values: np.ndarray, unit: float) -> None:
    p = sign_flip_p(values)
    assert bool(((p > 0) & (p <= 1)).all())
    assert np.array_equal(p, sign_flip_p(-values))
    one_sided = np.abs(values[:, :1])
    assert sign_flip_p(one_sided * unit).tolist() == [1.0] * len(values)


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=numbers))
@FAST
def test_an_effect_lies_in_its_interval_and_q_is_never_below_p(values: np.ndarray) -> None:
    found = effects([f"L{i}.H0" for i in range(len(values))], "loss", values)
    for effect, row in zip(found, values, strict=True):
        assert effect.low <= effect.value <= effect.high
        assert min(row) - 1e-6 <= effect.low
        assert effect.high <= max(row) + 1e-6
        assert effect.p is not None
        assert effect.q is not None
        assert effect.p <= effect.q + 1e-12 <= 1 + 1e-9
        assert effect.n == len(row)


def test_a_strong_effect_among_many_survives_and_noise_does_not() -> None:
    values = np.random.default_rng(3).normal(size=(200, 20))
    values[7] += 5.0
    found = effects([str(i) for i in range(200)], "loss", values)
    assert [e.site for e in found if (e.q or 1.0) < 0.02] == ["7"]


def test_one_prompt_gives_no_more_than_its_value() -> None:
    alone = measurement("loss", np.array([0.7]), "nats")
    assert (alone.value, alone.low, alone.high, alone.n) == (0.7, 0.7, 0.7, 1)


def test_equal_values_have_no_interval_and_no_effect_has_no_p() -> None:
    same, nothing = effects(["a", "b"], "loss", np.array([[0.3] * 12, [0.0] * 12]))
    assert abs(same.high - same.low) < 1e-12
    assert (nothing.p, nothing.low, nothing.high) == (1.0, 0.0, 0.0)


def test_the_same_numbers_give_the_same_answer() -> None:
    drawn = np.random.default_rng(4).normal(size=(5, 12))
    assert effects(list("abcde"), "loss", drawn) == effects(list("abcde"), "loss", drawn)
