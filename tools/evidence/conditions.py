"""Conditions: what the tracker must show for a report to contain a sentence.

    E12.effect[L7.H3] < -0.1        the whole interval lies below; also >, and: between -0.1 and 0.1
    E14.percentile > 80             any quantity; if it has no interval, the value itself
    max |E7.effect except L1.H2| < 0.1    over many effects; the same as E7.max |effect except L1.H2| < 0.1
    first layer where E4.lead > 0 < 10    the same as E4.first layer where lead > 0 < 10
    E5.effect[L7] - E6.effect[L7] > 0     of two experiments; also /
    H2 is supported                 or confirmed, refuted, inconclusive: the program's verdict
    H3.2 is supported               the verdict on its second prediction; or refuted, inconclusive
    C1 contains L1.H2 -> L3.H1.k    an edge of a stored circuit

A condition that claims an effect must also hold when all comparisons of the run count (q < 0.05). Such are: an effect,
or a difference or ratio of two, whose bound excludes zero; numbers counted from effects (rank, percentile, p, a first
layer); and measurements of an edited set.
"""

from __future__ import annotations

import re
from typing import Literal

from ...db.records import Experiment
from ...experiments.metrics import metrics
from ...experiments.result import Frozen
from ..report.escape import one_line
from ..report.numbers import p_number, value_text
from .first_layer import FirstLayer, passing
from .in_circuit import CONTAINS
from .ledger import Key
from .quantified import Many, needed_q
from .quantity import Artifact, Measured, NoQuantity, Others, Quantity, parse, ranked, read
from .term import Term

_NUMBER = r"([-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+−]?\d+)?)"
_BOUND = re.compile(rf"\s*(.+?)\s*(?:(<=|>=|<|>|≤|≥)\s*{_NUMBER}|\s(?:is\s+)?between\s+{_NUMBER}\s+and\s+{_NUMBER})\s*")
_VERDICT = re.compile(r"\s*(H\d{1,18})(?:\.(\d{1,4}))?\s+is\s+(confirmed|supported|refuted|inconclusive)\s*")
_ID = re.compile(r"(E\d{1,18})\.(.+)")
# The experiment stands before the quantity or, over many effects, inside it.
_INSIDE = re.compile(r"\s*((?:max|min)\s*\||count\s*\(|first\s+layer\s+(?:where|from\s+which)\s)\s*(E\d{1,18})\.(.+)")
# How a condition claims an effect: by a bound that excludes zero, by a high value, or by a low one.
_SAYS_EFFECT: dict[str, Literal["away", "high", "low"]] = {
    **dict.fromkeys(("effect", "accuracy_drop", "excess"), "away"),
    **dict.fromkeys(("percentile",), "high"),
    **dict.fromkeys(("rank", "p", "q", "p_max", "control_rank", "control_p"), "low"),
}  # fmt: skip
FORMS = (
    "E12.effect[L7.H3] < -0.1, E12.accuracy_drop > 0.2, E12.loss_increase between -0.1 and 0.1, H2 is supported, "
    "H3.2 is supported, C1 contains L1.H2 -> L3.H1.k"
)


class NoCondition(ValueError):
    """The text is not a condition; one line."""

    code = "no_condition"


class Bound(Frozen):
    """A quantity and its claimed bounds."""

    quantity: Quantity
    comparison: Literal["above", "below", "between"]
    low: float | None = None
    high: float | None = None

    @property
    def there(self) -> str:
        """The bounds, in words."""
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
    """A bound on a quantity of the experiment `of`, or the verdict of the hypothesis `of`, or of one of its predictions
    (`place`, from 1), or an `edge` of the circuit `of`."""

    of: str
    bound: Bound | None = None
    verdict: str = ""
    place: int | None = None
    edge: str = ""

    @property
    def text(self) -> str:
        if self.bound is not None:
            return f"{self.of}.{self.bound.text}"
        if self.edge:
            return f"{self.of} contains {self.edge}"
        return f"{self.of}{'' if self.place is None else f'.{self.place}'} is {self.verdict}"


class Checked(Frozen):
    """A condition, whether it holds, and what was found: value, interval, n.

    uncorrected  the interval lies there, but not after correction for all comparisons of the run
    """

    condition: Condition
    holds: bool
    found: str
    split: str = ""
    uncorrected: bool = False


def parse_bound(text: str) -> Bound:
    """Such as "accuracy_drop > 0.2". Raises NoCondition."""
    found = _BOUND.fullmatch(text)
    if found is None:
        raise NoCondition(f"'{one_line(text)[:100]}' cannot be checked; write, for example, accuracy_drop > 0.2.")
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
    """Raises NoCondition, which lists the forms."""
    verdict = _VERDICT.fullmatch(text)
    if verdict is not None:
        return Condition(of=verdict[1], verdict=verdict[3], place=None if verdict[2] is None else int(verdict[2]))
    if edge := CONTAINS.fullmatch(text):
        return Condition(of=edge[1], edge=f"{edge[2]} -> {edge[3]}")
    of = of_experiment(text)
    if of is None:
        raise NoCondition(f"'{one_line(text)[:100]}' is not a condition; write, for example, {FORMS}.")
    try:
        bound = parse_bound(of[1])
        return Condition(of=of[0], bound=bound.model_copy(update={"quantity": of_this(of[0], bound.quantity)}))
    except NoCondition as fault:
        raise NoCondition(
            f"'{one_line(text)[:100]}' is not a condition ({fault}) Conditions look like {FORMS}."
        ) from fault


