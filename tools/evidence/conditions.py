"""Conditions: what must be true of the tracker for a sentence to stand in a report.

    E12.effect[L7.H3] < -0.1        the whole interval lies below; so do >, and: between -0.1 and 0.1
    E14.percentile > 80             any quantity; where it has no interval, the value itself
    H2 is supported                 or confirmed, refuted, inconclusive: the program's verdict

An effect that is said to lie beyond a bound must stand, besides, when all comparisons of the run count (q < 0.05).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from ...experiments.result import Frozen
from ..report.numbers import number, value_text
from .ledger import Key
from .quantity import Artifact, Measured, NoQuantity, Quantity, parse, read

Row = dict[str, Any]
_NUMBER = r"([-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+−]?\d+)?)"
_BOUND = re.compile(rf"\s*(.+?)\s*(?:(<=|>=|<|>|≤|≥)\s*{_NUMBER}|\s(?:is\s+)?between\s+{_NUMBER}\s+and\s+{_NUMBER})\s*")
_VERDICT = re.compile(r"\s*(H\d{1,18})\s+is\s+(confirmed|supported|refuted|inconclusive)\s*")
_ID = re.compile(r"(E\d{1,18})\.(.+)")
FORMS = "E12.effect[L7.H3] < -0.1, E12.accuracy_drop > 0.2, E12.loss_increase between -0.1 and 0.1, H2 is supported"


class NoCondition(ValueError):
    """The text is no condition; one line."""


class Bound(Frozen):
    """A quantity and where it is said to lie."""

    quantity: Quantity
    comparison: Literal["above", "below", "between"]
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        match self.comparison:
            case "above":
                return f"{self.quantity.text} > {self.low:g}"
            case "below":
                return f"{self.quantity.text} < {self.high:g}"
            case _:
                return f"{self.quantity.text} between {self.low:g} and {self.high:g}"


class Condition(Frozen):
    """A bound on a quantity of the experiment `of`, or the verdict of the hypothesis `of`."""

    of: str
    bound: Bound | None = None
    verdict: str = ""

    @property
    def text(self) -> str:
        return f"{self.of} is {self.verdict}" if self.bound is None else f"{self.of}.{self.bound.text}"


class Checked(Frozen):
    """A condition, whether it holds, and what there is: value, interval, n."""

    condition: Condition
    holds: bool
    found: str
    split: str = ""


def parse_bound(text: str) -> Bound:
    """Such as "accuracy_drop > 0.2". Raises NoCondition."""
    found = _BOUND.fullmatch(text)
    if found is None:
        raise NoCondition(f"'{text[:100]}' says nothing that can be checked; write for example accuracy_drop > 0.2.")
    try:
        quantity = parse(found[1])
    except NoQuantity as fault:
        raise NoCondition(str(fault)) from fault
    numbers = [None if one is None else float(one.replace("−", "-")) for one in found.groups()[2:]]
    if found[2] is None:
        assert numbers[1] is not None
        assert numbers[2] is not None
        if numbers[1] >= numbers[2]:
            raise NoCondition(f"'{text[:100]}': nothing lies between these; give the smaller bound first.")
        return Bound(quantity=quantity, comparison="between", low=numbers[1], high=numbers[2])
    if found[2] in (">", ">=", "≥"):
        return Bound(quantity=quantity, comparison="above", low=numbers[0])
    return Bound(quantity=quantity, comparison="below", high=numbers[0])


def parse_condition(text: str) -> Condition:
    """Raises NoCondition with the forms that there are."""
    verdict = _VERDICT.fullmatch(text)
    if verdict is not None:
        return Condition(of=verdict[1], verdict=verdict[2])
    of = _ID.match(text.strip())
    if of is None:
        raise NoCondition(f"'{text[:100]}' is no condition; write for example {FORMS}.")
    try:
        return Condition(of=of[1], bound=parse_bound(of[2]))
    except NoCondition as fault:
        raise NoCondition(f"'{text[:100]}' is no condition ({fault}) Conditions look like {FORMS}.") from fault


def check_bound(condition: Condition, row: Row, q: dict[Key, float], artifact: Artifact | None = None) -> Checked:
    """A condition on a finished experiment. Raises NoQuantity."""
    bound = condition.bound
    assert bound is not None
    found = read(row, bound.quantity, artifact)
    holds, said = lies(found, bound), value_text(found.row())
    # A divergence (kl) has an effect and no q: it is never negative, and nothing is claimed by its sign.
    first, alone = bound.quantity.first, bound.quantity.second is None
    beyond = [
        value
        for (experiment, site, metric), value in q.items()
        if alone and first.name == "effect" and bound.comparison != "between"
        if experiment == condition.of and site == first.site and first.metric in (None, metric)
    ]
    if beyond:
        worst = max(beyond)
        said += f", q {number(worst)} over the run"
        holds = holds and worst < 0.05
    return Checked(condition=condition, holds=holds, found=said, split=row["split"] or "")


def lies(found: Measured, bound: Bound) -> bool:
    """Whether the whole interval lies where it is said to; the value, where there is no interval."""
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return (bound.low is None or low > bound.low) and (bound.high is None or high < bound.high)
