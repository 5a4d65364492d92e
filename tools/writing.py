"""The tools that write: notes, and the report that ends a study."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..db.ids import show_id
from .arguments import Answered, Arguments, number_of
from .claims.call import TypedClaim, claim_on, kept
from .claims.claim import Claim as TypedFinding
from .refusals import refused
from .report.check import check
from .report.claims import MOST, Claim
from .report.numerals import typed_numbers
from .report.study import read_study
from .workbench.context import Context


def finished(context: Context, names: list[str]) -> list[int]:
    """The numbers of these experiments. Raises ToolError for one that gave no result."""
    numbers = [number_of(name, "experiment") for name in names]
    for number in numbers:
        status = context.reader.experiment(number).status
        if status != "done":
            raise refused("not_finished", id=show_id("experiment", number), status=status)
    return numbers


def require_no_numbers(context: Context, what: str, *texts: str) -> None:
    """Raises ToolError for a typed number: others read these words, and the program cannot check the number."""
    if context.run is None or not any(typed_numbers(text, None) for text in texts):
        return
    # The number may quote the study. This check comes second because reading the study takes time.
    study = read_study(context.reader, context.run)
    if any(typed_numbers(text, study) for text in texts):
        raise refused("typed_number", what=what)


class WriteNote(Arguments):
    title: Annotated[str, Field(min_length=1, max_length=120, description="A few words.")]
    text: Annotated[str, Field(min_length=1, max_length=4000, description="What a later reader should know.")]
    tags: Annotated[list[str], Field(description="Words to find it by.")]
    experiments: Annotated[list[str], Field(description="Experiments it is about: E3, E5. May be empty.")]


def write_note(context: Context, given: WriteNote) -> Answered:
    """Keep an observation. Name experiments, not measured numbers. Later studies find it with search_notes."""
    written = context.written("notes")
    # A protocol's note is the program's own, and may count what it did.
    if not written and context.run is not None and context.reader.run(context.run).llm:
        require_no_numbers(context, "The note", given.title, given.text)
    number = (
        written[0].number
        if written
        else context.store.add_note(
            context.run, given.title, given.text, given.tags, finished(context, given.experiments), context.call
        )
    )
    name = show_id("note", number)
    return f"{name} is saved.", {"id": name}


class ClaimCall(Arguments):
    sentence: Annotated[
        str,
        Field(
            min_length=1, max_length=600, description="One finding in plain words. Its numbers are slots: {{E5.loss}}."
        ),
    ]
    conditions: Annotated[
        list[str],
        Field(
            min_length=1, max_length=8,
            description="What must hold for the whole interval: E5.effect[L7.H3] < -0.1, E9.accuracy_drop > 0.2, "
            "E9.loss_increase between -0.1 and 0.1, H1 is supported (or confirmed, refuted, inconclusive).",
        ),
    ]  # fmt: skip


class WriteReport(Arguments):
    title: Annotated[str, Field(min_length=1, max_length=200, description="One line: what it is about.")]
    claims: Annotated[
        list[ClaimCall],
        Field(
            max_length=MOST,
            description="Your findings, the answer to the goal first. A claim with a condition that fails is rejected. "
            "Empty if you found nothing.",
        ),
    ]
    findings: Annotated[
        list[TypedClaim] | None,
        Field(
            max_length=MOST,
            description="Claims as data. The program judges them and writes their sentences, as it does for all parts "
            "that a test removed.",
        ),
    ] = None
    interpretation: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40_000,
            description="Your interpretation, in Markdown, and what was not tested; slots for every number.",
        ),
    ]


def write_report(context: Context, given: WriteReport) -> Answered:
    """Write the report and end the study. The program rejects typed numbers, slots of other studies, and claims that
    fail."""
    if context.run is None:
        raise refused("no_study")
    if context.written("reports"):
        return taken(context)
    title = " ".join(given.title.split())
    # The goal may contain anything, even numbers. A report without a title is headed by its goal.
    asked = " ".join(context.reader.run(context.run).goal.split())
    source = given.interpretation if title == asked else f"# {title}\n\n{given.interpretation}"
    claims = [Claim(sentence=c.sentence.strip(), conditions=tuple(c.conditions)) for c in given.claims]
    typed = list[TypedFinding]()
    if given.findings:
        study = read_study(context.reader, context.run)
        typed = [claim_on(study, one) for one in given.findings]
        for one in typed:
            one.judge(study)
    faults = check(source, context.reader, context.run, claims)
    if faults:
        raise refused("report_faults", faults="\n- ".join(faults))
    kept_claims = [*(claim.model_dump() for claim in claims), *(kept(one) for one in typed)]
    context.store.add_report(context.run, source, kept_claims, context.call)
    return taken(context)


def taken(context: Context) -> Answered:
    context.finished = True
    return "The report is written. The study is over: it accepts no further call.", {"finished": True}
