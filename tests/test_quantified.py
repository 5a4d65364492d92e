"""Quantities over many effects: the largest, the smallest, and how many lie within a bound."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

from lashley.db.records import Effect
from lashley.tools.evidence.conditions import NoCondition, check_bound, parse_bound, parse_condition
from lashley.tools.evidence.quantity import NoQuantity, Numbers, parse, read
from lashley.tools.evidence.trivial import cannot_fail

EFFECTS = {
    "L0.H0": (-0.5, -0.7, -0.3),
    "L0.H1": (0.05, -0.1, 0.15),
    "L1.H0": (0.2, 0.1, 0.3),
    "L1.H1": (0.0, -0.02, 0.02),
}


def effect(site: str, value: float, low: float, high: float, metric: str = "logit_diff") -> Effect:
    return Effect(site=site, metric=metric, value=value, low=low, high=high, n=32, p=None, q=None, percentile=None,
                  p_max=None)  # fmt: skip


def result(*more: Effect) -> Numbers:
    made = tuple(effect(site, *numbers) for site, numbers in EFFECTS.items())
    return Numbers("E1", 32, {}, (), (*made, *more), ())


def numbers(text: str) -> list[float | None]:
    found = read(result(), text)
    return [None if one is None else round(one, 9) for one in (found.value, found.low, found.high)]


def test_the_largest_effect_has_an_interval_that_contains_all_others() -> None:
    assert numbers("max |effect|") == [0.5, 0.3, 0.7]
    # Without the first, the largest is 0.2, and the widest interval reaches 0.1 beyond its value.
    assert numbers("max |effect except L0.H0|") == [0.2, 0.1, 0.3]
    assert numbers("max |effect except L0.H0, L1.H0|") == [0.05, 0.0, 0.15]
    assert numbers("min |effect|")[0] == 0.0
    assert numbers("min |effect except L1.H1, L0.H1|") == [0.2, 0.0, 0.3]


def test_a_count_goes_from_those_that_lie_there_to_those_that_may() -> None:
    assert numbers("count(effect < -0.2)") == [1, 1, 1]
    assert numbers("count(effect > 0.05)") == [1, 1, 2]
    assert numbers("count(effect except L1.H0 > 0.05)") == [0, 0, 1]


def test_a_metric_can_be_named() -> None:
    both = result(effect("L0.H0", 9.0, 8.0, 10.0, "loss"))
    assert read(both, "max |effect[loss]|").value == 9
    assert read(both, "max |effect|").value == 0.5


@pytest.mark.parametrize(
    "text", ["max |effect|", "max |effect[loss] except L1.H2, L3.H1|", "count(effect < -0.1)", "count(effect > 0.25)"]
)
def test_a_text_is_read_back_from_its_quantity(text: str) -> None:
    assert parse(text).text == text
    assert parse(parse(text).text) == parse(text)


def test_the_experiment_may_stand_inside() -> None:
    inside, before = "max |E7.effect except L1.H2| < 0.1", "E7.max |effect except L1.H2| < 0.1"
    assert parse_condition(inside) == parse_condition(before)
    assert parse_condition("count(E4.effect < -0.1) > 2").text == "E4.count(effect < -0.1) > 2"
    with pytest.raises(NoCondition):
        parse_condition("max |E7.effect except| < 0.1")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(NoQuantity, match=r"no effect at 'L9.H9' to except"):
        read(result(), "max |effect except L9.H9|")
    with pytest.raises(NoQuantity, match="no effect is left"):
        read(result(), f"max |effect except {', '.join(EFFECTS)}|")
    with pytest.raises(NoQuantity, match="no effects on kl"):
        read(result(), "max |effect[kl]|")


def test_a_bound_that_every_result_meets_is_refused() -> None:
    assert "cannot fail" in cannot_fail(parse_bound("max |effect| > 0"))
    assert "cannot fail" in cannot_fail(parse_bound("count(effect < -0.1) > -1"))
    assert not cannot_fail(parse_bound("count(effect < -0.1) > 0"))
    assert not cannot_fail(parse_bound("max |effect| < 0.1"))


def test_that_effects_exist_must_stand_after_correction_and_that_all_are_small_need_not() -> None:
    q = {("E1", site, "logit_diff"): value for site, value in zip(EFFECTS, (0.001, 0.4, 0.2, 0.9), strict=True)}

    row = SimpleNamespace(**result()._asdict(), split="explore")

    def holds(text: str) -> bool:
        return check_bound(parse_condition(text), row, q).holds  # type: ignore[arg-type]

    assert holds("max |E1.effect| > 0.2")
    assert not holds("max |E1.effect except L0.H0| > 0.05")  # its only effect has q 0.2
    assert holds("max |E1.effect except L0.H0| < 0.35")
    assert not holds("max |E1.effect except L0.H0| < 0.25")
    assert holds("count(E1.effect < -0.2) > 0")
    assert not holds("count(E1.effect > 0.05) > 0")


def test_in_simulations_the_interval_of_the_largest_is_seldom_too_short() -> None:
    rng, count, n, runs = np.random.default_rng(0), 20, 16, 300
    half, wrong = t.ppf(0.975, n - 1), 0
    for _ in range(runs):
        truth = rng.normal(0, 0.3, count)
        seen = truth[:, None] + rng.normal(0, 1, (count, n))
        mean, error = seen.mean(1), half * seen.std(1, ddof=1) / np.sqrt(n)
        made = tuple(effect(f"L0.H{i}", mean[i], mean[i] - error[i], mean[i] + error[i]) for i in range(count))
        found = read(Numbers("E1", n, {}, (), made, ()), "max |effect|")
        assert found.high is not None
        wrong += found.high < np.abs(truth).max()
    assert wrong <= 0.05 * runs
