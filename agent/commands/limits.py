"""The budget of a study as options, the same for `agent run` and `agent review`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import Amount

if TYPE_CHECKING:
    from ..drivers.choose import Choice
    from ..study.budget import Budget

Command = TypeVar("Command", bound=Callable[..., Any])

LIMITS = (
    click.option("--minutes", type=Amount(0, min_open=True), default=30, show_default=True, help="Budget: minutes."),
    click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Budget: turns."),
    click.option("--tokens", type=click.IntRange(1), help="Budget: tokens of the language model."),
    click.option("--max-cost", type=Amount(0, min_open=True), metavar="DOLLARS", help="Budget: money, in US dollars."),
    click.option(
        "--price",
        metavar="IN,CACHED,OUT",
        help="Price of the language model's tokens in US dollars per million: input, cached input, output. Default: "
        "the table that LASHLEY_PRICES names, or OpenAI's prices.",
    ),
    click.option(
        "--experiment-minutes",
        type=Amount(0, min_open=True),
        help="Time limit of one experiment. The program checks it between chunks of work.",
    ),
    click.option(
        "--approve",
        type=Amount(0),
        metavar="SECONDS",
        help="Ask before an experiment whose estimated time is longer than this; 0: ask before each.",
    ),
    click.option(
        "--context",
        type=click.IntRange(1000),
        help="Size of the language model's context, in tokens; default: what its server reports.",
    ),
)


def budget_for(chosen: Choice, experiments: int, given: dict[str, Any], said: bool = False) -> Budget:
    """`priced_budget` of these limits. Raises UsageError if --approve is given and there is no terminal."""
    from ..study.begin import priced_budget

    require_terminal(given["approve"], "Leave it out, or limit each experiment with --experiment-minutes.")
    return priced_budget(chosen, experiments, given, said)


def require_terminal(approve: float | None, way_out: str) -> None:
    """Raises UsageError if --approve is given and there is no terminal."""
    import sys

    if approve is not None and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"--approve needs a terminal, and there is none. {way_out}")


def limits(command: Command) -> Command:
    """Give a command the options of a budget except --experiments; it receives them as **limits."""
    for option in reversed(LIMITS):
        command = option(command)
    return command
