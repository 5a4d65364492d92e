"""What a study may spend, as options: the same for `agent run` and `agent review`."""

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
    click.option("--minutes", type=Amount(0, min_open=True), default=30, show_default=True, help="Budget: time."),
    click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Budget: turns."),
    click.option("--tokens", type=click.IntRange(1), help="Budget: tokens of the language model."),
    click.option("--max-cost", type=Amount(0, min_open=True), metavar="DOLLARS", help="Budget: money, in US dollars."),
    click.option(
        "--price",
        metavar="IN,CACHED,OUT",
        help="What the language model's tokens cost, in US dollars per million: read, read again from the server's "
        "cache, written. Else as in the table that LASHLEY_PRICES names; OpenAI's are known.",
    ),
    click.option(
        "--experiment-minutes",
        type=Amount(0, min_open=True),
        help="The longest that one experiment may take; it is stopped between two chunks of its work.",
    ),
    click.option(
        "--approve",
        type=Amount(0),
        metavar="SECONDS",
        help="Ask at the terminal before an experiment that would take longer by its estimate; 0: before each.",
    ),
    click.option(
        "--context",
        type=click.IntRange(1000),
        help="How many tokens the language model reads at once; else what its server says when it refuses more.",
    ),
)


def budget_for(chosen: Choice, experiments: int, given: dict[str, Any], said: bool = False) -> Budget:
    """`priced_budget` of these limits. Raises UsageError where somebody is to be asked and nobody is there."""
    from ..study.begin import priced_budget

    require_terminal(given["approve"], "leave it out, or limit each experiment with --experiment-minutes.")
    return priced_budget(chosen, experiments, given, said)


def require_terminal(approve: float | None, way_out: str) -> None:
    """Raises UsageError where somebody is to be asked and nobody is there."""
    import sys

    if approve is not None and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"--approve asks at the terminal, and there is none here: {way_out}")


def limits(command: Command) -> Command:
    """Gives a command the options of a budget, but for its experiments; it takes them as **limits."""
    for option in reversed(LIMITS):
        command = option(command)
    return command
