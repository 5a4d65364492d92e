"""What a study may spend, as options: the same for `agent run` and `agent review`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

LIMITS = (
    click.option(
        "--minutes", type=click.FloatRange(0, min_open=True), default=30, show_default=True, help="Budget: time."
    ),
    click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Budget: turns."),
    click.option("--tokens", type=click.IntRange(1), help="Budget: tokens of the language model."),
    click.option(
        "--experiment-minutes",
        type=click.FloatRange(0, min_open=True),
        help="The longest that one experiment may take; it is stopped between two chunks of its work.",
    ),
    click.option(
        "--context",
        type=click.IntRange(1000),
        help="How many tokens the language model reads at once; else what its server says when it refuses more.",
    ),
)


def limits(command: Command) -> Command:
    """Gives a command the options of a budget, but for its experiments; it takes them as **limits."""
    for option in reversed(LIMITS):
        command = option(command)
    return command
