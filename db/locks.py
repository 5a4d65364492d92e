"""Which runs are still running: the process that writes a run holds a lock on a small file next to the tracker.

The operating system releases the lock when the process ends, however it ends. So a killed study is recognised at once,
and the status is right in a tracker that was copied to another machine. Process ids would not do: they are reused.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from .errors import TrackerError
from .location import beside


class Hold:
    """A lock that marks `id` (R1, or E12 for an experiment by hand) as running. Ends with the process."""

    def __init__(self, tracker: Path, id: str) -> None:
        """Raises TrackerError if the file cannot be created or locked."""
        self._path = _lock_file(tracker, id)
        try:
            self._file: BinaryIO = self._path.open("ab")
            # A reader that checks the lock holds it for a moment.
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise TrackerError(
                f"{self._path} cannot be locked ({error.strerror}). Use --db to choose a place that allows locks."
            ) from error

    def release(self) -> None:
        """Release the lock."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def is_alive(tracker: Path, id: str) -> bool:
    """Whether a process is writing `id` now."""
    try:
        file = _lock_file(tracker, id).open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock_file(tracker: Path, id: str) -> Path:
    return beside(tracker, id, "lock")
