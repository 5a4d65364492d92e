"""A study as its own page shows it: the rows of its report, and the writer's text with its slots filled.

Unlike `render`, it works while the study runs, and when the report can no longer be rendered: then it says why, and
shows the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...db.read.reader import Reader
from ..claims.claim import Finding
from ..evidence.review.reviewed import opinion_view
from . import prose
from .beside import annotated, found_in
from .check import all_faults
from .claims import sentences
from .escape import one_line
from .render import claims_shown, filler
from .shown import Shown
from .slots import SlotError
from .study import Study, read_study
from .view import report_view


def story(reader: Reader, run: int, block: prose.Block) -> Shown:
    """The rows of `report_view`, with title (the goal), reading_title (the writer's), claims, opinions and `body`, the
    text as HTML or "". `block` gives the HTML for a slot of a table or a figure; `fault` says why there are no claims
    and no text.

    A filled number is a link to #E12. Raises NoSuchId when there is no such run.
    """
    study = read_study(reader, run)
    found = found_in(study)
    shown: Shown = {"title": one_line(study.run.goal), "reading_title": "", "claims": [], "opinions": []}
    rows: Shown = {**report_view(study, {}, found), **shown}
    try:
        return {**rows, **_written(study, block, found), "fault": ""}
    except SlotError as error:
        return {**rows, "body": "", "fault": str(error)}


def _written(study: Study, block: prose.Block, found: Sequence[Finding]) -> Shown:
    inside = study.reviewed is not None
    opinions = [opinion_view(one, inside) for one in ((study,) if inside else study.reviews)]
    if study.report is None:
        return {"body": "", "opinions": opinions}
    source = study.report.source
    claims = [] if inside else sentences(study.report.claims)
    wrong = all_faults(source, study, claims)
    if wrong:
        raise SlotError(*wrong)
    title, text = prose.split_title(source)
    return {
        "reading_title": prose.plain(title, filler(study)),
        "claims": claims_shown(claims, study, found),
        "opinions": opinions,
        "body": prose.to_html(text if study.run.llm is None else annotated(text, found), filler(study), block),
    }
