"""Where the tracker is, and how to open its file so that it cannot be changed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from .errors import NotATracker, TrackerError, explained


def tracker_path(explicit: str | os.PathLike[str] | None = None) -> Path:
    """The path: --db, or LASHLEY_DB, or lashley.db in the current folder."""
    return Path(explicit or os.environ.get("LASHLEY_DB") or "lashley.db").expanduser()


def check_is_file(path: Path) -> None:
    """Raises TrackerError unless `path` can be a tracker: an existing file, or a new one in an existing folder."""
    if path.is_dir():
        raise NotATracker(path, "it is a folder")
    if path.exists() and not path.is_file():
        raise NotATracker(path, "it is not a regular file")
    # SQLite treats a file of a few bytes as empty, and would overwrite it.
    if path.exists() and 0 < path.stat().st_size < 512:
        raise NotATracker(path, "it is not an SQLite file")
    if not path.parent.is_dir():
        raise TrackerError(f"The folder {path.parent} for {path.name} does not exist. Create it, or use --db.")


def connect_read_only(path: Path, wait: float = 10.0, *, glance: bool = False) -> sqlite3.Connection:
    """A read-only connection; waits up to `wait` seconds for a lock. Raises TrackerError.

    A `glance` reads the file as if nobody could write to it, and creates no files; other readers of a WAL database
    create its -wal and -shm files.
    """
    return _readable(path, wait, glance)[0]


def uri_to_read(path: Path, wait: float = 10.0) -> str:
    """A read-only URI of the file, for ATTACH. Raises TrackerError."""
    connection, uri = _readable(path, wait, False)
    connection.close()
    return uri


def _readable(path: Path, wait: float, glance: bool) -> tuple[sqlite3.Connection, str]:
    # as_uri quotes characters with a meaning in URIs: ?, # and %.
    uri = path.absolute().as_uri() + "?mode=ro"
    alone = uri + "&immutable=1"
    log = path.with_name(path.name + "-wal")
    try:
        if glance and not log.exists():
            return _connected(alone, wait), alone
        try:
            return _connected(uri, wait), uri
        except sqlite3.OperationalError as error:
            # A WAL database cannot be read in a folder where its shared-memory file cannot be created. Without a log
            # file next to it, nobody is writing, and the file alone is complete.
            refused = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            if not refused or log.exists():
                raise
            return _connected(alone, wait), alone
    except sqlite3.Error as error:
        raise explained(error, path) from error


def _connected(uri: str, wait: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=wait)
    try:
        # SQLite opens the file only at the first query.
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def beside(tracker: Path, id: str, what: str) -> Path:
    """The file next to a tracker that belongs to a run or an experiment: lashley.db-R3.lock."""
    tracker = tracker.resolve()
    return tracker.with_name(f"{tracker.name}-{id}.{what}")
