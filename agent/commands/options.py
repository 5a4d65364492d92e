"""Options that mean the same in every command."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DB_HELP = "Tracker file; default: LASHLEY_DB, or lashley.db in the current folder."

db_option = click.option("--db", metavar="FILE", help=DB_HELP)


class Amount(click.FloatRange):
    """A finite number within a range. click alone would accept nan and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


def run_number(text: str) -> int:
    """The number of a run's id, such as R3. Raises click.UsageError for the id of anything else."""
    from ...db.ids import parse_id

    what, number = parse_id(text)
    if what != "run":
        raise click.UsageError(f"{text} is not a run. Give the id of a run, such as R1.")
    return number


def study_options(command: Command) -> Command:
    """Give a command that runs a study --db, --reports and --display."""
    options = (
        db_option,
        click.option(
            "--reports", metavar="FOLDER", default="reports", show_default=True, help="Folder for the report."
        ),
        click.option(
            "--display",
            type=click.Choice(["auto", "rich", "plain", "none"]),
            default="auto",
            show_default=True,
            help="Live view: rich (a moving line), plain (lines) or none; auto: rich in a terminal, plain elsewhere.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
