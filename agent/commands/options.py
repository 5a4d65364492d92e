"""Options that mean the same for every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DB_HELP = "The tracker; else LASHLEY_DB, else lashley.db here."

db_option = click.option("--db", metavar="FILE", help=DB_HELP)


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
