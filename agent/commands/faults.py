"""Errors of ours become one line on stderr and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import click


@contextmanager
def one_line() -> Generator[None, None, None]:
    """Around whatever a command does with the tracker, the models or the tasks."""
    from ...tools.faults import OURS
    from ..drivers.conversation import DriverError

    try:
        yield
    except (*OURS, DriverError) as fault:
        from .pages import printable

        click.echo(f"Error: {printable(' '.join(str(fault).split()))}", err=True)
        raise click.exceptions.Exit(2) from fault
