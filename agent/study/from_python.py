"""`lashley.study()`: run a study from Python as `agent run` does, and get its results as objects."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ...db.read.reader import Reader
from ...tools.errors import ToolError, require_types, wrong_fields
from ...tools.python_api.model import Model, name_to_study, require_task
from ...tools.python_api.study import Study

if TYPE_CHECKING:
    from ...tools.workbench.context import Context, Task
    from .budget import Budget


DISPLAYS = ("auto", "rich", "plain", "none")


def study(
    goal: str,
    *,
    model: str | Model | None = None,
    task: Task | str | None = None,
    driver: str = "auto",
    llm: str | None = None,
    base_url: str | None = None,
    db: str | os.PathLike[str] | None = None,
    n: int = 32,
    experiments: int = 40,
    minutes: float = 30,
    steps: int = 200,
    tokens: int | None = None,
    max_cost: float | None = None,
    price: str | None = None,
    experiment_minutes: float | None = None,
    context: int | None = None,
    tools: str = "all",
    display: Literal["auto", "rich", "plain", "none"] = "auto",
) -> Study:
    """Study a goal as `agent run` does: choose and run experiments, log everything in the tracker, and write a report.

    Each argument means the same as the option of that name (`agent run --help`); a message about --max-cost is about
    max_cost. `model` and `task` may also be objects from `lashley.load` and `lashley.Task`; without them, the goal
    names them. The driver, subject, task and progress are printed to stderr unless `display` is "none". The report is
    `study.report`; no file is written. Ctrl-C ends the study with a report; `study.status` says how it ended.

    Raises ToolError if an argument is wrong or the model was already in memory; ExperimentError; TrackerError; and
    DriverError if the language model cannot be asked.
    """
    from ...tools import toolset
    from ...tools.workbench.context import Context
    from ..drivers.choose import Choice, choose
    from ..drivers.registry import names
    from ..live import live_view, safe_line
    from . import loop
    from .begin import priced_budget, require_prompts, settle
    from .context_window import answer_tokens

    require_types(
        goal=(goal, str), driver=(driver, str), llm=(llm, str), base_url=(base_url, str),
        db=(db, str, os.PathLike), n=(n, int), price=(price, str), tools=(tools, str), display=(display, str),
        context=(context, int),
    )  # fmt: skip
    require_task(task)
    if not goal or not goal.strip():
        raise ToolError("The goal is empty. Say what you want to find out.")
    if not 2 <= n <= 512:
        raise ToolError(f"n must be from 2 to 512, not {n}.")
    if driver not in (known := [*names()]):
        raise ToolError(f"There is no driver '{driver}'. Use {', '.join(known)}.")
    if display not in DISPLAYS:
        raise ToolError(f"There is no display '{display}'. Use {', '.join(DISPLAYS)}.")
    name = model if model is None or isinstance(model, str) else name_to_study(model)
    left_in = toolset.chosen(tools)
    chosen, why, server = choose(driver, llm, base_url, max_output_tokens=context and answer_tokens(context))
    if left_in is not None and not chosen.llm:
        raise ToolError(f"The {chosen.name}, a fixed protocol, uses the tools that it needs. Leave out tools.")
    if server is not None:
        server.knock()
    limits: dict[str, Any] = {
        "minutes": minutes, "steps": steps, "tokens": tokens, "max_cost": max_cost, "price": price,
        "experiment_minutes": experiment_minutes, "context": context, "approve": None,
    }  # fmt: skip
    view = live_view(display)

    def say(text: str) -> None:
        view.line(safe_line(text, 400))

    say(why)
    budget = check_budget(lambda: priced_budget(Choice(chosen, why, server), experiments, limits, say=say))
    with Context.open(None if db is None else os.fspath(db)) as opened:
        if isinstance(model, Model):
            opened.adopt(model.subject)
        known, at_hand = settle(opened, goal, name, task_name(opened, task), not chosen.llm, say, argument)
        if not chosen.llm:
            require_prompts(opened, n, argument)
        opened.listen(view.warned)
        opened.subject(opened.model)
        with view:
            loop.study(opened, chosen, goal, budget, view, known, n, tools=left_in, at_hand=at_hand)
        assert opened.run is not None
        run, path = opened.run, opened.store.path
    return Study(Reader.open(path), run)


def argument(name: str, value: object = "...") -> str:
    """A setting as a user types it in Python: `n=8`."""
    return f"{name}={value}"


def task_name(context: Context, task: Task | str | None) -> str | None:
    """The name of the task; a Task object is first stored in the tracker."""
    return task if task is None or isinstance(task, str) else context.add_task(task).name


def check_budget(budget: Callable[[], Budget]) -> Budget:
    """The budget. Raises ToolError for an invalid limit."""
    from pydantic import ValidationError

    try:
        return budget()
    except ValidationError as fault:
        raise wrong_fields(fault) from fault
