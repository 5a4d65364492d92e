"""A second opinion: what a reviewer learns about a study, the tools it has, and the verdicts that end it.

The reviewer gets the claims and the measurements, but none of the study's reasoning.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from ....db.ids import show_id
from ....experiments.kinds.registry import own_settings
from ... import hypotheses
from ...arguments import Answered, Arguments
from ...hypotheses import judged_line
from ...refusals import refused
from ...report.claims import MOST
from ...report.study import read_study
from ...workbench.context import Context
from ..verdict import judged_predictions, said
from .opinion import Opinion, Word, opinion_faults, reviewed_claims
from .under_review import Assertion, under_review

# The tools that a reviewer lacks: they show others' reasoning, or have no part in a refutation.
WITHHELD = ("create_task", "register_questions", "search_notes", "write_note", "write_report")


class VerdictCall(Arguments):
    claim: Annotated[int, Field(ge=1, description="The claim's number.")]
    verdict: Annotated[
        Word,
        Field(description="falls: a test of yours contradicts it. stands: your tests uphold all it rests on."),
    ]
    conditions: Annotated[
        list[str],
        Field(
            max_length=8,
            description="What must hold for the verdict, in your own experiments and hypotheses: H7 is refuted, "
            "E40.effect[L7.H3] > -0.1. Empty only if undecided.",
        ),
    ]
    comment: Annotated[
        str, Field(max_length=600, description="A sentence or two for the reader. Numbers are slots: {{E40.loss}}.")
    ]


class WriteReview(Arguments):
    verdicts: Annotated[list[VerdictCall], Field(max_length=MOST, description="One for each claim.")]
    text: Annotated[
        str,
        Field(
            min_length=1, description="What you did, and what you did not test, in Markdown; slots for every number."
        ),
    ]


def write_review(context: Context, given: WriteReview) -> Answered:
    """Give the verdicts and end the review. The program checks each against your tests, and rejects what is wrong.

    Slots and conditions cite your own experiments and hypotheses: {{E40.accuracy}}, {{H7.verdict}}.
    """
    if context.run is None or context.reviews is None:
        raise refused("nothing_under_review")
    if context.written("reports"):
        return taken(context)
    review = read_study(context.reader, context.run)
    opinions = [Opinion(claim=v.claim, verdict=v.verdict, conditions=tuple(v.conditions), comment=v.comment.strip())
                for v in given.verdicts]  # fmt: skip
    faults = opinion_faults(opinions, given.text, review)
    if faults:
        raise refused("review_faults", faults="\n- ".join(faults))
    context.store.add_report(context.run, given.text, [one.model_dump() for one in opinions], context.call)
    return taken(context)


def taken(context: Context) -> Answered:
    context.finished = True
    return "The review is written.", {"finished": True}


def check_reviewable(context: Context, run: int) -> None:
    """Raises ToolError unless there is something to review, NoSuchId when there is no such run."""
    row, name = context.reader.run(run), show_id("run", run)
    if row.reviews is not None:
        raise refused("is_a_review", name=name, of=row.reviews)
    if row.status == "running":
        raise refused("still_running", name=name)
    if not under_review(read_study(context.reader, run, [])):
        raise refused("claims_nothing", name=name)


def brief(context: Context, run: int) -> Answered:
    """The study as the reviewer reads it, and the same as data."""
    study = read_study(context.reader, run, [])
    lines, data = ["Claims:"], list[dict[str, Any]]()
    claims = under_review(study)
    for place, claim in enumerate(claims, start=1):
        lines.append(f"{place}. {claim.sentence}")
        lines += [f"   {one}" for one in claim.found]
        lines += [f"   to attack: {about}" for about in map(attackable, claim.assertions)]
        lines += [f"   to attack: {one.question} Test the set with and without it in one hypothesis."
                  for one in claim.members]  # fmt: skip
        if not claim.assertions:
            lines.append("   (It rests on nothing that a prediction could test.)")
        rests = [one.model_dump() for one in claim.assertions]
        members = [one.about for one in claim.members]
        data.append({"claim": place, "sentence": claim.sentence, "assertions": rests, "members": members})
    cited = {name for claim in claims for name in claim.cited}
    for name, row in study.hypotheses.items():
        if name in cited:
            lines.append(f"{name} predicted:")
            lines += [f"   {judged_line(one)}" for one in judged_predictions(row, study.verdicts)]
    lines.append("Experiments:")
    for name, row in study.experiments.items():
        where = f"{row.task}, {row.split}, n = {row.n}: {row.status}"
        settings = json.dumps(own_settings(row.kind, row.config), ensure_ascii=False)
        lines.append(f"   {name} {row.kind} {settings} on {where}")
    return "\n".join(lines), {"reviews": study.run.id, "claims": data}


def attackable(one: Assertion) -> str:
    """The number that a claim rests on and its bound, in the form of a prediction."""
    method = one.config.get("method")
    way = f", method {method}" if method else ""
    return f"{'' if one.inside else 'not '}{said(one)} ({one.kind} of {one.of}{way})"


def test_hypothesis(context: Context, given: hypotheses.TestHypothesis) -> Answered:
    text, data = hypotheses.test_hypothesis(context, given)
    said, standing = so_far(context)
    return f"{text}\n{said}", {**data, **standing}


test_hypothesis.__doc__ = (
    f"{hypotheses.test_hypothesis.__doc__}\n    Then say what your tests so far mean for each claim."
)


def so_far(context: Context) -> Answered:
    """What the tests so far say about each claim."""
    assert context.run is not None
    review = read_study(context.reader, context.run)
    lines: list[str] = []
    data: list[dict[str, Any]] = []
    for one in reviewed_claims(review):
        words = {False: "contradicts it", True: "agrees", None: "is undecided"}
        because = [f"{' and '.join(one.named(says))} {word}" for says, word in words.items() if one.named(says)]
        rest = [f"still to be upheld: {one.missing} of its numbers"] if one.missing and one.verdict != "falls" else []
        lines.append(f"Claim {one.claim}: {one.verdict} ({'; '.join([*because, *rest]) or 'nothing to test'}).")
        data.append({"claim": one.claim, "verdict": one.verdict, "against": one.named(False), "for": one.named(True)})
    statuses = {name: row.status for name, row in review.hypotheses.items()}
    return "\n".join(lines), {"standing": data, "statuses": statuses}
