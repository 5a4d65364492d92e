"""How a number is shown."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.tools.report.numbers import number, value_text


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
