"""A prediction: one experiment on held-out prompts, a quantity of its result, and a bound.

It is recorded before the experiment runs and never changes. The quantity's interval decides: the prediction holds if
the whole interval is within the predicted range, it fails if the whole interval is outside, and otherwise it is
undecided. To correct several predictions together, each gets the p of its interval: p < 0.05 only if the 95% interval
does not reach the bound.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .result import Frozen, Number

Comparison = Literal["above", "below", "between", "beyond_control"]
Side = Literal["for", "against", "neither"]
EXCESS = "excess"


class Prediction(Frozen):
    """The expected result of one experiment.

    config      the whole configuration, including model, task, n, split and seed
    quantity    a number of its result, such as accuracy_drop or effect[L7.H3]
    comparison  above `low`, below `high`, between the two, or beyond_control: more damage than the mean of the matched
                random sets (`excess` above 0), and a rank by damage among them that chance seldom gives (`control_p`)
    """

    kind: str
    config: dict[str, Any]
    quantity: str
    comparison: Comparison
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        needed = {"above": (True, False), "below": (False, True), "between": (True, True)}
        given = (self.low is not None, self.high is not None)
        if given != needed.get(self.comparison, (False, False)):
            raise ValueError(BOUNDS[self.comparison])
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"there is nothing between {self.low:g} and {self.high:g}; give the smaller bound first")
        if self.comparison == "beyond_control" and self.quantity != EXCESS:
            raise ValueError(f"beyond_control needs the quantity {EXCESS}")
        return self


BOUNDS: dict[str, str] = {
    "above": "above needs one bound: low",
    "below": "below needs one bound: high",
    "between": "between needs two bounds: low and high",
    "beyond_control": "beyond_control needs no bound",
}


class Judgement(Frozen):
    """What the interval says about one prediction: the side, and a two-sided p for the bound."""

    value: Number
    low: Number | None
    high: Number | None
    n: int | None
    p: Annotated[float, Field(ge=0, le=1)]
    side: Side


def judge(
    prediction: Prediction,
    value: float,
    interval: tuple[float | None, float | None],
    n: int | None,
    questions: int | None,
    control_p: float | None = None,
) -> Judgement:
    """`questions` is how many independent things the interval rests on; `control_p`, for beyond_control, the p of the
    rank among the matched random sets. The larger p of the two counts, since both must be shown."""
    low, high = interval

    def against(bound: float) -> float:
        return p_of_bound(value, low, high, bound, questions)

    match prediction.comparison:
        case "between":
            a, b = prediction.low, prediction.high
            assert a is not None
            assert b is not None
            holds = a < value < b
            p = max(against(a), against(b)) if holds else against(a if value <= a else b)
        case "beyond_control":
            holds, p = value > 0, against(0.0)
            if holds:
                p = 1.0 if control_p is None else max(p, control_p)
        case _:
            bound = prediction.low if prediction.comparison == "above" else prediction.high
            assert bound is not None
            holds, p = (value > bound) == (prediction.comparison == "above"), against(bound)
    side: Side = "neither" if p >= 1 else "for" if holds else "against"
    return Judgement(value=value, low=low, high=high, n=n, p=p, side=side)


def least_p(questions: int) -> float:
    """The smallest p that an interval over this many independent questions can show."""
    return 2.0 ** (1 - min(questions, 1000))


def p_of_bound(value: float, low: float | None, high: float | None, bound: float, questions: int | None) -> float:
    """The two-sided p of a quantity with this 95% interval being `bound`.

    Every interval is treated as that of a mean, with a standard error from its width and a skewness from its asymmetry
    (`statistics.skewed`). p is the level whose interval just reaches the bound; a bound beyond the interval's end has
    p < 0.05. With G questions p is never below 2 / 2^G, as in a sign-flip test; without an interval it is 1.
    """
    import numpy as np

    from .statistics.skewed import p_of_interval

    if low is None or high is None or questions is None or questions < 2 or value == bound:
        return 1.0
    found = p_of_interval(np.array(value), np.array(low), np.array(high), bound, questions)
    return min(1.0, max(float(found), least_p(questions)))
