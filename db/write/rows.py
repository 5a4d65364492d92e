"""What all writers of the tracker share: short transactions that also seal their rows, and locks that mark what is
running.

Several processes may write to one file. Each transaction takes the write lock at its start (BEGIN IMMEDIATE), because
SQLite refuses a reader that becomes a writer later at once, whatever the timeout.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from ..errors import SQLITE_ERRORS, TrackerError, TrackerFails, explained, is_locked
from ..ids import TABLES, no_such_id, show_id
from ..locks import Hold
from ..seals import Seals

# Seconds that a write waits for another process, and between checks for Ctrl-C.
WAIT, LOOKS_UP = 30.0, 0.5


class Writing:
    """An open connection that writes, and the building blocks of the writers' methods.

    `waits` is called with a line of text when a write waits for a long lock. If it is given, a process in the middle of
    a run or an experiment waits as long as needed; otherwise a write fails after `wait` seconds.
    """

    def __init__(self, path: Path, db: Database, wait: float = WAIT) -> None:
        self.path = path
        self.waits: Callable[[str], None] | None = None
        self._wait = wait
        self._db = db
        self._seals = Seals(db.conn)
        self._holds: dict[str, Hold] = {}

    @contextmanager
    def _transaction(self, late: Callable[[], str] | None = None) -> Generator[None, None, None]:
        """`late` is called once if the lock lasts long, and returns what was done about it."""
        with explaining(self.path):
            self._begin(late)
            try:
                yield
                self._db.conn.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise

    def _begin(self, late: Callable[[], str] | None) -> None:
        """BEGIN IMMEDIATE as soon as no other process writes. Ctrl-C cannot interrupt SQLite's own wait, so this waits
        for short periods."""
        conn, ends, said = self._db.conn, time.monotonic() + self._wait, False
        most = int(1000 * self._wait)
        conn.execute(f"PRAGMA busy_timeout = {min(most, int(1000 * LOOKS_UP))}")
        try:
            while True:
                try:
                    conn.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError as error:
                    if not is_locked(error):
                        raise
                    if time.monotonic() < ends or said:
                        continue
                    done = "" if late is None else f" {late()}"
                    if self.waits is None or not self._holds:
                        if done:
                            raise TrackerFails(
                                f"{self.path} is locked: another process is writing to it.{done}"
                            ) from error
                        raise
                    self.waits(f"{self.path} is locked: another process is writing to it. Waiting until it ends.{done}")
                    said = True
        finally:
            conn.execute(f"PRAGMA busy_timeout = {most}")
        if said and self.waits is not None:
            self.waits(f"{self.path} is free again.")

    def _hold(self, what: str, number: int) -> None:
        """Take the lock in the transaction that creates the row, so that nobody sees it running without a lock."""
        id = show_id(what, number)
        self._holds[id] = Hold(self.path, id)

    def _let_go(self, id: str) -> None:
        if id in self._holds:
            self._holds.pop(id).release()

    def _insert(self, table: str, **row: Any) -> int:
        rowid = int(self._db.table(table).insert(stored(row)).last_rowid or 0)
        self._seals.inserted(table, rowid)
        return rowid

    def _update(self, what: str, number: int, **changes: Any) -> None:
        self._require(what, number)
        self._db.table(TABLES[what]).update(number, stored(changes))  # pyright: ignore[reportUnknownMemberType]

    def _require(self, what: str, number: int | None) -> None:
        """Raises NoSuchId unless the row exists; accepts None."""
        found = f"SELECT 1 FROM {TABLES[what]} WHERE id = ?"
        if number is not None and self._db.conn.execute(found, [number]).fetchone() is None:
            raise no_such_id(self._db.conn, what, number)

    def _cited(self, experiments: Sequence[int]) -> str:
        for experiment in experiments:
            self._require("experiment", experiment)
        return as_json([show_id("experiment", experiment) for experiment in experiments])

    def _environment(self, environment: Mapping[str, Any]) -> str:
        content = as_json(environment, sort=True)
        row = {"hash": hashlib.sha256(content.encode()).hexdigest(), "content": content}
        known = self._db.conn.execute("SELECT 1 FROM environments WHERE hash = ?", [row["hash"]]).fetchone()
        if known is None:
            self._insert("environments", **row)
        return row["hash"]

    def _request(self, request: Mapping[str, Any] | None) -> str | None:
        if request is None:
            return None
        content = as_json(request)
        row = {"hash": hashlib.sha256(content.encode()).hexdigest(), "content": content}
        if self._db.conn.execute("SELECT 1 FROM requests WHERE hash = ?", [row["hash"]]).fetchone() is None:
            self._insert("requests", **row)
        return row["hash"]


@contextmanager
def explaining(path: Path) -> Generator[None, None, None]:
    """Convert SQLite's errors to TrackerErrors that name the file."""
    try:
        yield
    except SQLITE_ERRORS as error:
        raise explained(error, path) from error
    except OverflowError as error:
        raise TrackerError(f"{path} cannot store an integer of more than 64 bits.") from error


def check_status(status: str, known: Sequence[str]) -> None:
    if status not in known:
        raise TrackerError(f"There is no status '{status}'. Known: {', '.join(known)}.")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_json(value: Any, *, sort: bool = False) -> str:
    """JSON that SQLite and every other reader accepts: no NaN, no infinity, text not escaped."""
    try:
        return _text(json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=sort))
    except ValueError as error:
        raise TrackerError(f"This cannot be recorded: {error}.") from error


def _text(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot encode but a model's JSON may contain."""
    return text.encode("utf-8", "replace").decode()


def stored(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: _text(value) if isinstance(value, str) else value for column, value in row.items()}
