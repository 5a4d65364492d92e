"""`agent run`: an autonomous study, from a goal to a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import settings
from .finish import finish
from .limits import budget_for, limits
from .one_line_errors import one_line
from .options import study_options
from .review import EXPERIMENTS, exit_code, opinion, reviewer
from .server_options import asks_nobody, driver_option, server_options

if TYPE_CHECKING:
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice
    from ..live import View
    from ..study.budget import Budget
    from ..study.loop import Ending


@click.command()
@click.option("--goal", help="What you want to find out, in words.")
@click.option("--continue", "go_on", is_flag=True, help="Resume the last study that was stopped (agent resume).")
@click.option("--model", help="Subject model: a bundled name, a Hub id, a folder or a .gguf file.")
@click.option("--task", help="Task: a name (see `agent tasks`) or your own JSONL or CSV file.")
@driver_option("--driver", "Who decides.", default=True)
@click.option("--llm", help="Language model that decides.")
@click.option("--base-url", help="URL of an OpenAI-compatible server; default: OPENAI_BASE_URL.")
@click.option(
    "--tools",
    default="all",
    show_default=True,
    metavar="WHICH",
    help="Kinds of experiments to offer: all, core, or names with commas. Fewer kinds use less of the context.",
)
@server_options
@click.option("--n", type=click.IntRange(2, 512), default=32, show_default=True, help="Prompts per experiment.")
@click.option(
    "--experiments", type=click.IntRange(1), default=40, show_default=True, help="Budget: number of experiments."
)
@limits
@click.option("--review", is_flag=True, help="Afterwards, ask for a second opinion that tries to refute the claims.")
@driver_option("--review-driver", "Who reviews; default: as --driver.")
@click.option("--review-llm", help="Language model that reviews; default: as --llm.")
@click.option(
    "--review-experiments",
    type=click.IntRange(1),
    default=EXPERIMENTS,
    show_default=True,
    help="Budget of the review: number of experiments.",
)
@study_options
def run(
    goal: str | None, go_on: bool, model: str | None, task: str | None, driver: str, llm: str | None,
    base_url: str | None, tools: str, n: int,
    experiments: int, review: bool, review_driver: str | None,
    review_llm: str | None, review_experiments: int, db: str | None, reports: str, display: str, **limits: Any,
) -> None:  # fmt: skip
    """Study a goal: choose and run experiments, log everything in the tracker, and write a report.

    With a key (OPENAI_API_KEY) or a server (--base-url), a language model decides what to run; otherwise the
    autopilot, a fixed protocol, does. Ctrl-C finishes the current step and writes the report; a second Ctrl-C stops
    at once, and `agent resume` resumes the study.
    """
    from ...tools import toolset
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice, choose
    from ..live import live_view
    from ..study.begin import require_prompts, settle
    from ..study.context_window import answer_tokens
    from ..study.loop import study

    if go_on:
        from .resume import resume_run

        asked = {"approve": limits["approve"]}
        if goal or any(map(settings.is_said, ("model", "task"))):
            raise click.UsageError(
                "--continue resumes the last study as it was asked. Leave out --goal, --model and --task."
            )
        resume_run(
            None, base_url, db, reports, display, limits["context"], {k: v for k, v in asked.items() if v is not None}
        )
    if goal is None:
        raise click.UsageError("Missing option '--goal'. Say what you want to find out, in words.")
    if not goal.strip():
        raise click.UsageError("The goal is empty. Say what you want to find out.")
    if (review_driver or review_llm) and not review:
        raise click.UsageError("--review-driver and --review-llm need --review. Add it.")
    with one_line():
        left_in, reads = toolset.chosen(tools), limits["context"]
        chosen, why, server = choose(driver, llm, base_url, max_output_tokens=reads and answer_tokens(reads))
        if left_in is not None and not chosen.llm:
            if settings.is_said("tools"):
                raise click.UsageError(
                    f"The {chosen.name}, a fixed protocol, uses the tools that it needs. Leave out --tools."
                )
            left_in = None
        if server is not None:
            server.knock()
        click.echo(why, err=True)
        budget = budget_for(Choice(chosen, why, server), experiments, limits)
        second = reviewer_for(driver, review_driver, llm, review_llm, base_url) if review else None
        # --price is the price of the model that studies.
        same = second is None or second.driver.llm == chosen.llm
        theirs = second and budget_for(second, review_experiments, limits if same else {**limits, "price": None}, same)
        with Context.open(db) as context:
            known, at_hand = settle(context, goal, model, task, not chosen.llm)
            if not chosen.llm:
                require_prompts(context, n)
            view = live_view(display)
            context.listen(view.warned)
            context.subject(context.model)
            with view:
                ending = study(context, chosen, goal, budget, view, known, n, tools=left_in, at_hand=at_hand)
            finish(context, ending, reports)
            if second is not None and theirs is not None and ending.status not in ("interrupted", "stopped"):
                ending = run_review(context, second, theirs, view, reports, ending)
    raise click.exceptions.Exit(exit_code(ending))


def reviewer_for(
    driver: str, review_driver: str | None, llm: str | None, review_llm: str | None, base_url: str | None
) -> Choice:
    """The reviewer: the driver and model of the study, except where --review-driver or --review-llm say otherwise."""
    if review_driver is None:
        review_driver = "auto" if review_llm and asks_nobody(driver) else driver
    return reviewer(review_driver, review_llm or llm, base_url)


def run_review(context: Context, second: Choice, budget: Budget, view: View, reports: str, ending: Ending) -> Ending:
    """Run the second opinion if there are claims and money is left. Returns the first ending that is not `finished`."""
    from ...tools.errors import ToolError
    from ...tools.evidence.review.reviewer_tools import check_reviewable

    assert context.run is not None
    try:
        check_reviewable(context, context.run)
        most = None if budget.max_cost is None else dollars_left(context, budget)
        own = budget.model_copy(update={"max_cost": most})
    except ToolError as nothing:
        click.echo(f"No second opinion: {nothing}", err=True)
        return ending
    found = opinion(context, second, context.run, own, view, reports)
    return found if ending.status == "finished" else ending


def dollars_left(context: Context, budget: Budget) -> float:
    """The dollars that the study leaves for its review. Raises ToolError if there are none."""
    from ...tools.errors import ToolError

    assert context.run is not None
    spent, most = context.reader.run(context.run).spent, budget.max_cost or 0.0
    if budget.price is None:  # a fixed protocol costs nothing
        return most
    if spent["unpriced"] or spent["cost"] >= most:
        raise ToolError(f"the study spent all of the ${most:g}.")
    return most - spent["cost"]
