"""The live view of a study: what the driver says, each call and result, the budget, and progress.

In a terminal the last line moves; elsewhere the view prints plain lines. Text by a model or a subject is never
interpreted as markup or control characters.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..tools.report.plain_text import cut, printable
from ..tools.report.spent import cost_text, dollars
from .keys import SKIP, Keys

if TYPE_CHECKING:
    from ..tools.registry import Answer
    from ..tools.workbench.context import Context
    from .drivers.conversation import Call, Driver
    from .study.budget import Budget, Spent

SLOW = 2.0  # seconds after which a plain view reports progress


def safe_line(text: str, most: int) -> str:
    """One line of safe text, escaped for rich."""
    line = " ".join(printable(text).split())
    return escape(line if len(line) <= most else line[: most - 1] + "…")


def duration(seconds: float) -> str:
    """ "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class View:
    """Plain lines; also the base of the other views. `out` is stderr, so stdout stays free."""

    def __init__(self, console: Console | None) -> None:
        self.console = console
        self.budget: Budget | None = None
        self._what, self._done = "", 0
        self._since = (0, 0.0)  # how many were done when this sweep began, and the time
        self._reported = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.still()

    def line(self, text: str, hang: int = 0, beside: str = "") -> None:
        """Print a line with something after it. `hang` is the indent of its further rows, if it wraps."""
        if self.console is not None:
            self.console.print(
                f"{text}  [dim]{beside}[/]" if beside else text, highlight=False, emoji=False, soft_wrap=True
            )

    def still(self) -> None: ...

    def began(self, run: str, goal: str, driver: Driver, context: Context, budget: Budget) -> None:
        self.budget = budget
        who = f"{driver.name} {driver.llm}".strip()
        self.line(f"[bold]{run}[/] {safe_line(goal, 200)}", 3)
        limits = f"{budget.experiments} experiments, {budget.minutes:g} minutes"
        limits += "" if budget.max_cost is None else f", {dollars(budget.max_cost)}"
        self.line(f"   {safe_line(who, 120)} on {safe_line(context.model, 80)} · {limits}", 3)

    def thinking(self, step: int) -> None: ...

    def said(self, text: str) -> None:
        self.still()
        self.line(f"\n[italic]{safe_line(text, 400)}[/]")

    def user_wrote(self, text: str) -> None:
        self.line(f"[bold]You:[/] {safe_line(text, 400)}")

    def called(self, step: int, call: Call, spent: Spent) -> None:
        self.still()
        try:
            given = {
                k: v
                for k, v in json.loads(call.arguments or "{}").items()
                if v is not None and k not in ("markdown", "reason")
            }
        except (ValueError, AttributeError, RecursionError):
            given = {"arguments": call.arguments}
        words = " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in given.items())
        left = ""
        if self.budget is not None:
            experiments = f"{spent.experiments}/{self.budget.experiments} experiments"
            cost = ""
            if self.budget.price is not None:
                most = "" if self.budget.max_cost is None else f"/{dollars(self.budget.max_cost)}"
                cost = f" · {cost_text(spent.data())}{most}"
            left = f"{experiments} · {spent.minutes:.1f}/{self.budget.minutes:g} min{cost}"
        self.line(f"[bold cyan]{step:>2} {safe_line(call.name, 40)}[/] {safe_line(words, 160)}", 3, left)

    def answered(self, call: Call, result: Answer) -> None:
        self.still()
        lines = result.text.splitlines() or [""]
        colour = "red" if result.refused else "green"
        first = result.data.get("found") or lines[0]
        name = str(result.data.get("id", ""))
        label = f"{name} " if name and not str(first).startswith(name) else ""
        self.line(f"   [{colour}]{escape(str(label))}[/]{safe_line(str(first), 320)}", 3)
        if {"predictions", "questions"} & result.data.keys():
            for line in lines[1:]:
                self.line(f"     {safe_line(line, 200)}", 7)

    def progress(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        # Two sweeps in a row may have the same name.
        if self._what != what or done < self._done:
            self._what, self._since, self._reported = what, (done, now), now
        elif now - self._reported > SLOW and done < total:
            self._reported = now
            before, began = self._since
            left = (now - began) / max(1, done - before) * (total - done)
            self.line(f"   {escape(what)}: {done / total:.0%}, about {duration(left)} left")
        self._done = done

    def registered(self, questions: Sequence[str]) -> None:
        """Print the questions that the program registered for the study, if any."""
        for question in questions:
            self.line(f"   Question: {safe_line(question, 200)}", 3)

    def warned(self, text: str) -> None:
        self.line(f"[yellow]{safe_line(text, 400)}[/]")

    def skips(self) -> bool:
        """Whether the user has pressed the key that stops the experiment."""
        return False

    def asks(self, question: str) -> bool:
        """Ask at the terminal; Enter and Ctrl-D mean no. At Ctrl-C raises KeyboardInterrupt or returns no. Raises
        OSError if the terminal is closed."""
        self.still()
        try:
            return click.confirm(cut(printable(" ".join(question.split())), 600), err=True)
        except click.Abort:
            return False


class Moving(View):
    """For a terminal: rows wrap between words, and the last one moves: how long the language model has been thinking,
    or a progress bar with the time left, which disappears when the sweep is done."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.screen = console
        self.bar: Progress | None = None
        self.at: tuple[str, TaskID | None] = ("", None)
        self.llm = ""
        self.keys = Keys()
        self.in_study = False

    def line(self, text: str, hang: int = 0, beside: str = "") -> None:
        rows = hanging_rows(Text.from_markup(text, emoji=False), self.screen, hang)
        if beside:
            fits = rows[-1].cell_len + 2 + len(beside) <= self.screen.width
            last = rows.pop() if fits else Text(" " * (hang - 2))
            rows.append(Text.assemble(last, "  ", (beside, "dim")))
        for row in rows:
            self.screen.print(row, highlight=False, soft_wrap=True)

    def began(self, run: str, goal: str, driver: Driver, context: Context, budget: Budget) -> None:
        super().began(run, goal, driver, context, budget)
        self.llm, self.in_study = driver.llm, True

    def thinking(self, step: int) -> None:
        # A fixed protocol answers at once.
        if self.llm:
            self.still()
            moving = self._moves(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            moving.add_task(f"{safe_line(self.llm, 40)} is thinking", total=None)

    def _moves(self, *columns: ProgressColumn) -> Progress:
        self.bar, self.at = Progress(*columns, console=self.screen, transient=True), ("", None)
        self.bar.start()
        return self.bar

    def progress(self, what: str, done: int, total: int) -> None:
        bar = self.bar
        if bar is None:
            bar = self._moves(
                TextColumn("   {task.description}"), BarColumn(), TaskProgressColumn(),
                TimeElapsedColumn(), TimeRemainingColumn(),
                TextColumn("left, c stops it" if self.in_study and self.keys.open() else "left"),
            )  # fmt: skip
        if self.at[0] != what:
            if self.at[1] is not None:
                bar.remove_task(self.at[1])
            self.at = (what, bar.add_task(escape(what), total=total))
        if self.at[1] is not None:
            bar.update(self.at[1], completed=done, total=total)

    def skips(self) -> bool:
        return self.keys.pressed(SKIP)

    def still(self) -> None:
        self.keys.close()
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def hanging_rows(text: Text, screen: Console, hang: int) -> list[Text]:
    """The rows of the text on this screen, wrapped between words; those after the first are indented."""
    rows = list(text.wrap(screen, max(20, screen.width - hang), tab_size=1))
    for row in rows:
        row.rstrip()
    return [Text.assemble(" " * hang, row) if place and row.plain else row for place, row in enumerate(rows)]


def live_view(display: str = "auto") -> View:
    """The view of this name. auto: moving in a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if display == "none":
        return View(None)
    if display == "rich" or (display == "auto" and console.is_terminal):
        return Moving(console)
    return View(console)


@contextmanager
def quiet_progress() -> Generator[Callable[[str, int, int], None], None, None]:
    """Progress of a single command: a bar in a terminal, plain lines elsewhere."""
    view = live_view()
    with view:
        yield view.progress
