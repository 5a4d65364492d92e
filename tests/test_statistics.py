"""Intervals that cover, p-values that are uniform when nothing is there, and never too small a correction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm, t

from lashley.experiments.statistics.intervals import effects, measurement, share, share_change, tango, wilson
from lashley.experiments.statistics.paired_test import paired_p
from lashley.experiments.statistics.skewed import from_interval, mean_interval, zero_p

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
FAST = settings(max_examples=60, deadline=None, derandomize=True)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(0).gamma(2.0, 1.0, (2000, 30))
    _, low, high = mean_interval(drawn)
    covered = float(((low <= 2.0) & (high >= 2.0)).mean())
    # An interval of 30 skewed numbers covers a little less than 95%.
    assert 0.92 <= covered <= 0.97


@pytest.mark.parametrize("n", [5, 8, 12])
def test_few_prompts_get_an_interval_that_is_wide_enough(n: int) -> None:
    _, low, high = mean_interval(np.random.default_rng(5).normal(size=(3000, n)))
    assert 0.91 <= float(((low <= 0) & (high >= 0)).mean()) <= 0.98


def asking(questions: int, times: int, between: float) -> tuple[np.ndarray, list[str]]:
    """3000 studies of `questions` x `times` prompts; those of a question share a part, of deviation `between`."""
    rng = np.random.default_rng(6)
    common = rng.normal(0, between, (3000, questions, 1)) + rng.normal(0, 1, (3000, questions, times))
    return common.reshape(3000, -1), [f"q{i}" for i in range(questions) for _ in range(times)]


def test_prompts_that_ask_the_same_do_not_count_as_several() -> None:
    values, questions = asking(10, 3, between=2.0)
    covered = {
        name: float(((low <= 0) & (high >= 0)).mean())
        for name, (_, low, high) in (("as one", mean_interval(values, questions)), ("as many", mean_interval(values)))
    }
    assert 0.94 <= covered["as one"] <= 0.985
    assert covered["as many"] < 0.85, "or the test would show nothing"
    p, _ = paired_p(values, questions)
    assert 0.02 < float((p <= 0.05).mean()) < 0.06
    assert float((paired_p(values)[0] <= 0.05).mean()) > 0.12


def slow_p(row: list[float], asked: list[str], bound: float) -> float:
    """Of one mean, question by question: Hall's cubic with the largest skewness that the level allows, the level found
    by trying them all."""
    mean = sum(row) / len(row)
    names = sorted(set(asked))
    size = len(row) / len(names)
    apart = [sum(v - mean for v, q in zip(row, asked, strict=True) if q == name) / size for name in names]
    g, away = len(names), abs(mean - bound)
    spread = (sum(x * x for x in apart) / g) ** 0.5
    skewed = sum(x**3 for x in apart) / g / spread**3 * (g * (g - 1)) ** 0.5 / (g - 2)
    unsure = (6 * g * (g - 1) / ((g - 2) * (g + 1) * (g + 3))) ** 0.5
    towards = skewed if bound > mean else -skewed
    for z in np.linspace(4, 0, 4001):
        student = float(t.isf(norm.sf(z), g - 1))
        lean = max(1e-9, towards + z * z / 8 * unsure)
        # t of the bound by the cubic, and where that is flat or bends back, 2.5 times as far as Student's at most.
        w = away / spread
        bends = lean * student / (g - 1) ** 0.5 >= 1
        cubic = (1 - (1 - lean * min(w, 3 / lean) / 3) ** 3) / lean * (g - 1) ** 0.5
        far = away / (spread / (g - 1) ** 0.5) >= 2.5 * student
        if far or (not bends and cubic >= student):
            return float(2 * norm.sf(z))
    return 1.0


@pytest.mark.parametrize("asked", [range(8), [0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 7], range(30)])
def test_interval_and_p_are_those_of_the_slow_way(asked: Sequence[int]) -> None:
    rng, questions = np.random.default_rng(8), [str(q) for q in asked]
    values = np.concatenate([rng.lognormal(size=(6, len(asked))) - 2.5, rng.normal(0.6, 1, (6, len(asked)))])
    mean, low, high = mean_interval(values, questions)
    assert np.array_equal(mean, values.mean(-1))
    p = zero_p(values, questions)
    for row, found, a, b in zip(values.tolist(), p, low, high, strict=True):
        assert found == pytest.approx(slow_p(row, questions, 0.0), rel=0.01, abs=2e-4)
        for end in (a, b):
            assert slow_p(row, questions, float(end)) == pytest.approx(0.05, rel=0.01)


numbers_of_questions = st.tuples(st.integers(1, 5), st.integers(3, 24))


@given(arrays(np.float64, numbers_of_questions, elements=st.floats(-100, 100, width=16)), st.randoms())
@FAST
def test_interval_and_p_know_neither_sign_nor_unit_nor_order(values: np.ndarray, random: Random) -> None:
    mean, low, high = mean_interval(values)
    p = zero_p(values)
    assert bool(((p >= 0) & (p <= 1) & (low <= mean) & (mean <= high)).all())
    # They never contradict each other: p is below 0.05 just where the interval excludes 0.
    sure = (np.abs(low) > 1e-6) & (np.abs(high) > 1e-6)
    assert np.array_equal((p < 0.05)[sure], ((low > 0) | (high < 0))[sure])
    for same, sign, unit in ((-values, -1, 1), (values * 512, 1, 512), (values[:, order(values, random)], 1, 1)):
        other = sorted((sign * unit * low[0], sign * unit * high[0]))
        assert [float(x[0]) for x in mean_interval(same)[1:]] == pytest.approx(other, rel=1e-6, abs=1e-6)
        assert zero_p(same) == pytest.approx(p, rel=1e-3, abs=1e-6)


def order(values: np.ndarray, random: Random) -> list[int]:
    places = list(range(values.shape[1]))
    random.shuffle(places)
    return places


@pytest.mark.parametrize("count", [3, 5, 8, 32])
def test_what_an_interval_was_made_of_can_be_read_from_its_ends(count: int) -> None:
    values = np.random.default_rng(count).normal(0.4, 1, (200, count)) ** 3
    mean, low, high = mean_interval(values)
    again = from_interval(mean, low, high, count)
    assert again.end(-1) == pytest.approx(low, rel=1e-5, abs=1e-5)
    assert again.end(1) == pytest.approx(high, rel=1e-5, abs=1e-5)
    # The same but where the skewness is too large for so few to be told from a larger one.
    assert np.mean(np.abs(again.p_of(0.0) - zero_p(values)) < 0.01) > (0.9 if count == 32 else 0.5)


def shift_of(question: str) -> float:
    return float(question[1:]) / 10


def test_questions_that_all_differ_change_nothing() -> None:
    values = np.random.default_rng(9).normal(size=(4, 13))
    names = [str(i) for i in range(13)]
    assert effects(list("abcd"), "loss", values, names) == effects(list("abcd"), "loss", values)


@pytest.mark.parametrize("right", [0, 1, 7, 31, 32])
def test_a_share_has_the_interval_of_wilson(right: int) -> None:
    expected = binomtest(right, 32).proportion_ci(method="wilson")
    values = np.array([1.0] * right + [0.0] * (32 - right))
    found = share("accuracy", values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.1, "never without width"


def slow_tango(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Every difference on a grid whose score test is not rejected, its likeliest share found by search."""
    inside: list[float] = []
    for delta in np.linspace(-0.9999, 0.9999, 4001):

        def unlikely(x: float, delta: float = float(delta)) -> float:
            parts = ((gained, x + delta), (lost, x), (n - gained - lost, 1 - 2 * x - delta))
            return -sum(k * np.log(max(p, 1e-300)) for k, p in parts if k)

        most = (1 - delta) / 2
        x = minimize_scalar(unlikely, bounds=(max(0.0, -delta), most), method="bounded", options={"xatol": 1e-12}).x
        # The search stays a little away from the ends, where the best may lie.
        x = min((max(0.0, -delta), float(x), most), key=unlikely)
        variance = (2 * x + delta * (1 - delta)) / n
        if abs((gained - lost) / n - delta) <= 1.959964 * np.sqrt(variance):
            inside.append(float(delta))
    return min(inside), max(inside)


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(0, 0, 32), (14, 0, 32), (9, 2, 20), (1, 1, 10), (0, 5, 8), (3, 9, 12)]
)
def test_a_change_of_share_has_the_interval_of_tango(gained: int, lost: int, n: int) -> None:
    assert tango(gained / n, lost / n, n) == pytest.approx(slow_tango(gained, lost, n), abs=1e-3)


