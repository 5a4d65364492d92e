"""A second opinion: what the tests of a review say about the claims that it reviews.

A claim rests on assertions: a number of an experiment lies within bounds or, if the claim is that a hypothesis is
refuted, it does not. A test of the review bears on an assertion when it is about the same number of the same
experiment, on other prompts; method, n and draw may differ. The program decides from the bounds alone whether the test
agrees or contradicts, so a reviewer can say no more than its tests do.

A claim that a removal does damage must hold under every method of removal. For a claim that a removal does none, or
that a prediction failed, only the claim's own method counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import field_validator

from ....db.records import Prediction
from ....experiments.result import Frozen
from ...report.check import faults
from ...report.claims import Claim, Refused, check_claim
from ...report.study import Study
from ..conditions import Checked, parse_condition
from ..quantity import parse
from ..verdict import Stated
from .under_review import Assertion, under_review

Word = Literal["stands", "falls", "undecided", "untested"]
# The settings that may differ between a test and its repetition.
_FREE = {"model", "task", "n", "seed", "split", "method", "verify", "controls"}


class Opinion(Frozen):
    """A reviewer's verdict on one claim; `claim` is its number in the reviewed report, from 1."""

    claim: int
    verdict: Word
    conditions: tuple[str, ...] = ()
    comment: str = ""

    @field_validator("verdict", mode="before")
    @classmethod
    def _as_it_was_called(cls, word: object) -> object:
        """Older trackers have another word for undecided."""
        return "undecided" if word == "not tested" else word


class Test(NamedTuple):
    """A prediction of the review that bears on a claim, and whether it agrees; None is undecided."""

    hypothesis: str
    prediction: Prediction
    agrees: bool | None


class ReviewedClaim(NamedTuple):
    """A claim after the review's tests: their verdict, and how many of its assertions no test has upheld."""

    claim: int
    verdict: Word
    tests: tuple[Test, ...]
    missing: int

    def named(self, agrees: bool | None) -> list[str]:
        """The hypotheses with such a test."""
        return list(dict.fromkeys(one.hypothesis for one in self.tests if one.agrees is agrees))


def reviewed_claims(review: Study) -> list[ReviewedClaim]:
    """Every reviewed claim, and what the review's tests say about it."""
    reviewed = review.reviewed
    assert reviewed is not None
    return [_reviewed_claim(place, claim.assertions, review) for place, claim in enumerate(under_review(reviewed), 1)]


def _reviewed_claim(claim: int, asserted: Sequence[Assertion], review: Study) -> ReviewedClaim:
    tests: dict[int, Test] = {}
    upheld = [False] * len(asserted)
    for name, hypothesis in review.hypotheses.items():
        for row in hypothesis.predictions:
            bears = [i for i, one in enumerate(asserted) if matter(row) == matter(one)]
            says = {i: _agrees(row, review.verdicts.predictions[row.id], asserted[i]) for i in bears}
            for i, agrees in says.items():
                upheld[i] |= agrees is True and _same_method(row, asserted[i])
            if bears:
                said = False if False in says.values() else True if True in says.values() else None
                tests[row.id] = Test(hypothesis=name, prediction=row, agrees=said)
    missing = upheld.count(False)
    contradicted = any(one.agrees is False for one in tests.values())
    verdict: Word = (
        "falls" if contradicted else "untested" if not tests else "undecided" if missing or not asserted else "stands"
    )
    return ReviewedClaim(claim=claim, verdict=verdict, tests=tuple(tests.values()), missing=missing)


def matter(one: Stated) -> str:
    """The number that a prediction or an assertion is about, as text: the same text for the same number."""
    config = one.config
    about = {name: sorted(value) if name == "heads" and value else value
             for name, value in config.items() if name not in _FREE}  # fmt: skip
    terms: list[Any] = []
    if one.comparison != "beyond_control":
        quantity = parse(one.quantity)
        found = [term for term in (quantity.first, quantity.second) if term is not None]
        terms = [[term.name, term.site, term.metric or config.get("metric")] for term in found]
        terms += ["/"] if quantity.between == "/" else []
        if all(term.name == "effect" for term in found):
            # The site already names what was edited, in a sweep or alone.
            about = {}
    return json.dumps([one.kind, config.get("model"), config.get("task"), about, terms], sort_keys=True)


