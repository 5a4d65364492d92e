"""Options that mean the same for every command that has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DB_HELP = "The tracker; else LASHLEY_DB, else lashley.db here."

db_option = click.option("--db", metavar="FILE", help=DB_HELP)


class Amount(click.FloatRange):
    """A number within a range. Nan passes every comparison and infinity is never reached, so neither is taken."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


def study_options(command: Command) -> Command:
    """Gives a command that runs a study --db, --reports and --display."""
    options = (
        db_option,
        click.option(
            "--reports", metavar="FOLDER", default="reports", show_default=True, help="Where the report goes."
        ),
        click.option(
            "--display",
            type=click.Choice(["auto", "rich", "plain", "none"]),
            default="auto",
            show_default=True,
            help="How to watch: a moving line in a terminal and plain lines elsewhere, one of the two, or nothing.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
