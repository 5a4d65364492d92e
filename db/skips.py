"""The request to stop only the experiment that a run is doing: an empty file next to the tracker, which its process
removes when it takes the request. A file works while the tracker is locked, and leaves no trace in the record: the
experiment's row says that it was stopped."""

from __future__ import annotations

from pathlib import Path

from .errors import TrackerError
from .location import beside


def ask(tracker: Path, run: str) -> None:
    """Ask the process of a run (R3) to stop its experiment. Raises TrackerError if the file cannot be created."""
    file = _file(tracker, run)
    try:
        file.touch()
    except OSError as error:
        raise TrackerError(f"{file} cannot be created ({error.strerror}). Make the folder writable.") from error


def take(tracker: Path, run: str) -> bool:
    """Whether somebody asked; each request is taken once."""
    try:
        _file(tracker, run).unlink()
    except FileNotFoundError:
        return False
    return True


def _file(tracker: Path, run: str) -> Path:
    return beside(tracker, run, "skip")
