"""Which runs are still being written: the process that writes one holds a lock on a small file beside the tracker.

The system lets go of the lock when the process ends, however it ends. So a study that was killed is known at once,
and a tracker that was copied to another machine tells the truth there. A process id would come to mean another
process one day.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from .errors import TrackerError


class Hold:
    """A lock that says `id` (R1, or E12 for an experiment by hand) is being written. Ends with the process."""

    def __init__(self, tracker: Path, id: str) -> None:
        """Raises TrackerError where the file cannot be made or locked."""
        self._path = _lock_file(tracker, id)
        try:
            self._file: BinaryIO = self._path.open("ab")
            # A reader that is just looking holds it for a moment.
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise TrackerError(
                f"{self._path} cannot be locked ({error.strerror}). Keep the tracker where files can be locked: --db."
            ) from error

    def release(self) -> None:
        """It is written no more."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def is_alive(tracker: Path, id: str) -> bool:
    """Whether some process is writing `id` now."""
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
    tracker = tracker.resolve()
    return tracker.with_name(f"{tracker.name}-{id}.lock")
