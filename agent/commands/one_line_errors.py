"""Errors of ours become one line on stderr and an exit code; anything else is a bug and keeps its traceback.

2 is for what the user can mend by asking otherwise; 1 for what fails whatever is asked: a language model's server, a
disk, a file that is locked or damaged. Nothing is imported before something has gone wrong.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click


@contextmanager
def one_line() -> Generator[None, None, None]:
    """Around whatever a command does with the tracker, the models or the tasks."""
    try:
        yield
    except click.exceptions.Exit:
        raise
    except Exception as fault:
        from ...db.errors import TrackerError

        # Reading must not wait for all that only other commands can raise.
        if isinstance(fault, TrackerError):
            say(fault)
        from ...tools.own_errors import OURS
        from ..drivers.conversation import DriverError

        if isinstance(fault, (*OURS, DriverError)):
            say(fault)
        if (damage := damage_behind(fault)) is not None:
            say(damage)
        raise


@contextmanager
def writing(target: Path) -> Generator[None, None, None]:
    """Around the writing of files that were asked for. Raises CannotWrite for what the disk refuses."""
    try:
        yield
    except OSError as error:
        from ...tools.errors import CannotWrite

        raise CannotWrite(target, error, ". Make room, or name another place with --to.") from error


def require_parent(target: Path) -> None:
    """Raises a usage error where the folder is not there that is to hold this file or folder."""
    if not target.expanduser().absolute().parent.is_dir():
        raise click.UsageError(
            f"There is no folder {target.parent} to keep {target.name} in. Make it, or name another."
        )


def say(fault: Exception) -> NoReturn:
    """The one line, and the exit code that goes with it."""
    from ...tools.report.plain_text import printable

    click.echo(f"Error: {printable(' '.join(str(fault).split()))}", err=True)
    raise click.exceptions.Exit(1 if fails(fault) else 2) from fault


def fails(fault: Exception) -> bool:
    """Whether it would fail again, however it was asked."""
    from ...db.errors import TrackerError, TrackerFails

    if isinstance(fault, TrackerError):
        return isinstance(fault, TrackerFails)
    from ...tools.errors import CannotWrite
    from ..drivers.conversation import BadRequest, DriverError, NoKey, WrongKey

    server_fails = isinstance(fault, DriverError) and not isinstance(fault, (NoKey, WrongKey, BadRequest))
    return server_fails or isinstance(fault, CannotWrite)


def damage_behind(fault: Exception) -> Exception | None:
    """The fault of the command's tracker that an error which nobody foresaw comes from, if the file is damaged: a byte
    that was flipped in a text is found by its seal alone."""
    from ...db.errors import TrackerError, damaged
    from ...db.location import tracker_path
    from ...tools.workbench.verify import verify_whole

    context = click.get_current_context(silent=True)
    path = tracker_path(context.params["db"]) if context is not None and "db" in context.params else None
    if path is None or not path.is_file() or isinstance(fault, click.ClickException):
        return None
    try:
        found = verify_whole(path).differences
    except TrackerError as worse:
        return worse
    return damaged(path, found[0]) if found else None
