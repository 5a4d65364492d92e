"""`agent fork`: start a new study from a step of another one."""

from __future__ import annotations

from typing import Any

import click

from .finish import finish
from .limits import budget_for, limits
from .one_line_errors import one_line
from .options import run_number, study_options
from .review import exit_code, write_both_reports
from .server_options import driver_option, server_options


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--at", "step", type=click.IntRange(1), required=True, help="Last step that both studies share.")
@click.option("--goal", help="New goal; default: that of RUN.")
@driver_option("--driver", "Who decides from then on; default: as in RUN.")
@click.option("--llm", help="Language model that decides.")
@click.option("--base-url", help="URL of an OpenAI-compatible server; default: OPENAI_BASE_URL.")
@server_options
@click.option(
    "--experiments", type=click.IntRange(1), default=40, show_default=True, help="Budget: number of experiments."
)
@limits
@study_options
def fork(
    run: str, step: int, goal: str | None, driver: str | None, llm: str | None, base_url: str | None,
    experiments: int, db: str | None, reports: str, display: str, **limits: Any,
) -> None:  # fmt: skip
    """Start a new study that shares the steps of RUN (such as R3) up to --at.

    The new study can cite the shared results. It makes the shared predictions again: they count in the correction and
    are tested on other held-out prompts. Its budget starts at the fork. RUN does not change.
    """
    from ...db.location import tracker_path
    from ...db.read.reader import Reader
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice, choose
    from ..live import live_view
    from ..study import fork
    from ..study.context_window import answer_tokens
    from ..study.loop import carry_on

    if goal is not None and not goal.strip():
        raise click.UsageError("The goal is empty. Say what you want to find out, or leave --goal out.")
    with one_line():
        number = run_number(run)
        # Do not create a tracker that does not exist.
        with Reader.open(tracker_path(db)) as reader:
            row = reader.run(number)
            fork.until(row, reader.turns(number), step, reader.latest_report(number))
        named = driver or ("auto" if llm and row.llm is None else row.driver)
        llm, reads = llm or (row.llm if named == row.driver else None), limits["context"]
        if reads is None and (named, llm) == (row.driver, row.llm):
            reads = row.budget.get("context")
        chosen, why, server = choose(named, llm, base_url, max_output_tokens=reads and answer_tokens(reads))
        if server is not None:
            server.knock()
        click.echo(why, err=True)
        further: dict[str, Any] = {"steps": step + limits["steps"], "context": reads}
        budget = budget_for(Choice(chosen, why, server), experiments, {**limits, **further})
        with Context.open(db) as context:
            view = live_view(display)
            context.listen(view.warned)
            with view:
                work = fork.fork(context, chosen, number, step, goal, budget, view)
                work.window.limit = reads
                ending = carry_on(work)
            if context.reviews is None:
                finish(context, ending, reports)
            else:
                write_both_reports(context, context.reviews, ending, reports)
    raise click.exceptions.Exit(exit_code(ending))
