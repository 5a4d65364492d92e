"""The program's verdicts on hypotheses: from the p of each prediction, corrected over all predictions of the run.

The correction is Holm's (Scandinavian Journal of Statistics 6, 1979). A prediction that was recorded and never tested
counts as one that showed nothing. So a verdict may weaken as the run predicts more; the last one counts. All of this
needs only the rows of the tracker, so anyone who has the tracker can recompute it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from ...db.records import Hypothesis, HypothesisEvent, Json, Judgement, Prediction

Verdict = Literal["supported", "refuted", "inconclusive"]
ALPHA = 0.05
METHODS = ("zero", "mean", "resample")


class Stated(Protocol):
    """A statement about a number of an experiment: a proposed or recorded prediction, or an assertion of a claim."""

    @property
    def kind(self) -> str: ...
    @property
    def config(self) -> Json: ...
    @property
    def quantity(self) -> str: ...
    @property
    def comparison(self) -> str: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


class JudgedPrediction(NamedTuple):
    """A prediction, its statement in words, its verdict (None before its test), and its corrected p."""

    id: int
    kind: str
    config: Json
    quantity: str
    comparison: str
    low: float | None
    high: float | None
    created: str
    judged: Judgement | None
    said: str
    verdict: str | None
    corrected: float


class JudgedHypothesis(NamedTuple):
    """A hypothesis with the verdict in words, and its predictions with theirs."""

    id: str
    run: str | None
    statement: str
    rationale: str
    refuted_if: str
    status: str
    created: str
    updated: str
    revises: str | None
    call: str | None
    events: Sequence[HypothesisEvent]
    predictions: Sequence[JudgedPrediction]
    verdict: str


@dataclass(frozen=True)
class Verdicts:
    """For each prediction, by id: its corrected p and its verdict, None before its test. For each hypothesis, by id:
    its status, and whether it is `confirmed`: it predicts a removal that holds under zero, mean and resample."""

    corrected: dict[int, float]
    predictions: dict[int, Verdict | None]
    hypotheses: dict[str, str]
    confirmed: dict[str, bool | None]


def verdicts(hypotheses: Sequence[Hypothesis]) -> Verdicts:
    """All hypotheses of one run, as `Reader.hypotheses` gives them."""
    rows = [one for h in hypotheses for one in h.predictions]
    adjusted = holm([1.0 if one.judged is None else one.judged.p for one in rows])
    corrected = {one.id: p for one, p in zip(rows, adjusted, strict=True)}
    said: dict[int, Verdict | None] = {one.id: _verdict(one, corrected[one.id]) for one in rows}
    return Verdicts(
        corrected=corrected,
        predictions=said,
        hypotheses={h.id: _status(h, [said[one.id] for one in h.predictions]) for h in hypotheses},
        confirmed={h.id: _confirmed(h, said) for h in hypotheses},
    )


def holm(p: Sequence[float]) -> list[float]:
    """Each p, corrected for the others: the smallest times their number, the next times one less, never decreasing."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    found, most = [0.0] * len(p), 0.0
    for place, i in enumerate(order):
        most = max(most, min(1.0, p[i] * (len(p) - place)))
        found[i] = most
    return found


def _verdict(prediction: Prediction, p: float) -> Verdict | None:
    judged = prediction.judged
    if judged is None:
        return None
    if p >= ALPHA or judged.side == "neither":
        return "inconclusive"
    return "supported" if judged.side == "for" else "refuted"


def _status(hypothesis: Hypothesis, said: Sequence[Verdict | None]) -> str:
    """One refuted prediction refutes. Support needs all of them, including those that could not be tested."""
    if not said:
        return str(hypothesis.status)
    if "refuted" in said:
        return "refuted"
    if all(one is None for one in said):
        return "open"
    return "supported" if all(one == "supported" for one in said) else "inconclusive"


def _confirmed(hypothesis: Hypothesis, said: dict[int, Verdict | None]) -> bool | None:
    """Whether each predicted removal holds under all three methods; None if no removal was predicted.

    Random sets are costly, so they may be compared under one method only, if the damage itself is predicted under all.
    """
    methods: dict[str, set[str]] = {}
    damage = [one for one in hypothesis.predictions if one.comparison != "beyond_control"]
    for one in damage or hypothesis.predictions:
        method = one.config.get("method")
        if method in METHODS:
            # How many random sets it is compared with changes nothing of the removal.
            rest = {k: v for k, v in one.config.items() if k not in ("method", "controls")}
            what = repr((one.kind, sorted(rest.items(), key=str), one.quantity, one.comparison))
            methods.setdefault(what, set()).update({method} if said[one.id] == "supported" else set())
    return all(found == set(METHODS) for found in methods.values()) if methods else None


def said(prediction: Stated) -> str:
    """The prediction in a few words: "accuracy_drop above 0.2"."""
    low, high, quantity = prediction.low, prediction.high, prediction.quantity
    match prediction.comparison:
        case "above":
            return f"{quantity} above {low:g}"
        case "below":
            return f"{quantity} below {high:g}"
        case "between":
            return f"{quantity} between {low:g} and {high:g}"
        case _:
            return "more damage than matched random parts"


def spoken(hypothesis: Hypothesis, found: Verdicts) -> str:
    """The verdict in a few words, for a report: "confirmed", "supported under zero alone", "refuted"."""
    status = found.hypotheses[hypothesis.id]
    confirmed = found.confirmed[hypothesis.id]
    if status != "supported" or confirmed is None:
        return status
    if confirmed:
        return "confirmed"
    predicted = {one.config.get("method") for one in hypothesis.predictions}
    methods = [method for method in METHODS if method in predicted]
    if len(methods) == len(METHODS):
        return status
    return f"supported under {' and '.join(methods)} alone"


def by_task(hypothesis: Hypothesis, found: Verdicts) -> dict[str, str]:
    """The verdict on each task that it predicts about, if there are several: that of a hypothesis with only the
    predictions on this task. They share the correction."""
    said: dict[str, list[Verdict | None]] = {}
    for one in hypothesis.predictions:
        said.setdefault(str(one.config.get("task")), []).append(found.predictions[one.id])
    return {task: _status(hypothesis, each) for task, each in said.items()} if len(said) > 1 else {}


def task_line(hypothesis: Hypothesis, found: Verdicts) -> str:
    """Such as "ioi supported, capitals refuted"; empty if it is about one task."""
    return ", ".join(f"{task} {verdict}" for task, verdict in by_task(hypothesis, found).items())


def judged_predictions(hypothesis: Hypothesis, found: Verdicts) -> list[JudgedPrediction]:
    """Its predictions, each with its result."""
    return [
        JudgedPrediction(*one, said(one), found.predictions[one.id], found.corrected[one.id])
        for one in hypothesis.predictions
    ]


def with_verdicts(hypothesis: Hypothesis, found: Verdicts) -> JudgedHypothesis:
    """The hypothesis and its predictions with the verdicts on them."""
    told: dict[str, Any] = {**hypothesis._asdict(), "predictions": judged_predictions(hypothesis, found)}
    return JudgedHypothesis(**told, verdict=spoken(hypothesis, found))
