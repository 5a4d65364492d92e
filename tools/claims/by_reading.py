"""The verdict on claims that compare one number of an experiment with a bound: what a head attends to, what a part
writes, carries or sends, what a lens reads.

The program sets the bound from the controls that were measured with the number. Held-out measurements decide; without
them, the verdict is "seen" at most, from exploring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...db.records import Effect
from ...db.records import Experiment as Row
from ...experiments.prediction import p_of_bound
from ..evidence.quantity import asked_questions
from ..evidence.verdict import ALPHA
from ..report.numbers import number, value_text
from ..report.study import Study
from .by_removal import Answer
from .claim import Claim, Evidence, Finding, Verdict
from .counted import able, counted, looked_through
from .removals import corrected
from .words import capitalized


class Reading(NamedTuple):
    """A number and the bound that it must pass; `answer` says whether it does."""

    experiment: str
    held_out: bool
    name: str
    value: float
    low: float
    high: float
    n: int
    bound: float
    answer: Answer
    # The number as a prediction names it, and the claimed side of the bound.
    quantity: str = ""
    side: int = 1

    @property
    def text(self) -> str:
        return value_text(self.value, self.low, self.high, n=self.n)

    @property
    def bound_text(self) -> str:
        return number(float(f"{self.bound:.2g}"))


def effects_at(study: Study, kinds: Sequence[str], task: str, site: str, metric: str) -> Iterator[tuple[Row, Effect]]:
    """Every effect on this metric at this site, of finished experiments of these kinds on the task."""
    for row in counted(study, task, kinds):
        yield from ((row, effect) for effect in row.effects if (effect.site, effect.metric) == (site, metric))


def against_bound(study: Study, row: Row, effect: Effect, bound: float, side: int = 1) -> Reading:
    """Whether the whole interval passes the bound (with side -1: lies below it)."""
    value, low, high = (
        (effect.value, effect.low, effect.high) if side > 0 else (-effect.value, -effect.high, -effect.low)
    )
    held_out = row.split == "confirm"
    if held_out:
        among = looked_through(study, row, effect.site, effect.metric)
        p = corrected(study, row.id, p_of_bound(value, low, high, bound, asked_questions(row)), among)
        answer: Answer = "open" if p >= ALPHA else "for" if value > bound else "against"
    else:
        q = study.q.get((row.id, effect.site, effect.metric))
        stands = q is None or q < ALPHA
        answer = "for" if low > bound and stands else "against" if high < bound else "open"
    # Changes in a model that does not do the task show nothing about the task.
    answer = answer if able(row) else "open"
    name = f"{effect.metric} at {effect.site}"
    return Reading(row.id, held_out, name, effect.value, effect.low, effect.high, effect.n, side * bound, answer,
                   f"effect[{effect.site}, {effect.metric}]", side)  # fmt: skip


def verdict_of(readings: Sequence[Reading]) -> tuple[Verdict, Reading | None]:
    """The verdict from several readings of the same thing, and the reading that decides it."""
    if not readings:
        return "untested", None
    held_out = [one for one in readings if one.held_out]
    used = held_out or list(readings)
    said = {one.answer for one in used} - {"open"}
    if len(said) != 1:
        # If they contradict each other, none of them is the answer.
        return "undecided", used[0]._replace(answer="open")
    decisive = next(one for one in used if one.answer in said)
    if said == {"for"}:
        return ("confirmed" if held_out else "seen"), decisive
    return ("refuted" if held_out else "undecided"), decisive


def evidence_of(readings: Sequence[Reading]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(experiment=one.experiment, held_out=one.held_out, text=f"{one.name} {one.text}", says=one.answer,
                 quantity=one.quantity, comparison="above" if one.side > 0 else "below",
                 low=one.bound if one.side > 0 else None, high=None if one.side > 0 else one.bound)
        for one in readings
    )  # fmt: skip


NOT_TESTED = "not tested on held-out prompts"
SUFFIX = {
    "confirmed": "confirmed on held-out prompts",
    "supported": "supported on held-out prompts",
    "refuted": "shown on held-out prompts",
    "undecided": "undecided",
    "seen": f"seen while exploring, {NOT_TESTED}",
    "untested": "not tested",
}


def found_by_reading(
    claim: Claim, readings: Sequence[Reading], holds: str, fails: str, measured: Callable[[Reading], str]
) -> Finding:
    """The finding on a claim from its readings. holds, fails: "head L1.H2 attends to the answer", "... does not ...";
    measured: the name of the number, in words."""
    verdict, decisive = verdict_of(readings)
    because = "" if decisive is None else measured(decisive)
    return Finding(claim=claim, verdict=verdict, sentence=_sentence(verdict, decisive, holds, fails), because=because,
                   evidence=evidence_of(readings))  # fmt: skip


def _sentence(verdict: Verdict, decisive: Reading | None, holds: str, fails: str) -> str:
    if decisive is None:
        return f"Whether {holds} was not tested."
    if verdict == "undecided" and decisive.answer == "against":
        return f"{capitalized(fails)} on the prompts to explore ({NOT_TESTED})."
    if verdict == "undecided":
        return f"Whether {holds} is undecided."
    return f"{capitalized(fails if verdict == 'refuted' else holds)} ({SUFFIX[verdict]})."
