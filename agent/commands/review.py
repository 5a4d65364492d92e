"""`agent review`: a second opinion on a study; `agent run --review` asks for one when the study is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .limits import budget_for, limits
from .one_line_errors import one_line
from .options import run_number, study_options
from .server_options import driver_option, server_options

if TYPE_CHECKING:
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice
    from ..live import View
    from ..study.budget import Budget
    from ..study.loop import Ending

EXPERIMENTS = 12
EXIT = {"finished": 0, "budget": 3, "interrupted": 130, "stopped": 130, "failed": 1}


def exit_code(ending: Ending) -> int:
    """The exit code of an ending. A study that stopped because its server failed was not interrupted by the user."""
    from ..study.endings import STOPPED

    return 1 if ending.status == "stopped" and ending.code != STOPPED else EXIT[ending.status]


@click.command()
@click.argument("run", metavar="RUN")
@driver_option("--driver", "Who reviews.", default=True)
@click.option("--llm", help="Language model that reviews.")
@click.option("--base-url", help="URL of an OpenAI-compatible server; default: OPENAI_BASE_URL.")
@server_options
@click.option(
    "--experiments",
    "--review-experiments",
    type=click.IntRange(1),
    default=EXPERIMENTS,
    show_default=True,
    help="Budget: number of experiments.",
)
@limits
@study_options
def review(
    run: str, driver: str, llm: str | None, base_url: str | None, experiments: int, db: str | None, reports: str,
    display: str, **limits: Any,
) -> None:  # fmt: skip
    """Ask for a second opinion on RUN (such as R3): a new run tries to refute its claims.

    The reviewer sees the claims and the measurements, but not the reasoning. The program checks its verdicts (stands,
    falls, undecided, untested) and adds them to the report of RUN. Choose a reviewer that did not do the study: --llm,
    --base-url, or --driver autopilot.
    """
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...tools.evidence.review.reviewer_tools import check_reviewable
    from ...tools.workbench.context import Context
    from ..live import live_view

    with one_line():
        number = run_number(run)
        # Do not create a tracker that does not exist.
        Reader.open(tracker_path(db)).close()
        with Context.open(db) as context:
            check_reviewable(context, number)
            chosen = reviewer(driver, llm, base_url)
            budget = budget_for(chosen, experiments, limits)
            view = live_view(display)
            context.listen(view.warned)
            ending = opinion(context, chosen, number, budget, view, reports)
    raise click.exceptions.Exit(exit_code(ending))


def reviewer(driver: str, llm: str | None, base_url: str | None) -> Choice:
    """The reviewer; prints who it is. Raises a DriverError."""
    from ..drivers.choose import choose

    chosen = choose(driver, llm, base_url)
    if chosen.server is not None:
        chosen.server.knock()
    click.echo(f"Second opinion: {chosen.why}", err=True)
    return chosen


def opinion(context: Context, chosen: Choice, run: int, budget: Budget, view: View, reports: str) -> Ending:
    """Run the review, and write both reports."""
    from ..study.review import second_opinion

    with view:
        ending = second_opinion(context, chosen.driver, run, budget, view)
    return write_both_reports(context, run, ending, reports)


def write_both_reports(context: Context, run: int, ending: Ending, reports: str) -> Ending:
    """Write both reports, and print the result of the review."""
    from .report import write_files

    assert context.run is not None
    if ending.status == "stopped":
        click.echo(f"\nStopped. Resume with: agent resume R{context.run}", err=True)
        return ending
    path = write_files(context.reader, run, reports)
    own = write_files(context.reader, context.run, reports)
    click.echo(f"\n{summary(context)} {ending.why or ''}".rstrip(), err=True)
    click.echo(f"Report with the review: {path}\nReport of the review: {own}", err=True)
    return ending


def summary(context: Context) -> str:
    """The verdicts on the claims, in one line."""
    from collections import Counter

    from ...tools.evidence.review.reviewed import verdicts_of
    from ...tools.report.study import read_study

    assert context.run is not None
    review = read_study(context.reader, context.run)
    count = Counter(verdicts_of(review).values())
    untested = f", {count['untested']} untested" if count["untested"] else ""
    said = f"{count['stands']} upheld, {count['falls']} contradicted, {count['undecided']} undecided{untested}"
    return f"R{context.run}, the second opinion on {review.run.reviews}. Claims: {said}."
