"""A study that leaves another one after some step: with its conversation until there, and a course of its own.

What was found until there is reused. What was predicted until there is predicted again, tested or not: a fork that
began with a clean sheet would be a way to drop predictions that failed, so all of them count in its correction, and its
verdicts come from held-out prompts of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ... import prompts
from ...db.ids import show_id
from ...db.records import Hypothesis, Json, Report, Run, Turn
from ...db.write.inherited import Inherited
from ...tools.errors import ToolError
from ...tools.workbench.context import Context
from ..drivers.conversation import Driver, Message
from . import progress_state
from .budget import Budget, Spent
from .loop import Live, Study, request
from .resume import conversation, recall, require_same_subject


def fork(context: Context, driver: Driver, run: int, step: int, goal: str | None, budget: Budget, live: Live) -> Study:
    """The new study, begun and not carried on yet. Nothing of the old one changes.

    Raises ToolError where it cannot leave after that step, NoSuchId and TrackerError.
    """
    row, turns = context.reader.run(run), context.reader.turns(run)
    shared = until(row, turns, step, context.reader.latest_report(run))
    at = shared[-1].created
    hypotheses = [one for one in context.reader.hypotheses_of(run) if one.created <= at]
    require_driver(row, driver, goal, hypotheses, shared)
    questions = [one for one in context.reader.questions(run) if one.created <= at]
    experiments = context.reader.found_until(run, at)
    recall(context, row)
    require_same_subject(context, run)

    def first_message(again: Mapping[str, str]) -> Json:
        text = prompts.fill(
            "fork", parent=row.id, step=step, goal=f"The user now asks: {goal}" if goal else "Its goal is the same.",
            experiments=budget.experiments, minutes=f"{budget.minutes:g}",
            cited=", ".join(show_id("experiment", one) for one in experiments) or "no experiment of it",
            hypotheses=said_again(row.id, again),
        )  # fmt: skip
        about = {
            progress_state.FORKED: row.id,
            "step": step,
            "goal": goal or row.goal,
            "budget": budget.model_dump(),
        }
        return Message(role="user", text=text, data=about).model_dump(mode="json")

    same = (driver.name, driver.llm) == (row.driver, row.llm or "")
    inherits = Inherited(
        parent=run, step=step, experiments=experiments, hypotheses=hypotheses, questions=questions,
        message=first_message,
        # Reasoning is sealed by the server that it is from, for its model: no other can read it.
        turns=[one if same else one._replace(content={**one.content, "items": []}) for one in shared],
    )  # fmt: skip
    context.run = context.store.begin_run(
        goal=goal or row.goal, driver=driver.name, llm=driver.llm or None, model=context.model, task=context.task,
        seed=row.seed, budget=budget.model_dump(), environment=context.environment, reviews=context.reviews,
        request=request(context, progress_state.left_in(conversation(shared))), inherits=inherits,
    )  # fmt: skip
    messages = conversation(context.reader.turns(context.run))
    return Study(context, driver, goal or row.goal, budget, live, messages, Spent(steps=step))


def until(row: Run, turns: Sequence[Turn], step: int, report: Report | None) -> list[Turn]:
    """The conversation until a step, with all its answers. Raises ToolError with the steps that there are."""
    name = row.id
    if not turns or turns[0].role != "user":
        raise ToolError(f"{name} was begun by an older version, which did not log how it began; it cannot be forked.")
    steps = [turn.step for turn in turns if turn.role == "assistant"]
    if step not in steps:
        there = f"its steps are {steps[0]} to {steps[-1]}" if steps else "it has none yet"
        raise ToolError(f"{name} has no step {step}; {there}.")
    if row.parent is not None and step <= (row.forked_at or 0):
        raise ToolError(f"{name} shares step {step} with {row.parent}: agent fork {row.parent} --at {step}.")
    # What was said after its answers, but for that only the report is wanted: the fork has a budget of its own.
    shared = [turn for turn in turns if turn.step < step or (turn.step == step and not closes(turn))]
    messages = conversation(shared)
    if progress_state.unanswered(messages):
        raise ToolError(f"{name} was stopped in the middle of step {step}: fork it at an earlier one, or resume it.")
    calls = {call.id for message in messages for call in message.calls}
    if report is not None and report.call in calls:
        raise ToolError(f"{name} handed in its report at step {step}; fork it at an earlier one.")
    if progress_state.closing(messages) is not None:
        closed = max(turn.step for turn in shared if closes(turn))
        raise ToolError(f"After step {closed} {name} was to write its report only; fork it there or before.")
    return shared


def closes(turn: Turn) -> bool:
    """Whether it tells the driver that only the report is wanted."""
    return bool({progress_state.SPENT, progress_state.STOPPING} & (turn.content.get("data") or {}).keys())


def require_driver(
    row: Run, driver: Driver, goal: str | None, hypotheses: Sequence[Hypothesis], shared: Sequence[Turn]
) -> None:
    """Raises ToolError where the driver cannot go on with this conversation: a protocol reads its own steps only."""
    if driver.llm:
        return
    if row.llm is not None or any(t.content.get("data") is None for t in shared if t.role == "tool"):
        raise ToolError(f"A language model led {row.id}, and the autopilot goes on with its own steps only: name a "
                        "language model, or begin a new study.")  # fmt: skip
    if row.driver != driver.name:
        raise ToolError(f"{row.id} was led by the {row.driver}, and the {driver.name} goes on with its own steps "
                        "only: take the same one, name a language model, or begin a new study.")  # fmt: skip
    if goal is not None:
        raise ToolError("The autopilot follows its protocol and takes no new goal on the way: name a language model, "
                        "or begin a new study.")  # fmt: skip
    if hypotheses:
        first = next(t.step for t in shared if t.role == "assistant"
                     and any(call["name"] == "propose_hypothesis" for call in t.content["calls"]))  # fmt: skip
        raise ToolError(f"{row.id} predicted from step {first} on, and the autopilot tests what it has predicted "
                        f"itself: fork it at step {first - 1} or before.")  # fmt: skip


def said_again(parent: str, again: Mapping[str, str]) -> str:
    if not again:
        return ""
    named = ", ".join(f"{old} as {new}" for old, new in again.items())
    return (
        f"What {parent} predicted is recorded again, untested and with held-out prompts of its own, and counts in the "
        f"correction: {named}. The verdicts until here are those of {parent}."
    )
