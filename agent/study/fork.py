"""Fork a study: a new study that shares the conversation of another one up to some step.

The new study reuses the results up to there. It makes the predictions up to there again, tested or not: otherwise a
fork would be a way to drop predictions that failed. All of them count in its correction, and their verdicts come from
its own held-out prompts.
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
    """Create the new study without running it yet. The old one does not change.

    Raises ToolError if the study cannot be forked after that step, NoSuchId and TrackerError.
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
            cited=", ".join(show_id("experiment", one) for one in experiments) or "none of its experiments",
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
        # Reasoning is encrypted by its server for one model; no other can read it.
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
    """The conversation up to and including a step and its answers. Raises ToolError that names the existing steps."""
    name = row.id
    if not turns or turns[0].role != "user":
        raise ToolError(f"{name} cannot be forked: an older version ran it and did not log how it began.")
    steps = [turn.step for turn in turns if turn.role == "assistant"]
    if step not in steps:
        there = f"Its steps are {steps[0]} to {steps[-1]}" if steps else "It has no steps yet"
        raise ToolError(f"{name} has no step {step}. {there}.")
    if row.parent is not None and step <= (row.forked_at or 0):
        raise ToolError(f"{name} shares step {step} with {row.parent}: agent fork {row.parent} --at {step}.")
    # Keep what was said after its answers, except the demand for the report: the fork has its own budget.
    shared = [turn for turn in turns if turn.step < step or (turn.step == step and not closes(turn))]
    messages = conversation(shared)
    if progress_state.unanswered(messages):
        raise ToolError(f"{name} was stopped in the middle of step {step}. Fork it at an earlier step, or resume it.")
    calls = {call.id for message in messages for call in message.calls}
    if report is not None and report.call in calls:
        raise ToolError(f"{name} wrote its report at step {step}. Fork it at an earlier step.")
    if progress_state.closing(messages) is not None:
        closed = max(turn.step for turn in shared if closes(turn))
        raise ToolError(f"After step {closed}, {name} could only write its report. Fork it at step {closed} or before.")
    return shared


def closes(turn: Turn) -> bool:
    """Whether this turn tells the driver to write its report now."""
    return bool({progress_state.SPENT, progress_state.STOPPING} & (turn.content.get("data") or {}).keys())


def require_driver(
    row: Run, driver: Driver, goal: str | None, hypotheses: Sequence[Hypothesis], shared: Sequence[Turn]
) -> None:
    """Raises ToolError if the driver cannot continue this conversation: a fixed protocol reads only its own steps."""
    if driver.llm:
        return
    if row.llm is not None or any(t.content.get("data") is None for t in shared if t.role == "tool"):
        raise ToolError(f"A language model drove {row.id}, and the autopilot can only continue its own steps. Name a "
                        "language model, or start a new study.")  # fmt: skip
    if row.driver != driver.name:
        raise ToolError(f"The {row.driver} drove {row.id}, and the {driver.name} can only continue its own steps. "
                        "Use the same driver, name a language model, or start a new study.")  # fmt: skip
    if goal is not None:
        raise ToolError("The autopilot follows a fixed protocol and cannot change its goal. Name a language model, "
                        "or start a new study.")  # fmt: skip
    if hypotheses:
        first = next(t.step for t in shared if t.role == "assistant"
                     and any(call["name"] == "propose_hypothesis" for call in t.content["calls"]))  # fmt: skip
        raise ToolError(f"{row.id} made predictions from step {first} on, and the autopilot tests only its own. "
                        f"Fork it at step {first - 1} or before.")  # fmt: skip


def said_again(parent: str, again: Mapping[str, str]) -> str:
    if not again:
        return ""
    named = ", ".join(f"{old} as {new}" for old, new in again.items())
    return (
        f"The predictions of {parent} are recorded again, untested, with other held-out prompts, and count in the "
        f"correction: {named}. The verdicts up to here are those of {parent}."
    )
