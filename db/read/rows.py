"""What all readers of the tracker share: rows as records with short ids.

The fields of a record are its columns, and the type of a field determines how its column is read.
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
# A row by its columns, from which a record is made. It never leaves this folder.
Row = dict[str, Any]
Way = Callable[[Any], Any]

# Fields that are ids, and what they refer to.
_IDS = {"run": "run", "reviews": "run", "parent": "run", "revises": "hypothesis", "experiment": "experiment"}


def _doubts(text: str) -> list[Doubt]:
    return [Doubt(**one) for one in json.loads(text)]


# How to read a column, by the type of its field; other types are used as they are.
_WAYS: dict[object, Way] = {
    Json: json.loads, Sequence[Json]: json.loads, Sequence[str]: json.loads, Sequence[Doubt]: _doubts, bool: bool,
}  # fmt: skip


@cache
def ways(record: Any, columns: tuple[str, ...], what: str | None) -> list[tuple[int, Way]]:
    """The conversions of columns that are not used as they are, by position; `what` is the kind of record of `id`."""
    found: list[tuple[int, Way]] = []
    for place, name in enumerate(columns):
        hint: Any = record.__annotations__[name]
        # "| None" does not change how a column is read.
        of_type = get_args(hint)[0] if isinstance(hint, UnionType) else hint
        of = what if name == "id" else _IDS.get(name)
        if of is not None and of_type is str:
            found.append((place, partial(show_id, of)))
        elif (way := _WAYS.get(of_type)) is not None:
            found.append((place, way))
    return found


class Reading:
    """An open read-only connection, and the building blocks of the readers' methods."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def _values(self, sql: str, *values: Any) -> list[Any]:
        """The values of a query with one column, as they are in the file."""
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
        """These fields of a record, converted; `shown` gives SQL for fields that are not columns."""
        selected = ", ".join(f"{shown[name]} AS {name}" if name in shown else name for name in columns)
        changes = ways(record, columns, what)
        status = columns.index("status") if what in ("run", "experiment") and "status" in columns else None
        for row in self._tuples(f"SELECT {selected} {source}", values):
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
        """The records of a query without its columns, such as "FROM notes WHERE ..."; the record's fields name them."""
        return [record(*row) for row in self._rows(record, fields(record), source, values, what, shown)]

    def _row(self, record: Any, columns: tuple[str, ...], what: str, number: int, **shown: str) -> Row:
        """These fields of the record with this number. Raises NoSuchId."""
        for row in self._rows(record, columns, f"FROM {TABLES[what]} WHERE id = ?", [number], what, shown):
            return dict(zip(columns, row, strict=True))
        raise no_such_id(self._connection, what, number)

    def _now(self, row: Row, what: str | None) -> Row:
        """The row with its current status."""
        if row.get("status") == "running" and not is_alive(self.path, row.get("run") or row["id"]):
            row["status"] = "stopped" if what == "run" else "interrupted"
            if what == "experiment" and (file := file_of(self.path, row["id"])).exists():
                row["error"] = f"Its result is in {file.name}; the next command that writes to this tracker adds it."
        return row

    def stream(self, sql: str, *values: Any) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Columns, and an iterator over rows as they are in the file."""
        try:
            cursor = self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        return [column[0] for column in cursor.description], cursor

    def require(self, what: str, number: int) -> None:
        """Raises NoSuchId unless the row exists."""
        if not self._values(f"SELECT 1 FROM {TABLES[what]} WHERE id = ?", number):
            raise no_such_id(self._connection, what, number)

    def run_of(self, what: str, number: int) -> str | None:
        """The run of an experiment, note or hypothesis; None if it has none."""
        self.require(what, number)
        run = self._values(f"SELECT run FROM {TABLES[what]} WHERE id = ?", number)[0]
        return None if run is None else show_id("run", run)


def fields(record: Any) -> tuple[str, ...]:
    """The names of a record's fields, in order."""
    return record._fields


def every(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "1"
