"""What a study begins with, for the command and for Python alike: its subject, its task, its prompts and its budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ...tools.errors import ToolError
from ...tools.workbench.catalog import match_goal, match_model, task_cards, task_named
from ..prices import HOW, price_of
from .budget import Budget

if TYPE_CHECKING:
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice


def aloud(text: str) -> None:
    click.echo(text, err=True)


def by_option(name: str, value: object = "") -> str:
    """How whoever types a command says it: `--n 8`."""
    return f"--{name} {value}".rstrip()


def settle(
    context: Context,
    goal: str,
    model: str | None,
    task: str | None,
    autopilot: bool,
    say: Callable[[str], None] = aloud,
    given: Callable[..., str] = by_option,
) -> str:
    """Which subject and which task the study is about, which `say` is told. `given` is how a choice is given here.

    Raises ToolError when nothing fits.
    """
    named = model or match_model(goal)
    context.model = named or context.model
    say(f"Subject: {context.model} ({given('model') if model else 'named in the goal' if named else 'the default'}).")
    if task is not None:
        context.task = task_named(context, task)
        say(f"Task: {context.task} ({given('task')}).")
        return f"The user asked for the task {context.task}."
    found = match_goal(goal, context)
    if found:
        context.task = found[0]["task"]
        also = [m["task"] for m in found[1:]]
        say(
            f"Task: {context.task} (the goal says {', '.join(repr(w) for w in found[0]['words'])})"
            f"{'; it could also be ' + ', '.join(also) if also else ''}. {given('task')} decides it."
        )
        return "The program took this task by the words of the goal."
    cards = ", ".join(c["name"] for c in task_cards(context.all_own_tasks()) if c["group"] != "small sets")
    if autopilot:
        raise ToolError(
            f"The goal names no task that there is. Say which one with {given('task')}: {cards}. `agent tasks` tells "
            "about them."
        )
    return f"No task matches the goal's words; choose one by list_tasks. There are: {cards}."


def require_prompts(context: Context, n: int, given: Callable[..., str] = by_option) -> None:
    """The protocol takes n prompts of each split. Raises ToolError where the task holds fewer."""
    task = context.find_task(context.task)
    fewest = min(task.capacity("explore"), task.capacity("confirm"))
    if n > fewest:
        way_out = f"give {given('n', fewest)}, or add lines" if fewest > 1 else "add lines"
        raise ToolError(
            f"A study takes {n} prompts to explore and {n} others to confirm, and the task {task.name} has "
            f"{task.capacity('explore')} and {task.capacity('confirm')}: {way_out}."
        )


def priced_budget(
    chosen: Choice, experiments: int, given: dict[str, Any], said: bool = False, say: Callable[[str], None] = aloud
) -> Budget:
    """The budget of these limits, with the price of whoever decides; `say` is told once what is known of it.

    Raises ToolError for a price that is none, and where money is limited and there is no price.
    """
    llm, price = chosen.driver.llm, None
    by_hand, limits = given["price"], {name: limit for name, limit in given.items() if name != "price"}
    if llm:
        price = price_of(llm, chosen.server is not None and chosen.server.is_openai, by_hand)
        if price is None and limits["max_cost"] is not None:
            raise ToolError(f"--max-cost needs a price, and what {llm} costs there is not known: {HOW}.")
        unknown = f"What {llm} costs is not known, so money is not counted; {HOW}."
        if not said:
            say(unknown if price is None else f"{llm} costs {price}.")
    return Budget(experiments=experiments, price=price, **limits)
