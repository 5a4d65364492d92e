"""A second opinion as the report of the reviewed study shows it, and as its own report does.

A claim that its tests contradict falls, whatever the reviewer said. A claim stands when the reviewer says so and the
tests uphold it. Ids of the other report's experiments and hypotheses link to that report, in the neighbouring folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ....db.records import Run
from ...report.claims import Refused
from ...report.escape import clipped, one_line
from ...report.prose import plain
from ...report.shown import Shown
from ...report.slots import Filled, Slot, SlotError, fill
from ...report.study import Study
from ...report.view import predicted, protocol
from ..conditions import Checked
from .opinion import Opinion, ReviewedClaim, Test, Word, conditions_checked, opinions_of, reviewed_claims
from .under_review import UnderReview, under_review

_STATUS: dict[Word, str] = {"falls": "refuted", "undecided": "inconclusive", "untested": "open", "stands": "supported"}
_LONG = 240
_SAYS = {True: "agrees", False: "contradicts", None: "undecided"}
_ENDED = {"budget": "its budget was spent", "interrupted": "it was interrupted", "failed": "it failed",
          "stopped": "its process stopped", "running": "it is still running"}  # fmt: skip


def opinion_view(review: Study, inside: bool) -> Shown:
    """A review as rows, fallen claims first; `inside`: for its own report. Raises SlotError if it cannot be shown."""
    reviewed = review.reviewed
    assert reviewed is not None
    given = {one.claim: one for one in opinions_of(review)}
    claims = under_review(reviewed)
    rows = [_claim(claim, given.get(found.claim), found, review)
            for claim, found in zip(claims, reviewed_claims(review), strict=True)]  # fmt: skip
    rows.sort(key=lambda row: list(_STATUS).index(row.verdict))
    own = sum(row.run == review.run.id for row in review.experiments.values())
    return {
        "id": review.run.id,
        "of": reviewed.run.id,
        "seal": review.run.seal or "none",
        "who": _who(review.run, reviewed.run),
        "spent": f"{own} of {review.run.budget.get('experiments', 'any number of')} experiments",
        "ended": "" if given or not claims else _ENDED.get(review.run.status, "it gave no verdict"),
        "tests_at": "" if inside else f"../{review.run.id}/report.html",
        "claims_at": f"../{reviewed.run.id}/report.html" if inside else "",
        "claims": rows,
    }


def verdicts_of(review: Study) -> dict[int, Word]:
    """The verdict on each claim, by its number."""
    given = {one.claim: one for one in opinions_of(review)}
    return {one.claim: verdict(given.get(one.claim), one) for one in reviewed_claims(review)}


def verdict(given: Opinion | None, standing: ReviewedClaim) -> Word:
    """The verdict that the report gives on a claim."""
    if standing.verdict in ("falls", "untested"):
        return standing.verdict
    upheld = standing.verdict == "stands" and given is not None and given.verdict == "stands"
    return "stands" if upheld else "undecided"


class Reviewed(NamedTuple):
    """A claim with its verdict, for the page."""

    claim: int
    plain: str
    sentence: str
    verdict: Word
    status: str
    comment: str
    members: Sequence[str]
    tests: Sequence[Shown]
    checked: Sequence[Checked]


def _claim(claim: UnderReview, given: Opinion | None, standing: ReviewedClaim, review: Study) -> Reviewed:
    said = verdict(given, standing)
    members = [one.judge(review) for one in claim.members]
    return Reviewed(
        claim=standing.claim,
        plain=claim.sentence,
        sentence=clipped(claim.sentence, _LONG),
        members=[one.sentence for one in members if one.verdict != "untested"],
        verdict=said,
        status=_STATUS[said],
        comment="" if given is None else plain(given.comment, _filler(review)),
        tests=[_test(one, review) for one in standing.tests],
        checked=[one for one in _checked(given, review) if one.condition.of not in tested_hypotheses(standing)],
    )


def _test(one: Test, review: Study) -> Shown:
    return {**predicted(one.prediction, review), "hypothesis": one.hypothesis, "says": _SAYS[one.agrees]}


def tested_hypotheses(standing: ReviewedClaim) -> set[str]:
    """The hypotheses whose tests the page already shows."""
    return {one.hypothesis for one in standing.tests}


def _checked(given: Opinion | None, review: Study) -> list[Checked]:
    if given is None:
        return []
    try:
        return conditions_checked(given, review)
    except Refused as fault:
        raise SlotError(f"{review.run.id}, claim {given.claim}: {fault}.") from fault


def _filler(study: Study) -> Any:
    def filled(slot: Slot) -> Filled:
        return fill(slot, study)

    return filled


def _who(review: Run, reviewed: Run) -> str:
    if review.llm is None:
        who = f"{protocol(review.driver)}, a fixed protocol without a language model"
    else:
        who = f"{one_line(review.llm)}, through the {review.driver} driver"
    same = (review.driver, review.llm) == (reviewed.driver, reviewed.llm)
    return who + (", which also ran the study" if same else "")
