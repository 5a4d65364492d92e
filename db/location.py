"""Where the tracker lies, and how its file is opened for reading without a chance of changing it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from .errors import NotATracker, TrackerError, explained


def tracker_path(explicit: str | os.PathLike[str] | None = None) -> Path:
    """The path given with --db, else LASHLEY_DB, else lashley.db in the current folder."""
    return Path(explicit or os.environ.get("LASHLEY_DB") or "lashley.db").expanduser()


def check_is_file(path: Path) -> None:
    """Raises TrackerError unless a tracker could lie at `path`: a file there, or a folder to hold one."""
    if path.is_dir():
        raise NotATracker(path, "it is a folder")
    if path.exists() and not path.is_file():
        raise NotATracker(path, "it is not a regular file")
    # SQLite takes a file of a few bytes for an empty one, and would write over it.
    if path.exists() and 0 < path.stat().st_size < 512:
        raise NotATracker(path, "it is not an SQLite file")
    if not path.parent.is_dir():
        raise TrackerError(f"There is no folder {path.parent} to keep {path.name} in. Make it, or use --db.")


def connect_read_only(path: Path, wait: float = 10.0, *, glance: bool = False) -> sqlite3.Connection:
    """A connection that can only read; waits up to `wait` seconds for a lock. Raises TrackerError.

    A `glance` is over before anybody can write, and leaves nothing beside the file, where every other reader
    of a WAL database leaves its -wal and -shm.
    """
    return _readable(path, wait, glance)[0]


def uri_to_read(path: Path, wait: float = 10.0) -> str:
    """The URI by which the file can be read, for ATTACH. Raises TrackerError."""
    connection, uri = _readable(path, wait, False)
    connection.close()
    return uri


def _readable(path: Path, wait: float, glance: bool) -> tuple[sqlite3.Connection, str]:
    # as_uri quotes what a URI would read as its own: ?, # and %.
    uri = path.absolute().as_uri() + "?mode=ro"
    alone = uri + "&immutable=1"
    log = path.with_name(path.name + "-wal")
    try:
        if glance and not log.exists():
            return _connected(alone, wait), alone
        try:
            return _connected(uri, wait), uri
        except sqlite3.OperationalError as error:
            # A WAL database cannot be read in a folder where its shared-memory file cannot be made. With no
            # log beside it nobody is writing, and the file alone is the whole truth.
            refused = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            if not refused or log.exists():
                raise
            return _connected(alone, wait), alone
    except sqlite3.Error as error:
        raise explained(error, path) from error


def _connected(uri: str, wait: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=wait)
    try:
        # SQLite opens the file only when it is asked for something in it.
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
