"""A temporary tracker to repeat a run in. It begins in the state of the run's own tracker when the run began.

The rows that others wrote are copied in up to any moment, so that the repeated run sees what the run saw. The rows that
it writes itself get the ids and times of the log, row by row, so a query that returns them gives the same answer. Rows
that a repetition does not write (an interrupted experiment, a resumption of the run) come from the log like others'.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from ...db.location import uri_to_read
from ...db.seals import PARTS
from ...db.write.runs import INTERRUPTED
from ...db.write.store import Store

_OURS = "run IS :run"
_OUR_HYPOTHESES = f"hypothesis IN (SELECT id FROM log.hypotheses WHERE {_OURS})"
_OUR_JUDGEMENTS = f"prediction IN (SELECT id FROM log.predictions WHERE {_OUR_HYPOTHESES})"
_OUR_CIRCUITS = f"experiment IN (SELECT id FROM log.experiments WHERE {_OURS})"
# Which rows of each table the run writes, and the time from which a row was visible. An experiment of another process
# is visible once it has ended.
_TABLES = {
    "runs": ("0", "started"),
    "resumptions": ("0", "created"),
    "told": ("0", "created"),
    "turns": (_OURS, "created"),
    "experiments": (f"{_OURS} AND error_type IS NOT '{INTERRUPTED}'", "coalesce(ended, started)"),
    "circuits": (_OUR_CIRCUITS, "created"),
    "reuses": (_OURS, "created"),
    "notes": (_OURS, "created"),
    "hypotheses": (_OURS, "created"),
    "hypothesis_events": (_OUR_HYPOTHESES, "created"),
    "predictions": (_OUR_HYPOTHESES, "created"),
    "judgements": (_OUR_JUDGEMENTS, "created"),
    "reports": (_OURS, "created"),
    "task_files": (_OURS, "created"),
}
_AS_LOGGED = ("id", "created", "started", "updated")
_LAST = "(SELECT v.{} FROM main.hypothesis_events AS v WHERE v.hypothesis = h.id ORDER BY v.id DESC LIMIT 1)"


class Scratch(Store):
    """Make it with `Scratch.of`; it is a context manager."""

    log: Path
    run: int
    given: str
    begun: int
    """The number of the experiment that began last."""
    _to_come: dict[str, deque[dict[str, Any]]]
    _ended: dict[tuple[str, int], dict[str, Any]]
    _retell: tuple[str, list[str]]
    _until: str

    @classmethod
    def of(cls, log: Path, run: int, given: str, path: Path) -> Self:
        """The tracker at `log` at the time `given`, when the run had only its initial state."""
        scratch = cls.open(path)
        scratch.log, scratch.run, scratch.given, scratch.begun, scratch._until = log, run, given, 0, ""
        scratch._retell = "SELECT 1", []
        # Nothing in it is permanent, so nothing needs to be frozen.
        frozen = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%RAISE%'"
        connection: sqlite3.Connection = scratch._db.conn
        for (name,) in connection.execute(frozen).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        scratch.bring(given)
        ended = "spent = '{}', ended = NULL, error = NULL, error_code = NULL"
        begun = f"UPDATE runs SET status = 'running', {ended} WHERE id = ?"
        connection.execute(begun, [run])
        scratch._hold("run", run)
        return scratch

    def count_as_here(self, codes: Sequence[str], code: str) -> None:
        """Count experiments of these versions of the measuring code as experiments of this version."""
        marks = ", ".join("?" * len(codes))
        self._retell = f"UPDATE experiments SET code_version = ? WHERE code_version IN ({marks})", [code, *codes]
        self._db.conn.execute(*self._retell)

    def bring(self, until: str) -> None:
        """Copy in what others wrote up to this moment."""
        if until <= self._until:
            return
        log = uri_to_read(self.log)
        # Without foreign keys: another run may cite rows of this one that are not written yet.
        with closing(sqlite3.connect(self.path.absolute().as_uri(), uri=True, isolation_level=None)) as connection:
            connection.execute("ATTACH ? AS log", [log])
            connection.execute("BEGIN IMMEDIATE")
            now = {"run": self.run, "until": until, "given": self.given}
            if not self._until:
                self._to_come = {table: _rows_to_come(connection, table, now) for table in _TABLES}
                logged = connection.execute("SELECT ended FROM log.runs WHERE id = :run", now).fetchone()
                self._ended = {("run", self.run): {"ended": logged[0]}}
                for row in self._to_come["experiments"]:
                    self._ended["experiment", row["id"]] = {name: row[name] for name in ("ended", "seconds")}
            for table, (ours, at) in _TABLES.items():
                came = f"{at} <= :until AND ({at} <= :given OR NOT ({ours}))"
                if table == "experiments":
                    connection.execute(
                        f"CREATE TEMP TABLE new AS SELECT id, subject FROM log.experiments WHERE {came} "
                        "AND id NOT IN (SELECT id FROM main.experiments)",
                        now,
                    )
                    _copy(connection, "subjects", "id IN (SELECT subject FROM new)", {})
                    for part in PARTS:
                        _copy(connection, part, "experiment IN (SELECT id FROM new)", {})
                if table == "circuits":
                    new = f"SELECT id FROM log.circuits WHERE {came} AND id NOT IN (SELECT id FROM main.circuits)"
                    _copy(connection, "circuit_edges", f"circuit IN ({new})", now)
                _copy(connection, table, came, now)
            for table in ("environments", "requests"):
                _copy(connection, table, "1", {})
            status = f"status = {_LAST.format('status')}, updated = {_LAST.format('created')}"
            connection.execute(f"UPDATE hypotheses AS h SET {status}")
            connection.execute(*self._retell)
            connection.execute("COMMIT")
        self._until = until

    def find_unfinished(
        self, name: str, config_hash: str, subject_fingerprint: str, task_fingerprint: str | None, code_version: str
    ) -> tuple[int, bytes] | None:
        """None: a replay measures every experiment from the start."""
        return None

    def come(self, table: str) -> bool:
        """Whether the log has rows of this table that the repetition has not written yet."""
        return bool(self._to_come[table])

    def _insert(self, table: str, **row: Any) -> int:
        to_come = self._to_come.get(table)
        if to_come:
            logged = to_come.popleft()
            kept = (*_AS_LOGGED, "seconds", "step") if table == "turns" else _AS_LOGGED
            row |= {name: logged[name] for name in kept if name in logged}
        number = super()._insert(table, **row)
        if table == "experiments":
            self.begun = number
        return number

    def _update(self, what: str, number: int, **changes: Any) -> None:
        super()._update(what, number, **{**changes, **self._when(what, number, changes)})

    def _when(self, what: str, number: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The logged times of a change."""
        if what == "hypothesis" and self.come("hypothesis_events"):
            return {"updated": self._to_come["hypothesis_events"][0]["created"]}
        ended = self._ended.get((what, number), {})
        return {name: value for name, value in ended.items() if name in changes}


def _rows_to_come(connection: sqlite3.Connection, table: str, now: Mapping[str, str | int]) -> deque[dict[str, Any]]:
    """The rows that the run will write, in order."""
    ours, at = _TABLES[table]
    cursor = connection.execute(f"SELECT * FROM log.{table} WHERE {ours} AND {at} > :given ORDER BY {at}, rowid", now)
    names = [column[0] for column in cursor.description]
    return deque(dict(zip(names, row, strict=True)) for row in cursor)


def _copy(connection: sqlite3.Connection, table: str, which: str, values: Mapping[str, str | int]) -> None:
    """Copy the rows of the log that are not here yet."""
    names = ", ".join(f'"{name}"' for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table]))
    connection.execute(
        f"INSERT OR IGNORE INTO main.{table} ({names}) SELECT {names} FROM log.{table} WHERE {which}", values
    )