def of_experiment(text: str) -> tuple[str, str] | None:
    """The id of the experiment and the rest: "E4.lead" and "max |E4.lead|" are about E4. None without an id."""
    if inside := _INSIDE.fullmatch(text):
        return inside[2], f"{inside[1]}{inside[3]}"
    found = _ID.match(text.strip())
    return None if found is None else (found[1], found[2])


def of_this(of: str, quantity: Quantity) -> Quantity:
    """The quantity, in which a second number of the same experiment needs no id."""
    return quantity.model_copy(update={"other": None}) if quantity.other == of else quantity


def check_bound(
    condition: Condition,
    row: Experiment,
    q: dict[Key, float],
    artifact: Artifact | None = None,
    others: Others | None = None,
) -> Checked:
    """A condition on a finished experiment; `others` finds that of a second number. Raises NoQuantity."""
    bound = condition.bound
    assert bound is not None
    found = read(row, bound.quantity, artifact, others)
    inside, said = lies(found, bound), shown(found, bound)
    stands = _stands(bound, row, q, others)
    if stands is not None:
        said += f", q {p_number(stands)} over the run"
    holds = inside and (stands is None or stands < 0.05)
    return Checked(
        condition=condition, holds=holds, found=said, split=row.split or "", uncorrected=inside and not holds
    )


def shown(found: Measured, bound: Bound) -> str:
    """The value of the quantity as text; a p is never rounded across a bound."""
    if bound.quantity.second is None and bound.quantity.first.name in ("p", "q", "p_max", "control_p"):
        return p_number(found.value)
    return value_text(found.value, found.low, found.high, unit=found.unit, n=found.n)


def _stands(bound: Bound, row: Experiment, q: dict[Key, float], others: Others | None = None) -> float | None:
    """q over the run of the effect that a condition claims; None if it claims no effect, or one without a q.

    A divergence (kl) has no q: it is never negative, so its sign claims nothing. A difference claims that at least one
    of the two effects exists; a measurement of a set claims that at least one of its effects does. A ratio claims that
    its denominator exists, and its numerator if the bound excludes zero.
    """
    if isinstance(bound.quantity.first, FirstLayer):
        return _stands_first(bound.quantity.first, bound, row, q)
    if bound.quantity.between == "/":
        return _stands_ratio(bound, row, q, others)
    terms = [term for term in (bound.quantity.first, bound.quantity.second) if term is not None]
    # A difference of any two is also a comparison: intact_accuracy - accuracy is an effect under another name.
    side = "away" if len(terms) > 1 else _says_effect(terms[0].name)
    if isinstance(terms[0], Many):
        if bound.low is None:
            return None
        many = terms[0]
        metric = many.metric or next((effect.metric for effect in row.effects), "")
        own = {site: value for (experiment, site, of), value in q.items() if (experiment, of) == (row.id, metric)}
        return needed_q(many, ranked(row, metric), bound.low, own)
    away = (bound.low is not None and bound.low >= 0) or (bound.high is not None and bound.high <= 0)
    if side is None or not {"away": away, "high": bound.low is not None, "low": bound.high is not None}[side]:
        return None
    rows = [row, others(bound.quantity.other)[0] if bound.quantity.other and others else row]
    return min((value for of, term in zip(rows, terms, strict=False) for value in _q_of(term, of, q)), default=None)


def _q_of(term: Term, row: Experiment, q: dict[Key, float]) -> list[float]:
    """The q over the run of the effects that a term is about: of its site, or all on its metric."""
    metric = term.metric or next((effect.metric for effect in row.effects), None)
    return [
        value
        for (experiment, site, of), value in q.items()
        if experiment == row.id and term.site in (None, site) and metric == of
    ]


def _stands_first(term: FirstLayer, bound: Bound, row: Experiment, q: dict[Key, float]) -> float | None:
    """A first layer claims that an effect passes its bound: at a layer before the claimed one, if it is claimed to be
    early."""
    metric = term.metric or next((effect.metric for effect in row.effects), "")
    sites = [
        one.site for layer, one in passing(term, ranked(row, metric)).items()
        if bound.high is None or layer < bound.high
    ]  # fmt: skip
    return min((q[key] for site in sites if (key := (row.id, site, metric)) in q), default=None)


def _stands_ratio(bound: Bound, row: Experiment, q: dict[Key, float], others: Others | None) -> float | None:
    quantity = bound.quantity
    assert quantity.second is not None
    its = others(quantity.other)[0] if quantity.other and others else row
    needed = [min(_q_of(quantity.second, its, q), default=None)]
    if (bound.low is not None and bound.low >= 0) or (bound.high is not None and bound.high <= 0):
        needed.append(min(_q_of(quantity.first, row, q), default=None))
    return max((one for one in needed if one is not None), default=None)


def _says_effect(name: str) -> Literal["away", "high", "low"] | None:
    """How a bound on this quantity claims an effect; None if it claims none. The change of a metric that can have
    either sign does so by excluding zero."""
    if any(metric.change == name and not metric.from_intact for metric in metrics().values()):
        return "away"
    return _SAYS_EFFECT.get(name)


def lies(found: Measured, bound: Bound) -> bool:
    """Whether the whole interval lies within the bound; without an interval, whether the value does."""
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return (bound.low is None or low > bound.low) and (bound.high is None or high < bound.high)