@pytest.mark.parametrize("change", [0.0, 1.0, -1.0])
def test_a_change_that_is_the_same_for_every_prompt_is_still_uncertain(change: float) -> None:
    found = share_change("accuracy_drop", np.full(8, change))
    assert found.low is not None
    assert found.high is not None
    assert found.value == change
    assert -1 <= found.low <= change <= found.high <= 1
    assert found.high - found.low > 0.3


@given(st.integers(1, 60), st.data())
@FAST
def test_intervals_of_shares_are_mirrored_and_hold_their_value(n: int, data: st.DataObject) -> None:
    gained = data.draw(st.integers(0, n))
    lost = data.draw(st.integers(0, n - gained))
    low, high = tango(gained / n, lost / n, n)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    assert tango(lost / n, gained / n, n) == pytest.approx((-high, -low), abs=1e-9)
    below, above = wilson(gained / n, n)
    assert 0 <= below <= gained / n <= above <= 1
    assert wilson(1 - gained / n, n) == pytest.approx((1 - above, 1 - below), abs=1e-9)


def test_a_share_counts_questions() -> None:
    values = np.ones(32)
    names = [str(i % 10) for i in range(32)]
    found = share("accuracy", values, names)
    assert found.n == 32
    assert found.low == pytest.approx(binomtest(10, 10).proportion_ci(method="wilson").low)
    drop = share_change("accuracy_drop", np.zeros(32), names)
    assert (drop.low, drop.high) == pytest.approx(tango(0, 0, 10))


