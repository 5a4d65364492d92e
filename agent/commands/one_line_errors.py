"""Lashley's own errors become one line on stderr and an exit code; anything else is a bug and keeps its traceback.

Exit code 2: the user can fix the command. Exit code 1: the command fails however it is written: a language model's
server, a disk, a file that is locked or damaged. Nothing is imported until something goes wrong.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click


@contextmanager
def one_line() -> Generator[None, None, None]:
    """Wrap everything that a command does with the tracker, the models or the tasks."""
    try:
        yield
    except click.exceptions.Exit:
        raise
    except Exception as fault:
        from ...db.errors import TrackerError

        # Reading the tracker must not wait for imports of errors that only other commands raise.
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
    """Wrap the writing of files. Raises CannotWrite when the disk refuses."""
    try:
        yield
    except OSError as error:
        from ...tools.errors import CannotWrite

        raise CannotWrite(target, error, ". Free some space, or choose another place with --to.") from error


def require_parent(target: Path) -> None:
    """Raises a usage error if the folder that would hold this file or folder does not exist."""
    if not target.expanduser().absolute().parent.is_dir():
        raise click.UsageError(
            f"The folder {target.parent} for {target.name} does not exist. Create it, or name another."
        )


def say(fault: Exception) -> NoReturn:
    """Print the one line, and exit with its code."""
    from ...tools.report.plain_text import printable

    click.echo(f"Error: {printable(' '.join(str(fault).split()))}", err=True)
    raise click.exceptions.Exit(1 if fails(fault) else 2) from fault


def fails(fault: Exception) -> bool:
    """Whether the command would fail however it is written."""
    from ...db.errors import TrackerError, TrackerFails

    if isinstance(fault, TrackerError):
        return isinstance(fault, TrackerFails)
    from ...tools.errors import CannotWrite
    from ..drivers.conversation import BadRequest, DriverError, NoKey, WrongKey

    server_fails = isinstance(fault, DriverError) and not isinstance(fault, (NoKey, WrongKey, BadRequest))
    return server_fails or isinstance(fault, CannotWrite)


def damage_behind(fault: Exception) -> Exception | None:
    """The damage in the command's tracker that may have caused an unexpected error, or None. Only the seals reveal a
    byte that was flipped in a text."""
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
