"""Conditions: what must be true of the tracker for a sentence to stand in a report.

    E12.effect[L7.H3] < -0.1        the whole interval lies below; so do >, and: between -0.1 and 0.1
    E14.percentile > 80             any quantity; where it has no interval, the value itself
    H2 is supported                 or confirmed, refuted, inconclusive: the program's verdict

What says that there is an effect must stand, besides, when all comparisons of the run count (q < 0.05): an effect or a
difference of two that does not hold zero, what is counted from effects (rank, percentile, p), and what was measured of
a set that was edited.
"""

from __future__ import annotations

import re
from typing import Literal

from ...db.records import Experiment
from ...experiments.metrics import metrics
from ...experiments.result import Frozen
from ..report.escape import one_line
from ..report.numbers import p_number, value_text
from .ledger import Key
from .quantity import Artifact, Measured, NoQuantity, Quantity, parse, read

_NUMBER = r"([-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+−]?\d+)?)"
_BOUND = re.compile(rf"\s*(.+?)\s*(?:(<=|>=|<|>|≤|≥)\s*{_NUMBER}|\s(?:is\s+)?between\s+{_NUMBER}\s+and\s+{_NUMBER})\s*")
_VERDICT = re.compile(r"\s*(H\d{1,18})\s+is\s+(confirmed|supported|refuted|inconclusive)\s*")
_ID = re.compile(r"(E\d{1,18})\.(.+)")
# How a condition says that there is an effect: by a bound that leaves out zero, by a high value, or by a low one.
_SAYS_EFFECT: dict[str, Literal["away", "high", "low"]] = {
    **dict.fromkeys(("effect", "accuracy_drop", "excess"), "away"),
    **dict.fromkeys(("percentile",), "high"),
    **dict.fromkeys(("rank", "p", "q", "p_max", "control_rank", "control_p"), "low"),
}  # fmt: skip
FORMS = "E12.effect[L7.H3] < -0.1, E12.accuracy_drop > 0.2, E12.loss_increase between -0.1 and 0.1, H2 is supported"


class NoCondition(ValueError):
    """The text is no condition; one line."""

    code = "no_condition"


class Bound(Frozen):
    """A quantity and where it is said to lie."""

    quantity: Quantity
    comparison: Literal["above", "below", "between"]
    low: float | None = None
    high: float | None = None

    @property
    def there(self) -> str:
        """Where it lies, in words."""
        match self.comparison:
            case "above":
                return f"above {self.low:g}"
            case "below":
                return f"below {self.high:g}"
            case _:
                return f"between {self.low:g} and {self.high:g}"

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
        raise NoCondition(
            f"'{one_line(text)[:100]}' says nothing that can be checked; write for example accuracy_drop > 0.2."
        )
    try:
        quantity = parse(found[1])
    except NoQuantity as fault:
        raise NoCondition(str(fault)) from fault
    numbers = [None if one is None else float(one.replace("−", "-")) for one in found.groups()[2:]]
    if found[2] is None:
        assert numbers[1] is not None
        assert numbers[2] is not None
        if numbers[1] >= numbers[2]:
            raise NoCondition(f"'{one_line(text)[:100]}': nothing lies between these; give the smaller bound first.")
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
        raise NoCondition(f"'{one_line(text)[:100]}' is no condition; write for example {FORMS}.")
    try:
        return Condition(of=of[1], bound=parse_bound(of[2]))
    except NoCondition as fault:
        raise NoCondition(
            f"'{one_line(text)[:100]}' is no condition ({fault}) Conditions look like {FORMS}."
        ) from fault


def check_bound(
    condition: Condition, row: Experiment, q: dict[Key, float], artifact: Artifact | None = None
) -> Checked:
    """A condition on a finished experiment. Raises NoQuantity."""
    bound = condition.bound
    assert bound is not None
    found = read(row, bound.quantity, artifact)
    holds, said = lies(found, bound), shown(found, bound)
    stands = _stands(bound, row, q)
    if stands is not None:
        said += f", q {p_number(stands)} over the run"
        holds = holds and stands < 0.05
    return Checked(condition=condition, holds=holds, found=said, split=row.split or "")


def shown(found: Measured, bound: Bound) -> str:
    """What was found of the quantity; a p that lies on one side of a bound is shown there."""
    if bound.quantity.second is None and bound.quantity.first.name in ("p", "q", "p_max", "control_p"):
        return p_number(found.value)
    return value_text(found.value, found.low, found.high, unit=found.unit, n=found.n)


def _stands(bound: Bound, row: Experiment, q: dict[Key, float]) -> float | None:
    """q over the run of the effect that a condition claims; None where it claims none, or none that has a q.

    A divergence (kl) has none: it is never negative, and nothing is claimed by its sign. A difference says that one of
    the two is there, and a measurement of a set that one of its effects is.
    """
    terms = [term for term in (bound.quantity.first, bound.quantity.second) if term is not None]
    # A difference of any two is a comparison, too: intact_accuracy - accuracy is an effect by another name.
    side = "away" if len(terms) > 1 else _says_effect(terms[0].name)
    away = (bound.low is not None and bound.low >= 0) or (bound.high is not None and bound.high <= 0)
    if side is None or not {"away": away, "high": bound.low is not None, "low": bound.high is not None}[side]:
        return None
    metric = terms[0].metric or next((effect.metric for effect in row.effects), None)
    found = [
        value
        for (experiment, site, of), value in q.items()
        if experiment == row.id and any(t.site in (None, site) and (t.metric or metric) == of for t in terms)
    ]
    return min(found, default=None)


def _says_effect(name: str) -> Literal["away", "high", "low"] | None:
    """How a bound on this quantity says that there is an effect; None where it says none. The change of a metric does
    so by leaving out zero, where it can be of either sign."""
    if any(metric.change == name and not metric.from_intact for metric in metrics().values()):
        return "away"
    return _SAYS_EFFECT.get(name)


def lies(found: Measured, bound: Bound) -> bool:
    """Whether the whole interval lies where it is said to; the value, where there is no interval."""
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return (bound.low is None or low > bound.low) and (bound.high is None or high < bound.high)
