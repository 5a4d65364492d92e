"""`agent findings`: the program's findings in a study, and its verdict on any claim about the study."""

from __future__ import annotations

import click

from ...db.read.reader import Reader
from .browse import Read, browses
from .options import run_number


@click.command()
@click.argument("run")
@click.argument("claim", required=False)
@click.argument("parts", nargs=-1)
@click.option("--task", help="Task that the claim is about; default: the study's.")
@click.option(
    "--at", help="A span (attends), a position (decodable), a detector (scores), a role (role) or another task."
)
@click.option("--value", help="With decodable: a named value, such as a+b.")
@click.option("--besides", multiple=True, help="With needed_within: another part of the set. Repeatable.")
@click.option("--of", "of", help="A hypothesis (predicted) or an experiment (behaves).")
@click.option("--bound", help='With behaves: a bound such as "accuracy_drop > 0.2".')
@browses
def findings(
    reader: Reader,
    run: str,
    claim: str | None,
    parts: tuple[str, ...],
    task: str | None,
    at: str | None,
    value: str | None,
    besides: tuple[str, ...],
    of: str | None,
    bound: str | None,
) -> Read:
    """Show a study's findings, or the verdict on one claim.

    \b
    agent findings R1                     the answer and all findings
    agent findings R1 needed L7.H3        is this head needed?
    agent findings R1 role L7.H3 --at "induction head"

    The program judges from every experiment of the study that bears on the claim.
    """
    from ...tools.claims.answers import answer_data, answers, finding_data
    from ...tools.claims.call import TypedClaim, claim_on
    from ...tools.claims.in_short import in_short
    from ...tools.report.beside import found_in
    from ...tools.report.study import read_study

    number = run_number(run)
    study = read_study(reader, number)
    page = ("pages.findings", "show_findings")
    if claim is None:
        found = found_in(study)
        data = {
            "answers": [answer_data(one, study) for one in answers(study, found)],
            "in_short": in_short(study, found),
            "findings": [finding_data(one) for one in found],
        }
        return Read(data, page)
    given = TypedClaim(type=claim, parts=list(parts) or None, task=task, at=at, value=value,
                       besides=list(besides) or None, of=of, bound=bound)  # fmt: skip
    found = [claim_on(study, given).judge(study)]
    return Read({"answers": [], "in_short": "", "findings": [finding_data(one) for one in found]}, page)
