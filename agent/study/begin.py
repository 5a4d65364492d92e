"""How a study begins, for the command and for Python: its subject, task, prompts and budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ...tools.errors import ToolError
from ...tools.toolset import core, without_a_task
from ...tools.workbench.catalog import match_goal, match_model, task_cards, task_named
from ..prices import HOW, price_of
from .budget import Budget

if TYPE_CHECKING:
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice


class Settled(NamedTuple):
    """What the first message says about the task, and the optional tools that the first request describes."""

    known: str
    at_hand: tuple[str, ...]


def aloud(text: str) -> None:
    click.echo(text, err=True)


def by_option(name: str, value: object = "") -> str:
    """A setting as a user types it in a command: `--n 8`."""
    return f"--{name} {value}".rstrip()


def settle(
    context: Context,
    goal: str,
    model: str | None,
    task: str | None,
    autopilot: bool,
    say: Callable[[str], None] = aloud,
    given: Callable[..., str] = by_option,
) -> Settled:
    """Choose the subject and the task of the study, and report them to `say`. `given` words a setting for the user.

    If no task fits the goal, the first request also describes the experiments that need no task.

    Raises ToolError if no task fits.
    """
    named = model or match_model(goal)
    context.model = named or context.model
    say(f"Subject: {context.model} ({given('model') if model else 'named in the goal' if named else 'the default'}).")
    if task is not None:
        context.task = task_named(context, task)
        say(f"Task: {context.task} ({given('task')}).")
        return Settled(f"The user asked for the task {context.task}.", core())
    found = match_goal(goal, context)
    if found:
        context.task = found[0]["task"]
        also = [m["task"] for m in found[1:]]
        say(
            f"Task: {context.task} (the goal mentions {',  '.join(repr(w) for w in found[0]['words'])})"
            f"{'; also possible: ' + ', '.join(also) if also else ''}. Choose another with {given('task')}."
        )
        return Settled("The program chose this task from the words of the goal.", core())
    cards = ", ".join(c["name"] for c in task_cards(context.all_own_tasks()) if c["group"] != "small sets")
    if autopilot:
        raise ToolError(
            f"The goal names no known task. Choose one with {given('task')}: {cards}. `agent tasks` describes them. "
            f"To look at a model first, without a task: agent models describe {context.model}, and "
            f"agent experiment free_run --model {context.model} --probe random."
        )
    known = (
        f"No task matches the goal's words; {context.task} is only the default. If you do not know what the model "
        "does, look first: describe_model and free_run need no task. Then make a task of what you saw, or choose one "
        f"of these: {cards}."
    )
    return Settled(known, (*core(), *without_a_task()))


def require_prompts(context: Context, n: int, given: Callable[..., str] = by_option) -> None:
    """Raises ToolError if the task has fewer than n prompts in a split, which the fixed protocol needs."""
    task = context.find_task(context.task)
    fewest = min(task.capacity("explore"), task.capacity("confirm"))
    if n > fewest:
        way_out = f"give {given('n', fewest)}, or add lines" if fewest > 1 else "add lines"
        raise ToolError(
            f"A study needs {n} prompts to explore and {n} others to confirm. The task {task.name} has "
            f"{task.capacity('explore')} and {task.capacity('confirm')}: {way_out}."
        )


def priced_budget(
    chosen: Choice, experiments: int, given: dict[str, Any], said: bool = False, say: Callable[[str], None] = aloud
) -> Budget:
    """The budget of these limits, with the price of the language model, which is reported to `say` once.

    Raises ToolError for an unreadable price, and if money is limited and there is no price.
    """
    llm, price = chosen.driver.llm, None
    by_hand, limits = given["price"], {name: limit for name, limit in given.items() if name != "price"}
    if llm:
        price = price_of(llm, chosen.server is not None and chosen.server.is_openai, by_hand)
        if price is None and limits["max_cost"] is not None:
            raise ToolError(f"--max-cost needs a price, and the price of {llm} is not known. {HOW}.")
        unknown = f"The price of {llm} is not known, so the cost is not counted. {HOW}."
        if not said:
            say(unknown if price is None else f"{llm} costs {price}.")
    return Budget(experiments=experiments, price=price, **limits)
