"""A second opinion: a separate run whose driver reads the claims of a study and tries to refute them."""

from __future__ import annotations

from ... import prompts
from ...tools.evidence.review.reviewer_tools import brief, check_reviewable
from ...tools.workbench.context import Context
from ..drivers.conversation import Driver
from .budget import Budget
from .loop import Ending, Live, study


def second_opinion(context: Context, driver: Driver, run: int, budget: Budget, live: Live) -> Ending:
    """Review a run that has ended. Sets context.run to the review.

    Raises NoSuchId, ToolError if there is nothing to review, and TrackerError.
    """
    check_reviewable(context, run)
    row = context.reader.run(run)
    context.run, context.turn, context.call, context.finished, context.reviews = None, None, None, False, run
    context.model, context.task = row.model or context.model, row.task or context.task
    text, data = brief(context, run)
    text = prompts.fill(
        "begin_review", run=row.id, goal=row.goal, model=context.model, task=context.task, brief=text,
        experiments=budget.experiments, minutes=f"{budget.minutes:g}",
    )  # fmt: skip
    about = {"goal": row.goal, "model": context.model, "task": context.task, **data, **budget.model_dump()}
    goal = f"Second opinion on {row.id}: {row.goal}"
    return study(context, driver, goal, budget, live, opening=(text, about))