def _agrees(test: Prediction, verdict: str | None, asserted: Assertion) -> bool | None:
    within = _within(test, verdict, asserted)
    if within is None:
        return None
    one_sided = asserted.inside and asserted.comparison != "between"
    return within == asserted.inside if one_sided or _same_method(test, asserted) else None


def _same_method(test: Prediction, asserted: Assertion) -> bool:
    return test.config.get("method") == asserted.config.get("method")


def _within(test: Prediction, verdict: str | None, asserted: Assertion) -> bool | None:
    """Whether the test's number lies within the asserted bounds; None if its verdict does not decide."""
    if verdict not in ("supported", "refuted"):
        return None
    if "beyond_control" in (test.comparison, asserted.comparison):
        return (verdict == "supported") if test.comparison == asserted.comparison else None
    low, high = _bounds(test.low, test.high)
    least, most = _bounds(asserted.low, asserted.high)
    if verdict == "supported":
        return True if least <= low and high <= most else False if high <= least or most <= low else None
    return False if low <= least and most <= high else None


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    return -math.inf if low is None else low, math.inf if high is None else high


def opinion_faults(opinions: Sequence[Opinion], text: str, review: Study) -> list[str]:
    """The faults of a reviewer's verdicts, each one line."""
    found = [f"The text: {fault}" for fault in faults(text, review)]
    standing = {one.claim: one for one in reviewed_claims(review)}
    said = [one.claim for one in opinions]
    for claim in sorted({*said} - {*standing}):
        found.append(f"There is no claim {claim}; the claims are 1 to {len(standing)}.")
    for claim in standing:
        if said.count(claim) != 1:
            found.append(f"Claim {claim} needs one verdict, and has {said.count(claim) or 'none'}.")
    for one in opinions:
        if one.claim in standing:
            wrong = [*faults(one.comment, review), *_wrong(one, standing[one.claim], review)]
            found += [f"Claim {one.claim}: {fault}" for fault in wrong]
    return found


def _wrong(one: Opinion, standing: ReviewedClaim, review: Study) -> list[str]:
    try:
        failing = [c for c in conditions_checked(one, review) if not c.holds]
    except Refused as fault:
        return [f"{fault}."]
    found = [f"{c.condition.text} does not hold ({c.found})." for c in failing]
    against, for_it = standing.named(False), standing.named(True)
    cited = {parse_condition(text).of for text in one.conditions}
    if one.verdict != "falls" and against:
        found.append(f"it falls, because {' and '.join(against)} contradicts it.")
    elif one.verdict == "falls" and not cited & {*against}:
        found.append(
            f"name a test that contradicts it: {' or '.join(against)}."
            if against
            else "no test of yours contradicts it. A claim falls by a prediction of the same quantity as its "
            "condition, tested by test_hypothesis, whose interval lies on the other side; otherwise it is undecided."
        )
    elif one.verdict == "stands" and standing.verdict != "stands":
        found.append(
            f"{standing.missing} of the numbers that it rests on {'was' if standing.missing == 1 else 'were'} not "
            "upheld by a supported prediction of yours (same quantity, bound and method); test them, or say undecided."
            if standing.missing
            else "it rests on nothing that can be tested; say undecided."
        )
    elif one.verdict == "stands" and not cited & {*for_it}:
        found.append(f"name the tests that uphold it: {' and '.join(for_it)}.")
    return found


def conditions_checked(one: Opinion, review: Study) -> list[Checked]:
    """The conditions of a verdict, with what was found. Raises Refused for one that cannot be checked."""
    return check_claim(Claim(sentence="", conditions=one.conditions), review) if one.conditions else []


def opinions_of(review: Study) -> list[Opinion]:
    """The reviewer's verdicts; none if it stopped before it gave them."""
    return [] if review.report is None else [Opinion.model_validate(one) for one in review.report.claims]
