"""A quantity over many effects: the largest, the smallest, or how many lie within a bound.

    max |effect|                         the largest absolute effect of the experiment
    max |effect except L1.H2, L3.H1|     without those at these sites
    min |effect[loss]|                   the smallest one, on one metric
    count(effect < -0.1)                 how many effects have their whole interval below -0.1

The interval of a largest effect is as wide as the widest among them, so it is never too narrow to say that all effects
are small. A count has an interval, too: from the effects whose intervals lie within the bound to those whose intervals
reach it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, cast

from ...db.records import Effect
from .term import NoQuantity, Term

_NUMBER = r"[-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+−]?\d+)?"
_OF = r"(?:effect(?:\[(?P<metric>[a-z]\w*)\])?)(?:\s+except\s+(?P<without>[^|()<>]+?))?"
_LARGEST = re.compile(rf"\s*(?P<how>max|min)\s*\|\s*{_OF}\s*\|\s*")
_COUNT = re.compile(rf"\s*count\s*\(\s*{_OF}\s*(?P<sign>[<>])\s*(?P<bound>{_NUMBER})\s*\)\s*")


class Many(Term):
    """`low` and `high` are the bounds of a count."""

    how: Literal["max", "min", "count"]
    without: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        of = f"effect[{self.metric}]" if self.metric else "effect"
        of += f" except {', '.join(self.without)}" if self.without else ""
        if self.how != "count":
            return f"{self.how} |{of}|"
        return f"count({of} {'>' if self.high is None else '<'} {self.low if self.high is None else self.high:g})"


def parse_many(text: str) -> Many | None:
    """None for a text of another form."""
    form = _LARGEST.fullmatch(text) or _COUNT.fullmatch(text)
    if form is None:
        return None
    given = form.groupdict()
    without = tuple(one.strip() for one in (given["without"] or "").split(",") if one.strip())
    how = cast(Literal["max", "min", "count"], given.get("how") or "count")
    bound = None if given.get("bound") is None else float(given["bound"].replace("−", "-"))
    return Many(
        name=f"{how} effect", metric=given["metric"], how=how, without=without,
        low=bound if given.get("sign") == ">" else None, high=bound if given.get("sign") == "<" else None,
    )  # fmt: skip


def of_many(many: Many, effects: list[Effect]) -> tuple[float, float, float]:
    """The value and its interval, from the effects on one metric. Raises NoQuantity."""
    sites = {effect.site for effect in effects}
    if unknown := [site for site in many.without if site not in sites]:
        raise NoQuantity(f"There is no effect at '{unknown[0]}' to except.")
    left = [effect for effect in effects if effect.site not in many.without]
    if not left:
        raise NoQuantity(f"{many.text}: no effect is left.")
    if many.how == "count":
        surely = [one for one in left if lies_there(many, one)]
        maybe = [one for one in left if (many.low is None or one.high > many.low) and
                 (many.high is None or one.low < many.high)]  # fmt: skip
        return float(len(surely)), float(len(surely)), float(len(maybe))
    sizes = [abs(one.value) for one in left]
    # Below each effect's size and above it, after its sign.
    below, above = zip(*(_widths(one) for one in left), strict=True)
    if many.how == "max":
        value = max(sizes)
        return value, max(0.0, value - below[sizes.index(value)]), value + max(above)
    value = min(sizes)
    return value, max(0.0, value - max(below)), value + above[sizes.index(value)]


def lies_there(many: Many, effect: Effect) -> bool:
    """Whether the whole interval lies within the bound of a count."""
    return (many.low is None or effect.low > many.low) and (many.high is None or effect.high < many.high)


def needed_q(many: Many, effects: list[Effect], bound: float, q: Mapping[str, float]) -> float | None:
    """The q that must be below 0.05 if the quantity is claimed to be above a bound: of an effect beyond it for the
    largest; of the third effect for a count above 2; of every effect for the smallest. From the q by site."""
    left = [one for one in effects if one.site not in many.without]
    if many.how == "count":
        left = [one for one in left if lies_there(many, one)]
    elif many.how == "max":
        left = [one for one in left if abs(one.value) - _widths(one)[0] > bound]
    found = sorted(q[one.site] for one in left if one.site in q)
    if not found:
        return None
    place = {"max": 0, "min": len(found) - 1, "count": max(0, math.floor(bound))}[many.how]
    return found[min(place, len(found) - 1)]


def _widths(effect: Effect) -> tuple[float, float]:
    """How far the interval of the absolute effect reaches below and above it."""
    size = abs(effect.value)
    ends = sorted((abs(effect.low), abs(effect.high)))
    least = 0.0 if effect.low <= 0 <= effect.high else ends[0]
    return size - least, ends[1] - size
