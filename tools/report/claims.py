"""The findings of a report: sentences, each with the conditions that must hold for it.

The program checks the conditions against the intervals, refuses a report with a claim that fails, and prints what it
checked below each sentence. So a reader can see when a sentence says something else than its conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ...db.records import Experiment, Hypothesis
from ...experiments.result import Frozen
from ..claims import claim as typed_claim
from ..claims.call import read_claim
from ..claims.removals import rank_with
from ..claims.standard import counts_as_none
from ..evidence.conditions import Checked, Condition, NoCondition, check_bound, parse_condition
from ..evidence.in_circuit import contains
from ..evidence.quantity import Artifact, NoQuantity, listed
from ..evidence.verdict import said as said_of
from ..evidence.verdict import spoken
from .escape import clipped, one_line
from .study import Study

MOST = 12


class Claim(Frozen):
    """One finding: a sentence (with slots for its numbers), and what must be true for it."""

    sentence: str
    conditions: tuple[str, ...]


def sentences(claims: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """The writer's own sentences among the claims that a report kept."""
    return [Claim.model_validate(one) for one in claims if "type" not in one]


def typed(claims: Sequence[Mapping[str, Any]]) -> list[typed_claim.Claim]:
    """The claims that the program judges and words, among those that a report kept."""
    return [read_claim(dict(one)) for one in claims if "type" in one]


class Refused(ValueError):
    """A condition that cannot be checked, or does not hold; one line."""

    code = "condition_refused"


def check_claim(claim: Claim, study: Study) -> list[Checked]:
    """Every condition, with what was found. Raises Refused for one that cannot be checked."""
    if not claim.conditions:
        raise Refused("it has no condition; say what must hold, such as E5.accuracy_drop > 0.2 or H1 is supported")
    return [_checked(text, study) for text in claim.conditions]


def claim_faults(claims: tuple[Claim, ...], study: Study) -> list[str]:
    """The faults that keep the claims from being printed, each one line."""
    found: list[str] = []
    if len(claims) > MOST:
        found.append(
            f"There are {len(claims)} claims, and at most {MOST} are allowed. Keep those that answer the goal."
        )
    for place, claim in enumerate(claims, start=1):
        where = f"Claim {place} ('{clipped(one_line(claim.sentence), 50)}')"
        if "\n" in claim.sentence.strip():
            found.append(f"{where}: write one sentence, without line breaks, lists or headings.")
        try:
            checked = check_claim(claim, study)
        except Refused as fault:
            found.append(f"{where}: {fault}.")
            continue
        found += [
            f"{where}: {one.condition.text} does not hold ({one.found}); {_why(one)}. Claim less, or say it under "
            "interpretation."
            for one in checked
            if not one.holds
        ]
    return found


def _why(one: Checked) -> str:
    if one.condition.edge:
        return "the experiment that found it says which edges it has"
    if one.condition.bound is None:
        return "a verdict is the program's"
    if one.uncorrected:
        return (
            "the interval lies there, but q must be below 0.05 over all comparisons of the run. If a prediction of it "
            "was supported, cite that by its id, such as H1.2 is supported"
        )
    return "the whole interval must lie there"


def _checked(text: str, study: Study) -> Checked:
    try:
        condition = parse_condition(text)
    except NoCondition as fault:
        raise Refused(str(fault).rstrip(".")) from fault
    if condition.edge:
        return _in_circuit(condition, study)
    if condition.bound is None:
        return _verdict(condition, study)
    try:
        row, artifact = finished(study, condition.of)
        checked = check_bound(condition, row, study.q, artifact, partial(finished, study))
    except NoQuantity as fault:
        raise Refused(str(fault).rstrip(".")) from fault
    none, rank = counts_as_none(study, row, condition.bound), rank_with(row, condition.bound.quantity)
    found = f"{checked.found}{rank}"
    return checked.model_copy(update={"found": f"{found}. {none.rstrip('.')}" if none else found})


def _in_circuit(condition: Condition, study: Study) -> Checked:
    circuit = study.circuits.get(condition.of)
    if circuit is None:
        raise Refused(f"{condition.of} is not a circuit of {study.run.id}; it has: {listed(study.circuits) or 'none'}")
    row = study.experiments[circuit.experiment]
    holds, found = contains(circuit, condition.edge, row.subject.anatomy)
    return Checked(condition=condition, holds=bool(holds), found=found, split=row.split or "")


def finished(study: Study, of: str) -> tuple[Experiment, Artifact]:
    """A finished experiment of the study, and its artifacts. Raises NoQuantity."""
    row = study.experiments.get(of)
    if row is None or row.status != "done":
        why = f"is not an experiment of {study.run.id}" if row is None else f"is {row.status}"
        raise NoQuantity(f"{of} {why}; finished in this run: {listed(study.finished) or 'none'}")
    return row, partial(study.artifact, of)


def _verdict(condition: Condition, study: Study) -> Checked:
    row = study.hypotheses.get(condition.of)
    if row is None:
        raise Refused(
            f"{condition.of} is not a hypothesis of {study.run.id}; it has: {listed(study.hypotheses) or 'none'}"
        )
    if not row.predictions:
        raise Refused(f"{condition.of} has no predictions, so the program has no verdict on it")
    if condition.place is not None:
        return _of_prediction(condition, row, study)
    status, said = study.verdicts.hypotheses[condition.of], spoken(row, study.verdicts)
    holds = said == "confirmed" if condition.verdict == "confirmed" else status == condition.verdict
    return Checked(condition=condition, holds=holds, found=f"it is {said}", split="confirm")


def _of_prediction(condition: Condition, row: Hypothesis, study: Study) -> Checked:
    """The verdict on one prediction of a hypothesis."""
    count = len(row.predictions)
    if condition.place is None or not 1 <= condition.place <= count:
        raise Refused(f"{condition.of} has {count} predictions; name one of {condition.of}.1 to {condition.of}.{count}")
    if condition.verdict == "confirmed":
        raise Refused(f"only a whole hypothesis can be confirmed; use {condition.of}.{condition.place} is supported")
    one = row.predictions[condition.place - 1]
    verdict = study.verdicts.predictions[one.id]
    return Checked(
        condition=condition, holds=verdict == condition.verdict, split="confirm",
        found=f"{said_of(one)}: {verdict or 'not tested'}",
    )  # fmt: skip
