"""Registers what a study asks, before its first experiment; and what it asks of a task that it makes later, before its
first experiment on that task."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .arguments import Answered, Arguments
from .claims.call import TypedClaim
from .claims.parts import lacks
from .claims.question import Among, Question, question_from, questions_of_goal, read_question
from .claims.registry import ASKED
from .refusals import refused
from .workbench.context import Context

MOST = 8
# How many prompts show which values and positions a task has.
SEEN = 8


class Asked(Arguments):
    type: Annotated[str, Field(description=f"A type of claim: {', '.join(ASKED)}.")]
    parts: Annotated[list[str] | None, Field(description="L7.H3, L5.mlp, L4. Null asks which.")] = None
    among: Annotated[Among, Field(description="If it asks which: of what.")] = "parts"
    task: Annotated[str | None, Field(description="Null: the study's.")] = None
    at: Annotated[str | None, Field(description="attends: the span; decodable: the position; scores: the detector; "
                                    "role: the role; differs: the other task.")] = None  # fmt: skip
    value: Annotated[str | None, Field(description="decodable: a named value, a+b.")] = None
    besides: Annotated[list[str] | None, Field(description="needed_within: the other parts of the set.")] = None


class RegisterQuestions(Arguments):
    questions: Annotated[list[Asked], Field(min_length=1, max_length=MOST, description="Each as data.")]


def register_questions(context: Context, given: RegisterQuestions) -> Answered:
    """Register what the goal asks, as neutral questions, before the first experiment. The program always asks about
    parts that the goal names. A task that you make later: register its questions before any experiment on it."""
    if context.run is None:
        raise refused("no_study")
    if context.written("questions"):
        return registered(context)
    run = context.reader.run(context.run)
    known = [read_question(dict(one.claim)) for one in run.questions]
    taken = {*(one.task for one in known), *(one.task for one in run.experiments)}
    asked: list[Question] = []
    for one in given.questions:
        flat = TypedClaim.model_validate(one.model_dump(exclude={"among"}))
        if run.questions and (one.task or context.task) in taken:
            raise refused("questions_registered", questions=" ".join(one.text for one in run.questions))
        question = question_from(flat, one.among, context.task)
        require_there(context, question)
        require_parts(context, question)
        asked.append(question)
    if run.questions:
        keep(context, [(one, "driver") for one in asked], context.call)
        return registered(context)
    # A question about a set, or of another type, does not replace what the goal asks of each part that it names.
    alone = {one.about for one in asked if one.type in ("needed", "spare")}
    goal = [one for one in questions_of_goal(run.goal, context.task) if one.about and one.about not in alone]
    # What the goal names comes first.
    keep(context, [*((one, "goal") for one in goal), *((one, "driver") for one in asked)], context.call)
    return registered(context)


def register_goal(context: Context, goal: str) -> list[str]:
    """Register what the program reads from the goal, if the driver registered nothing. Returns the new questions."""
    if context.run is None or context.reviews is not None or context.reader.questions(context.run):
        return []
    asked = questions_of_goal(goal, context.task)[:MOST]
    keep(context, [(one, "goal") for one in asked])
    return [one.text for one in asked]


def require_there(context: Context, question: Question) -> None:
    """Raises UnknownName or ToolError for a task that does not exist, and BadTask or BadConfiguration for a named value
    or a position that its prompts do not have."""
    task = context.find_task(question.task)
    about = question if question.claim is None else question.claim
    value, at = getattr(about, "value", None), getattr(about, "at", None)
    if question.type not in ("decodable", "first_decodable") or (value is None and at is None):
        return
    from ..experiments.methods.value_lens import require_position
    from ..experiments.tasks.values import value_in_each

    prompts = task.prompts(min(SEEN, task.capacity("explore")))
    if value is not None:
        value_in_each(prompts, value)
    if at is not None:
        require_position(prompts, at)


def require_parts(context: Context, question: Question) -> None:
    """Raises ToolError for a part that the subject does not have."""
    sizes = context.sizes(context.model)
    for part in question.about:
        why_not = lacks(part, sizes)
        if why_not:
            raise refused("no_such_part", part=part[:60], why=why_not)


def keep(context: Context, asked: list[tuple[Question, str]], call: str | None = None) -> None:
    assert context.run is not None
    context.store.add_questions(context.run, [(one.data(), one.text, origin) for one, origin in asked], call)


def registered(context: Context) -> Answered:
    assert context.run is not None
    rows = context.reader.questions(context.run)
    lines = [f"  {row.text}{' (the goal names it)' if row.origin == 'goal' else ''}" for row in rows]
    text = "\n".join(["Registered, and frozen:", *lines, "The report opens with the program's answer to each."])
    return text, {"questions": [row.text for row in rows]}
