"""How a number is shown."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.experiments.statistics.p_values import p_text
from lashley.tools.report.numbers import number, p_number, value_text


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.3125, "0.312"), (0.31, "0.31"), (-0.0, "0"), (-0.5, "−0.5"), (1e-4, "1e-4"), (-2.5e-7, "−2.5e-7"),
        (0.9999, "1"), (12345.6, "12,346"), (1319, "1,319"), (3e6, "3e6"), (45.25, "45.2"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(x: float, text: str) -> None:
    assert number(x) == text


@given(st.floats(-1e300, 1e300))
def test_a_shown_number_is_close_to_the_number(x: float) -> None:
    shown = float(number(x).replace("−", "-").replace(",", ""))
    assert math.isclose(shown, x, rel_tol=0.0051, abs_tol=0) or shown == x


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3))
def test_an_interval_never_shows_a_negative_zero(values: list[float]) -> None:
    low, value, high = sorted(values)
    assert not re.search(r"−0(\.0*)?(?![\d.e])", value_text(value, low, high))


def test_a_p_that_rounds_to_the_level_has_one_more_digit() -> None:
    assert [p_text(p) for p in (0.0495, 0.04996, 0.05, 0.051, 0.0123, 1.0)] == [
        "0.0495", "0.04996", "0.05", "0.051", "0.012", "1",
    ]  # fmt: skip
    assert [p_number(p) for p in (0.0495, 0.04998, 0.0123456, 1.0)] == ["0.0495", "0.04998", "0.0123", "1"]
    assert p_text(0.02496, level=0.025) == "0.02496"


@given(st.floats(0, 1) | st.floats(0.049, 0.051))
def test_what_is_shown_of_p_lies_on_its_side_of_the_level(p: float) -> None:
    for shown in (p_text(p), p_text(p, 4), p_number(p)):
        assert (float(shown.replace("−", "-")) < 0.05) == (p < 0.05), shown
