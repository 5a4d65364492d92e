"""The tracker, open for writing: every method is one short transaction, so a crash leaves a consistent file.

Each transaction seals what it writes. The writers of runs, experiments and thoughts define the methods; this file opens
and closes a tracker.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlite_utils import Database

from .. import schema
from ..errors import TrackerError, TrackerFails
from ..location import check_is_file
from . import rows
from .experiments import ExperimentWriter
from .rows import explaining
from .runs import RunWriter
from .thoughts import ThoughtWriter


class Store(RunWriter, ExperimentWriter, ThoughtWriter):
    """The tracker, open for writing. Create it with `Store.open`; it is a context manager."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, wait: float | None = None) -> Self:
        """Open or create the tracker at `path`, migrate its schema, and add results that wait in files next to it.

        `wait` is how many seconds a write waits for another process. Raises TrackerError; a file that is not a tracker,
        or has a newer schema, is not changed.
        """
        path, wait = Path(path), rows.WAIT if wait is None else wait
        if sqlite3.sqlite_version_info < (3, 37):
            raise TrackerError(f"SQLite {sqlite3.sqlite_version} is too old: the tracker needs 3.37 or newer.")
        check_is_file(path)
        if path.exists():
            if not os.access(path, os.W_OK):
                raise TrackerFails(f"{path} cannot be written. Check its permissions, or use --db.")
            schema.version_at(path)
        with explaining(path):
            connection = sqlite3.connect(path, timeout=wait, isolation_level=None)
        try:
            with explaining(path):
                _write_ahead(connection, wait)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                db = Database(connection, strict=True)
                version = schema.version_of(connection, path)
            store = cls(path, db, wait)
            if version < schema.VERSION:
                with store._transaction():
                    schema.migrate(db, path)
            store.take_in()
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        for id in list(self._holds):
            self._let_go(id)
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _write_ahead(connection: sqlite3.Connection, wait: float) -> None:
    """Switch to WAL mode, in which readers never wait for the writer. The switch ignores the busy timeout, so two
    processes that create the file together would fail: hence the loop."""
    deadline = time.monotonic() + wait
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
