"""Where nothing is there, nothing is claimed; and 95% intervals hold the truth: 200 seeded families in every setting.

A family is what one sweep gives: the paired differences of some sites over the same prompts, here with mean 0, and with
a part that all sites share, as the heads of one model do. The bounds are those that a true rate of 5% passes in all but
one run of a thousand; the seeds are fixed, so this either holds or does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.random import Generator
from scipy.stats import binom

from lashley.experiments.result import Effect
from lashley.experiments.statistics.intervals import effects, share, share_change
from lashley.experiments.statistics.skewed import mean_interval

FAMILIES, SITES = 200, 12
MOST = int(binom.ppf(0.999, FAMILIES, 0.05))
Draw = Callable[[Generator, tuple[int, ...]], np.ndarray]
Setting = tuple[Draw, int, int]


def normal(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def heavy(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_t(2.5, shape)


def discrete(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([-1.0, 0.0, 0.0, 1.0], shape)


def skewed(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.exponential(size=shape) - 1


# What is drawn for a question, how many questions there are, and how many prompts ask each.
SETTINGS: dict[str, Setting] = {
    "normal, 32 questions": (normal, 32, 1),
    "heavy tails, 32 questions": (heavy, 32, 1),
    "discrete, 32 questions": (discrete, 32, 1),
    "normal, 10 questions 3 times": (normal, 10, 3),
    "heavy tails, 10 questions 3 times": (heavy, 10, 3),
    "discrete, 16 questions 2 times": (discrete, 16, 2),
    "skewed, 32 questions": (skewed, 32, 1),
    "skewed, 16 questions": (skewed, 16, 1),
    "skewed, 10 questions 3 times": (skewed, 10, 3),
    "normal, 8 questions": (normal, 8, 1),
    "normal, 5 questions": (normal, 5, 1),
}


@cache
def families(name: str) -> tuple[tuple[Effect, ...], ...]:
    draw, asked, times = SETTINGS[name]
    questions = [f"q{i}" for i in range(asked) for _ in range(times)]
    found: list[tuple[Effect, ...]] = []
    for seed in range(FAMILIES):
        rng = np.random.default_rng([seed, list(SETTINGS).index(name)])
        own, common = draw(rng, (SITES, asked, times)), draw(rng, (1, asked, 1))
        values = (own + common).reshape(SITES, -1)
        found.append(effects([f"L0.H{i}" for i in range(SITES)], "logit_diff", values, questions))
    return tuple(found)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_family_in_which_nothing_is_there_claims_nothing(name: str) -> None:
    for number in ("q", "p_max"):
        claims = sum(any(getattr(e, number) < 0.05 for e in family) for family in families(name))
        assert claims <= MOST, f"{number}: {claims} of {FAMILIES}"


@pytest.mark.parametrize("name", SETTINGS)
def test_intervals_of_nothing_hold_nought(name: str) -> None:
    draw, asked, times = SETTINGS[name]
    rng = np.random.default_rng(list(SETTINGS).index(name))
    values = draw(rng, (4000, asked, times)) + draw(rng, (4000, asked, 1))
    _, low, high = mean_interval(values.reshape(4000, -1), [f"q{i}" for i in range(asked) for _ in range(times)])
    assert float(((low <= 0) & (high >= 0)).mean()) >= 0.94


def fates(rng: Generator, asked: int, times: int, chance: float, together: bool) -> np.ndarray:
    """[prompt] of 0 and 1: by chance, the prompts of a question each for itself or all alike."""
    drawn = rng.random((asked, 1 if together else times)) < chance
    return np.broadcast_to(drawn, (asked, times)).astype(float).reshape(-1)


SHARES = [(32, 1), (10, 3), (16, 2), (8, 1), (5, 1)]


@pytest.mark.parametrize(("asked", "times"), SHARES)
@pytest.mark.parametrize("together", [False, True])
def test_the_interval_of_a_share_holds_it(asked: int, times: int, together: bool) -> None:
    """For chances of every size alike: at a single one few trials hold more or less, since they take few values."""
    questions = [f"q{i}" for i in range(asked) for _ in range(times)]
    rng, held = np.random.default_rng(asked), 0
    for _ in range(2000):
        chance = float(rng.random())
        found = share("accuracy", fates(rng, asked, times, chance, together), questions)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= chance <= found.high
    assert held >= 1860, held


@pytest.mark.parametrize(("asked", "times"), SHARES)
@pytest.mark.parametrize(("before", "after"), [(0.5, 0.5), (0.9, 0.9), (0.9, 0.4)])
@pytest.mark.parametrize("together", [False, True])
def test_the_interval_of_a_change_of_share_holds_it(
    asked: int, times: int, before: float, after: float, together: bool
) -> None:
    questions = [f"q{i}" for i in range(asked) for _ in range(times)]
    rng, held = np.random.default_rng(asked), 0
    for _ in range(1000):
        first, second = (fates(rng, asked, times, chance, together) for chance in (before, after))
        found = share_change("accuracy_drop", first - second, questions)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= before - after <= found.high
    assert held >= 930, held
