"""What every reader of the tracker shares: rows as records, with ids that people can say.

A record's own fields are the columns that it is read from, and the type of a field says how its column is read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

from ..errors import SQLITE_ERRORS, explained
from ..ids import TABLES, no_such_id, show_id
from ..locks import is_alive
from ..records import Doubt, Json
from ..write.pending import file_of

T = TypeVar("T")
# A row by its columns: what a record is made of, and nothing that leaves this folder.
Row = dict[str, Any]
Way = Callable[[Any], Any]

# Fields that are ids, and of what.
_IDS = {"run": "run", "reviews": "run", "parent": "run", "revises": "hypothesis", "experiment": "experiment"}


def _doubts(text: str) -> list[Doubt]:
    return [Doubt(**one) for one in json.loads(text)]


# How a column is read, by the type of its field; any other is taken as it is.
_WAYS: dict[object, Way] = {
    Json: json.loads, Sequence[Json]: json.loads, Sequence[str]: json.loads, Sequence[Doubt]: _doubts, bool: bool,
}  # fmt: skip


@cache
def ways(record: Any, columns: tuple[str, ...], what: str | None) -> list[tuple[int, Way]]:
    """How each column becomes a field, by its place, where it is not taken as it is; `what` is whose id `id` is."""
    found: list[tuple[int, Way]] = []
    for place, name in enumerate(columns):
        hint: Any = record.__annotations__[name]
        # That it may be None says nothing of how it is read.
        of_type = get_args(hint)[0] if isinstance(hint, UnionType) else hint
        of = what if name == "id" else _IDS.get(name)
        if of is not None and of_type is str:
            found.append((place, partial(show_id, of)))
        elif (way := _WAYS.get(of_type)) is not None:
            found.append((place, way))
    return found


class Reading:
    """An open connection that can only read, and what each method of a reader is made of."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def _values(self, sql: str, *values: Any) -> list[Any]:
        """What a query of one column gives, as it is in the file."""
        return [row[0] for row in self._tuples(sql, values)]

    def _tuples(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except SQLITE_ERRORS as error:
            raise explained(error, self.path) from error

    def _rows(
        self, record: Any, columns: tuple[str, ...], source: str, values: Sequence[Any], what: str | None,
        shown: Mapping[str, str],
    ) -> Iterator[list[Any]]:  # fmt: skip
        """These columns, which are fields of a record, as they are read; `shown` says in SQL what is no column."""
        told = ", ".join(f"{shown[name]} AS {name}" if name in shown else name for name in columns)
        changes = ways(record, columns, what)
        status = columns.index("status") if what in ("run", "experiment") and "status" in columns else None
        for row in self._tuples(f"SELECT {told} {source}", values):
            read = list(row)
            for place, way in changes:
                if (value := read[place]) is not None:
                    read[place] = way(value)
            if status is not None and read[status] == "running":
                read = list(self._now(dict(zip(columns, read, strict=True)), what).values())
            yield read

    def _records(
        self, record: Callable[..., T], source: str, *values: Any, what: str | None = None, **shown: str
    ) -> list[T]:
        """The records of a query: "FROM notes WHERE ..." gives its columns by the names of the record's fields."""
        return [record(*row) for row in self._rows(record, fields(record), source, values, what, shown)]

    def _row(self, record: Any, columns: tuple[str, ...], what: str, number: int, **shown: str) -> Row:
        """These fields of the record with this number. Raises NoSuchId."""
        for row in self._rows(record, columns, f"FROM {TABLES[what]} WHERE id = ?", [number], what, shown):
            return dict(zip(columns, row, strict=True))
        raise no_such_id(self._connection, what, number)

    def _now(self, row: Row, what: str | None) -> Row:
        """The same with the status that is true by now."""
        if row.get("status") == "running" and not is_alive(self.path, row.get("run") or row["id"]):
            row["status"] = "stopped" if what == "run" else "interrupted"
            if what == "experiment" and (file := file_of(self.path, row["id"])).exists():
                row["error"] = f"How it ended is in {file.name}; the next command that writes this tracker takes it in."
        return row

    def stream(self, sql: str, *values: Any) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Columns, and rows as they are in the file, read as they are asked for."""
        try:
            cursor = self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        return [column[0] for column in cursor.description], cursor

    def require(self, what: str, number: int) -> None:
        """Raises NoSuchId unless the row is there."""
        if not self._values(f"SELECT 1 FROM {TABLES[what]} WHERE id = ?", number):
            raise no_such_id(self._connection, what, number)

    def run_of(self, what: str, number: int) -> str | None:
        """The run that an experiment, a note or a hypothesis belongs to; None where it belongs to none."""
        self.require(what, number)
        run = self._values(f"SELECT run FROM {TABLES[what]} WHERE id = ?", number)[0]
        return None if run is None else show_id("run", run)


def fields(record: Any) -> tuple[str, ...]:
    """The names of a record's fields, in order."""
    return record._fields


def every(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "1"
