"""What every reader of the tracker shares: rows as plain dictionaries, with ids that people can say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .alive import is_alive
from .errors import SQLITE_ERRORS, explained
from .ids import TABLES, no_such_id, show_id
from .pending import file_of

Row = dict[str, Any]

_JSON = {"anatomy", "budget", "claims", "config", "content", "data", "doubts", "experiments", "note_codes", "notes",
         "spent", "tags"}  # fmt: skip
_YES_OR_NO = {"correct", "changed_correct"}


class Reading:
    """An open connection that can only read, and what each method of a reader is made of."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        try:
            cursor = self._connection.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except SQLITE_ERRORS as error:
            raise explained(error, self.path) from error

    def stream(self, sql: str, *values: Any) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Columns, and rows as they are in the file, read as they are asked for."""
        try:
            cursor = self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        return [column[0] for column in cursor.description], cursor

    def _one(self, what: str, number: int, sql: str) -> Row:
        rows = self._rows(sql, number)
        if not rows:
            raise no_such_id(self._connection, what, number)
        return self._told(rows[0], what)

    def _told(self, row: Row, what: str) -> Row:
        """A parsed row with its ids, and the status that is true by now."""
        row = spoken(row, what)
        if row.get("status") == "running" and not is_alive(self.path, row.get("run") or row["id"]):
            row["status"] = "stopped" if what == "run" else "interrupted"
            if what == "experiment" and (file := file_of(self.path, row["id"])).exists():
                row["error"] = f"How it ended is in {file.name}; the next command that writes this tracker takes it in."
        return row

    def require(self, what: str, number: int) -> None:
        """Raises NoSuchId unless the row is there."""
        self._one(what, number, f"SELECT id FROM {TABLES[what]} WHERE id = ?")

    def run_of(self, what: str, number: int) -> str | None:
        """The run that an experiment, a note or a hypothesis belongs to; None where it belongs to none."""
        return self._one(what, number, f"SELECT id, run FROM {TABLES[what]} WHERE id = ?")["run"]


def every(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "1"


def parsed(row: Row) -> Row:
    """A row with its JSON read and its truth values as such."""
    for column, value in row.items():
        if column in _JSON and isinstance(value, str):
            row[column] = json.loads(value)
        elif column in _YES_OR_NO and value is not None:
            row[column] = bool(value)
    return row


def spoken(row: Row, what: str) -> Row:
    """A parsed row whose own number, and its run's, are ids."""
    row["id"] = show_id(what, row["id"])
    for of in ("run", "reviews", "parent"):
        if row.get(of) is not None:
            row[of] = show_id("run", row[of])
    return parsed(row)
