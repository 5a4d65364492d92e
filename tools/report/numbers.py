"""How a report shows a number, everywhere.

Three significant digits; a value and its interval share their decimals so that the eye can compare
them; zero never has a sign; very small and very large numbers are written as 1e-4. The minus is
U+2212, which lines up with digits in tables. No line breaks inside a value, an interval, or "n = 32".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, cast

from ...experiments.edge_names import without_edges as without_edges
from ...experiments.statistics.p_values import keeps_side, p_text

_SMALL, _LARGE = 1e-3, 1e6
NBSP = "\u00a0"
_HYPHEN_MINUS = re.compile(r"(?<![^\s(\[=<>≤≥])-(?=\.?\d)")


def true_minus(text: str) -> str:
    """The text with U+2212 for hyphens before a number; ranges (0-5) and names (GPT-2) keep theirs."""
    return _HYPHEN_MINUS.sub("−", text)


def _fixed(x: float, decimals: int) -> str:
    text = f"{x:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", "−")


def _decimals(scale: float) -> int:
    """How many decimals give a number of this size three significant digits."""
    return max(0, 2 - math.floor(math.log10(scale)))


def number(x: float) -> str:
    """One number: 0.3125 is 0.312, 12345.6 is 12,346, 0.0001 is 1e-4, -0.0 is 0."""
    size = abs(x)
    if size == 0:
        return "0"
    if size < _LARGE and float(x).is_integer():
        return _fixed(x, 0)
    if size < _SMALL or size >= _LARGE:
        mantissa, exponent = f"{x:.2e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".").replace("-", "−")
        return f"{mantissa}e{int(exponent)}"
    text = _fixed(x, _decimals(size))
    return text.rstrip("0").rstrip(".") if "." in text else text


def p_number(p: float) -> str:
    """A p or q: one number, with more digits where rounding would move it across 0.05."""
    return number(p) if keeps_side(float(f"{p:.3g}"), p) else p_text(p, 3)


def _together(values: Sequence[float]) -> list[str]:
    """Numbers to compare, with as many decimals as the largest of them needs."""
    scale = max(abs(x) for x in values)
    if scale == 0 or scale < _SMALL or scale >= _LARGE:
        return [number(x) for x in values]
    texts = [_fixed(x, _decimals(scale)) for x in values]
    while "." in texts[0] and all(text.endswith("0") for text in texts):
        texts = [text[:-1] for text in texts]
    return [text.rstrip(".") for text in texts]


def value_parts(
    value: float, low: float | None = None, high: float | None = None, *, unit: str = "", n: int | None = None
) -> tuple[str, str]:
    """A measurement or an effect as (number with unit, interval and n): ("0.31 nats", " [0.22, 0.40], n = 32")."""
    if low is None or high is None:
        main, rest = number(value), ""
    else:
        main, low_text, high_text = _together((value, low, high))
        rest = f" [{low_text},{NBSP}{high_text}]"
    if unit:
        main = f"{main}{NBSP}{unit}"
    if n is not None:
        rest += f", {count(n)}"
    return main, rest


def count(n: int) -> str:
    """Such as n = 32, without a line break inside."""
    return f"n{NBSP}={NBSP}{number(n)}"


def value_text(
    value: float, low: float | None = None, high: float | None = None, *, unit: str = "", n: int | None = None
) -> str:
    """A measurement or an effect in one line: "0.31 nats [0.22, 0.40], n = 32"."""
    return "".join(value_parts(value, low, high, unit=unit, n=n))


def setting(value: Any) -> str:
    """A field of a configuration. Integers stay as typed: a seed of 2026 is not 2,026."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
        return number(value)
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return ", ".join(setting(item) for item in items) if items else "none"
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
