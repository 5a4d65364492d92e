"""`agent resume`: resume a stopped study, and finish its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import click

from .finish import finish
from .limits import require_terminal
from .one_line_errors import one_line
from .options import Amount, study_options
from .review import exit_code, write_both_reports
from .server_options import server_options


@click.command()
@click.argument("run", metavar="RUN", required=False)
@click.option("--base-url", help="URL of an OpenAI-compatible server; default: OPENAI_BASE_URL.")
@server_options
@study_options
@click.option("--context", type=click.IntRange(1000), help="Size of the language model's context, in tokens.")
@click.option("--approve", type=Amount(0), metavar="SECONDS", help="Ask as `agent run` does; default: as at the start.")
@click.option("--no-approve", is_flag=True, help="Stop asking before experiments.")
def resume(
    run: str | None, base_url: str | None, db: str | None, reports: str, display: str, context: int | None,
    approve: float | None, no_approve: bool,
) -> None:  # fmt: skip
    """Resume RUN (such as R3), which was killed or stopped by a second Ctrl-C, and finish its report.

    The conversation continues with the same subject, task, driver and budget. Finished experiments are kept; an
    interrupted one is rerun.
    """
    if run is None:
        require_named(db)
    if no_approve and approve is not None:
        raise click.UsageError("Give --approve or --no-approve, not both.")
    resume_run(
        run, base_url, db, reports, display, context, {"approve": approve} if no_approve or approve is not None else {}
    )


def require_named(db: str | None) -> NoReturn:
    """Raises a usage error that names the run that was stopped last."""
    from ...db.ids import show_id
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ..study.resume import run_to_resume

    with one_line(), Reader.open(tracker_path(db)) as reader:
        last = show_id("run", run_to_resume(reader, None))
        raise click.UsageError(
            f"Name the run. The last one that was stopped is {last}: agent resume {last}, or agent run --continue"
        )


def resume_run(
    run: str | None, base_url: str | None, db: str | None, reports: str, display: str, reads: int | None = None,
    changed: Mapping[str, Any] | None = None,
) -> NoReturn:  # fmt: skip
    """Resume this run, or the last one that was stopped, with these limits changed."""
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...tools.workbench.context import Context
    from ..drivers.choose import choose
    from ..live import live_view
    from ..study.context_window import answer_tokens
    from ..study.loop import carry_on
    from ..study.resume import changes, recall, require_same_subject, require_stopped, resumed, run_to_resume

    with one_line():
        # Do not create a tracker that does not exist.
        with Reader.open(tracker_path(db)) as reader:
            number = run_to_resume(reader, run)
            require_stopped(row := reader.run(number))
        limits = {**row.budget, **(changed or {})}
        require_terminal(limits.get("approve"), f"agent resume {row.id} --no-approve resumes without asking.")
        chosen, why, server = choose(row.driver, row.llm, base_url, max_output_tokens=reads and answer_tokens(reads))
        if server is not None:
            server.knock()
        click.echo(why, err=True)
        with Context.open(db) as context:
            recall(context, row)
            view = live_view(display)
            context.listen(view.warned)
            for line in changes(context, row):
                click.echo(f"Since {row.id} began: {line}.", err=True)
            require_same_subject(context, number)
            with view:
                work = resumed(context, chosen, number, view)
                work.window.limit = reads
                work.budget = work.budget.model_copy(update=dict(changed or {}))
                ending = carry_on(work)
            if context.reviews is None:
                finish(context, ending, reports)
            else:
                write_both_reports(context, context.reviews, ending, reports)
    raise click.exceptions.Exit(exit_code(ending))