def test_values_and_questions_must_agree() -> None:
    with pytest.raises(ValueError, match="3 values, but 2 questions"):
        mean_interval(np.ones(3), ["a", "b"])


@pytest.mark.parametrize("n", [12, 20])
def test_p_is_nearly_uniform_when_there_is_no_effect(n: int) -> None:
    p, _ = paired_p(np.random.default_rng(1).normal(size=(3000, n)))
    for level in (0.01, 0.05, 0.2, 0.5, 0.8):
        # Never too often; a little too seldom, since the skewness of so few is not known.
        assert 0.4 * level - 0.01 <= float((p <= level).mean()) <= 1.05 * level + 0.01


def test_p_finds_what_is_there() -> None:
    drawn = np.random.default_rng(2).normal(1.0, 1.0, (200, 30))
    assert float((paired_p(drawn)[0] < 0.01).mean()) > 0.95


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=numbers), st.floats(0.1, 1e3))
@FAST
def test_p_knows_neither_sign_nor_unit(values: np.ndarray, unit: float) -> None:
    p, p_max = paired_p(values)
    assert bool(((p > 0) & (p <= 1)).all())
    assert np.array_equal([p, p_max], paired_p(-values))
    one_sided = np.abs(values[:, :1])
    assert np.array_equal(paired_p(one_sided * unit), np.ones((2, len(values))))


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=numbers))
@FAST
def test_a_family_is_never_more_significant_than_its_members(values: np.ndarray) -> None:
    p, p_max = paired_p(values)
    assert bool((p <= p_max).all())
    assert bool((p_max <= 1).all())
    for row, alone in zip(values, p, strict=True):
        assert paired_p(row[None]) == ([alone], [alone])
    # The same effect twice is one effect, and a place where nothing happens says nothing.
    more = np.concatenate([values, values, np.zeros((3, values.shape[1]))])
    assert paired_p(more)[1].tolist() == [*p_max, *p_max, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("asked", [range(6), [0, 0, 1, 2, 3, 3, 3, 4]])
def test_min_p_is_that_of_the_textbook(asked: Sequence[int]) -> None:
    """Every flip of the questions written out, place by place, with units that differ by a thousand."""
    rng, questions = np.random.default_rng(10), [str(q) for q in asked]
    values = (rng.normal(0.4, 1, (5, len(asked)))) * np.array([[1e-3], [1], [1e3], [1], [5]])
    every = list(itertools.product([1, -1], repeat=len(set(asked))))

    def flipped(row: np.ndarray) -> list[float]:
        sums = [sum(v for v, q in zip(row, asked, strict=True) if q == question) for question in sorted(set(asked))]
        return [abs(sum(s * x for s, x in zip(signs, sums, strict=True))) for signs in every]

    def rarity(row: np.ndarray) -> list[float]:
        sizes = flipped(row)
        return [sum(one >= size * (1 - 1e-9) for one in sizes) / len(sizes) for size in sizes]

    rarities = [rarity(row) for row in values]
    p = [max(own[0], float(zero_p(row, questions))) for own, row in zip(rarities, values, strict=True)]
    rarest = [min(own) for own in zip(*rarities, strict=True)]
    expected = [max(one, sum(r <= one + 1e-9 for r in rarest) / len(every)) for one in p]
    found = paired_p(values, questions)
    assert found[0] == pytest.approx(p)
    assert found[1] == pytest.approx(expected)


@pytest.mark.parametrize(("n", "places"), [(12, 30), (20, 30)])
def test_a_study_of_nothing_finds_something_in_one_family_of_twenty(n: int, places: int) -> None:
    """400 families of places that share most of their noise, as the heads of a model do."""
    rng = np.random.default_rng(11)
    families = rng.normal(size=(400, 1, n)) + rng.normal(0, 0.5, (400, places, n))
    claimed = [bool((paired_p(family)[1] < 0.05).any()) for family in families]
    assert binomtest(sum(claimed), len(claimed), 0.05, alternative="greater").pvalue > 0.01
    # It is not merely shy: Bonferroni over as many places would claim a tenth of that.
    assert np.mean(claimed) > 0.02


def test_the_correction_over_a_family_finds_what_is_there() -> None:
    values = np.random.default_rng(12).normal(size=(200, 20))
    values[7] += 3.0
    assert np.flatnonzero(paired_p(values)[1] < 0.05).tolist() == [7]
    assert [e.p_max is None for e in effects(["a", "b"], "loss", values[:2], family=3)] == [True, True]


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=numbers))
@FAST
def test_an_effect_lies_in_its_interval_and_q_is_never_below_p(values: np.ndarray) -> None:
    found = effects([f"L{i}.H0" for i in range(len(values))], "loss", values)
    for effect, row in zip(found, values, strict=True):
        assert effect.low <= effect.value <= effect.high
        # What was not seen may lie beyond all that was, but not where every value is the same.
        assert effect.high - effect.low >= 0
        assert len(set(row)) > 1 or effect.high - effect.low <= 1e-6 * abs(row[0])
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
