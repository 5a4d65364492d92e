"""Seals: they reveal later changes of recorded rows.

The transaction that writes a record also seals it: the SHA-256 of the row, with everything that belongs to it, goes
into the table `seals`. The seals of each run form a chain, so changing, removing, inserting or moving a record breaks
it. Somebody who changes the file can recompute the chain; therefore every report contains the chain's last value.

A new sort of record needs one more line in `SORTS`, and, if it is sealed at its end, a call of `Seals.add`. A column
counts only if one of its values is not the default, so a column that a later version adds breaks no old seal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .ids import LETTERS, show_id


@dataclass(frozen=True)
class Sort:
    """How one sort of record is sealed. `run` and `key` are SQL for the run of a row, whose chain gets the seal, and
    for the number that identifies the row in that run."""

    table: str
    run: str = "run"
    key: str = "id"
    at_end: bool = False
    """Seal it when its status is no longer running, not when it is inserted."""
    changing: frozenset[str] = frozenset()
    """Columns that change later; another seal, or `_disagreements`, covers them."""
    parts: tuple[str, ...] = ()
    """Tables whose rows belong to it through their column `experiment`."""


# Migration 003 made triggers for these, so they never change.
PARTS = ("measurements", "effects", "samples", "figures", "artifacts")
# The tables that came later, and the SQL for the rows of an experiment. They count only if there are rows, so they
# break no older seal.
LATER_PARTS = {
    "circuits": "experiment = ? ORDER BY id",
    "circuit_edges": "circuit IN (SELECT id FROM circuits WHERE experiment = ?) ORDER BY circuit, sender, receiver",
}
SORTS = {
    "run begun": Sort("runs", run="id", changing=frozenset({"status", "spent", "ended", "error", "error_code"})),
    "run": Sort("runs", run="id", at_end=True),
    "resumption": Sort("resumptions"),
    "turn": Sort("turns"),
    "words": Sort("told"),
    "experiment begun": Sort(
        "experiments",
        changing=frozenset(
            {"status", "error_type", "error", "found", "notes", "note_codes", "doubts", "ended", "seconds"}
        ),
    ),
    "experiment": Sort("experiments", at_end=True, parts=PARTS),
    "reuse": Sort("reuses", key="experiment"),
    "question": Sort("questions"),
    "note": Sort("notes"),
    "hypothesis": Sort("hypotheses", changing=frozenset({"status", "updated"})),
    "hypothesis event": Sort("hypothesis_events", run="(SELECT h.run FROM hypotheses AS h WHERE h.id = hypothesis)"),
    "prediction": Sort("predictions", run="(SELECT h.run FROM hypotheses AS h WHERE h.id = hypothesis)"),
    "judgement": Sort(
        "judgements",
        key="prediction",
        run="(SELECT h.run FROM hypotheses AS h JOIN predictions AS p ON p.hypothesis = h.id WHERE p.id = prediction)",
    ),
    "report": Sort("reports"),
    "task file": Sort("task_files", run="NULL"),
    "older": Sort("older_rows", run="NULL"),
}
# Rows that several records refer to: each of them seals these rows as its own.
_SHARED = {"subject": ("subjects", "id"), "environment": ("environments", "hash"), "request": ("requests", "hash")}
# The sha256 of an artifact covers its bytes.
_ELSEWHERE = {"artifacts": frozenset({"data"})}


@dataclass(frozen=True)
class Checked:
    """The result of a check: differences, one line each; the number of valid seals and artifacts; the number of rows
    older than seals; and the names of sealed records that are missing."""

    differences: tuple[str, ...]
    seals: int
    artifacts: int
    older: int
    gone: tuple[str, ...] = ()


class Seals:
    """The seals of one file. Adding needs a connection in a transaction; everything else only reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._columns: dict[str, list[tuple[str, Any]]] = {}

    def inserted(self, table: str, rowid: int) -> None:
        """Seal a new row of `table`, if its sort is sealed when it is inserted."""
        for what, sort in SORTS.items():
            if sort.table == table and not sort.at_end:
                self.add(what, rowid)

    def add(self, what: str, rowid: int) -> None:
        """Seal the record as it is in the file now."""
        sort = SORTS[what]
        row, run = self._one(f"SELECT {sort.key}, {sort.run} FROM {sort.table} WHERE rowid = ?", rowid)
        sha256 = self.digest(what, run, row)
        assert sha256 is not None
        before = self._one("SELECT chain FROM seals WHERE run IS ? ORDER BY id DESC LIMIT 1", run)
        self._connection.execute(
            "INSERT INTO seals (run, what, row, sha256, chain) VALUES (?, ?, ?, ?, ?)",
            [run, what, row, sha256, linked(before[0] if before else "", sha256)],
        )

    def digest(self, what: str, run: int | None, row: int) -> str | None:
        """The SHA-256 of a record with everything that belongs to it, or None if it does not exist."""
        sort = SORTS[what]
        own = self._filled_columns(sort.table, f"{sort.key} = ? AND {sort.run} IS ?", row, run, but=sort.changing)
        if not own:
            return None
        parts: dict[str, Any] = {"what": what, sort.table: own}
        for column, (table, key) in _SHARED.items():
            if column in own:
                parts[table] = self._filled_columns(table, f"{key} = ?", own[column][0])
        for table in sort.parts:
            parts[table] = self._filled_columns(
                table, "experiment = ? ORDER BY id", row, but=_ELSEWHERE.get(table, frozenset())
            )
        for table, where in LATER_PARTS.items() if sort.parts else ():
            if later := self._filled_columns(table, where, row):
                parts[table] = later
        # Floats by repr, which is exact; ASCII, so that invalid UTF-8 also has a form.
        return _sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")))

    def of_report(self, run: int) -> str | None:
        """The chain's value for a report: at the end of its run, or at its latest report, or now. None if the run is
        older than seals."""
        found = self._one(
            "SELECT chain FROM seals WHERE run = ? ORDER BY what = 'run' DESC, what = 'report' DESC, id DESC LIMIT 1",
            run,
        )
        return found[0] if found else None

    def holds(self, run: int, chain: str) -> bool:
        """Whether the run's chain ever had this value."""
        return self._one("SELECT 1 FROM seals WHERE run = ? AND chain = ?", run, chain) is not None

    def runs(self) -> list[int | None]:
        """The runs that have chains; None is the chain of what was done by hand."""
        return [run for (run,) in self._all("SELECT DISTINCT run FROM seals ORDER BY run")]

    def check_chains(self) -> list[str]:
        """Check every chain from its first seal to its last for seals that do not follow, are missing or were moved."""
        found: list[str] = []
        heads: dict[int | None, str] = {}
        number = 0
        for number, (id, run, sha256, chain) in enumerate(
            self._all("SELECT id, run, sha256, chain FROM seals ORDER BY id"), start=1
        ):
            if id != number and not found:
                found.append(f"seal {number} is missing: the numbers of the seals have a gap")
            if chain != linked(heads.get(run, ""), sha256):
                found.append(f"seal {id} does not follow from the one before it in the chain of {_whose(run)}")
            heads[run] = chain
        last = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'seals'")
        if number and (last is None or last[0] != number) and not found:
            found.append(f"the last seals are missing: {number} of {last[0] if last else 'more'} are left")
        return found

    def check(self, run: int | None) -> Checked:
        """Check every record of one run (None: those made by hand) against its seal, and that every record has one."""
        found: list[str] = []
        gone: list[str] = []
        sealed: set[tuple[str, int]] = set()
        for what, row, sha256 in self._all("SELECT what, row, sha256 FROM seals WHERE run IS ? ORDER BY id", run):
            sealed.add((what, row))
            if what not in SORTS:
                found.append(f"{_whose(run)} has a seal of a '{what}', which this version does not record")
                continue
            now = self.digest(what, run, row)
            if now is None:
                gone.append(name(what, row))
                found.append(f"{gone[-1]} was sealed and is missing")
            elif now != sha256:
                found.append(f"{name(what, row)} has been changed since it was sealed")
        older: set[tuple[str, int]] = set()
        for what, sort in SORTS.items():
            for row, is_older in self._expected(sort, run):
                if (what, row) in sealed:
                    continue
                if is_older:
                    older.add((sort.table, row))
                else:
                    found.append(f"{name(what, row)} has no seal: this program did not write it")
        artifacts = list(self._artifacts(run))
        found += [line for line in artifacts if line]
        found += self._disagreements(run)
        return Checked(tuple(dict.fromkeys(found)), len(sealed), len(artifacts), len(older), tuple(gone))

    def _expected(self, sort: Sort, run: int | None) -> list[tuple[int, int]]:
        """The rows of a run that should have seals, and whether each is older than seals."""
        ended = " AND status != 'running'" if sort.at_end else ""
        return self._all(
            f"SELECT {sort.key}, rowid <= coalesce((SELECT last FROM older_rows AS o WHERE o.name = ?), 0) "
            f"FROM {sort.table} WHERE {sort.run} IS ?{ended} ORDER BY rowid",
            sort.table,
            run,
        )

    def _artifacts(self, run: int | None) -> Iterator[str]:
        """For each artifact of a run, what is wrong with it, or an empty text."""
        rows = self._connection.execute(
            "SELECT a.experiment, a.name, a.sha256, a.size, a.data FROM artifacts AS a "
            "JOIN experiments AS e ON e.id = a.experiment WHERE e.run IS ?",
            [run],
        )
        for experiment, named, sha256, size, data in rows:
            same = (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)
            yield "" if same else f"E{experiment}: the bytes of the artifact {named} have been changed"

    def _disagreements(self, run: int | None) -> list[str]:
        """Contradictions between rows in columns that no seal covers."""
        found = [
            f"H{number}: its status does not match the end of its history"
            for (number,) in self._all(
                "SELECT h.id FROM hypotheses AS h WHERE h.run IS ? AND (h.status, h.updated) IS NOT "
                "(SELECT v.status, v.created FROM hypothesis_events AS v WHERE v.hypothesis = h.id "
                "ORDER BY v.id DESC LIMIT 1)",
                run,
            )
        ]
        for table in (*PARTS, "circuits"):
            found += [
                f"E{number} has not ended but has {table}"
                for (number,) in self._all(
                    "SELECT e.id FROM experiments AS e WHERE e.run IS ? AND e.status = 'running' "
                    f"AND EXISTS (SELECT 1 FROM {table} WHERE experiment = e.id)",
                    run,
                )
            ]
        for what, sort in SORTS.items():
            if sort.at_end:
                found += [f"{name(what, row)} has not ended but has final values" for row in self._half(sort, run)]
        return found

    def _half(self, sort: Sort, run: int | None) -> list[int]:
        """The records that are running but have values that are written only at the end."""
        begun = next(one for one in SORTS.values() if one.table == sort.table and one.changing)
        rows = self._all(f"SELECT id FROM {sort.table} WHERE {sort.run} IS ? AND status = 'running'", run)
        kept = frozenset(column for column, _ in self._defaults(sort.table)) - begun.changing | {"status"}
        return [row for (row,) in rows if self._filled_columns(sort.table, "id = ?", row, but=kept)]

    def _filled_columns(
        self, table: str, where: str, *values: Any, but: frozenset[str] = frozenset()
    ) -> dict[str, list[Any]]:
        """The rows column by column, without columns that contain only their default."""
        parts = [column for column in self._defaults(table) if column[0] not in but]
        names = ", ".join(f'"{name}"' for name, _ in parts)
        rows = self._all(f"SELECT {names} FROM {table} WHERE {where}", *values)
        columns = zip(parts, zip(*rows, strict=True), strict=False)
        return {n: list(held) for (n, default), held in columns if any(value != default for value in held)}

    def _defaults(self, table: str) -> list[tuple[str, Any]]:
        """The columns of a table and their defaults."""
        if table not in self._columns:
            known = self._all("SELECT name, dflt_value FROM pragma_table_info(?) ORDER BY cid", table)
            # A default is SQL, such as '[]'.
            self._columns[table] = [(n, None if sql is None else self._one(f"SELECT {sql}")[0]) for n, sql in known]
        return self._columns[table]

    def _all(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: Any) -> Any:
        return self._connection.execute(sql, values).fetchone()


def linked(before: str, sha256: str) -> str:
    """The chain's value after a seal; `before` is the value before it, empty for the first."""
    return _sha256(before + sha256)


def name(what: str, row: int) -> str:
    """The name of a record: E12, or turn 40 (with the number in its table, if it has no id)."""
    if what == "reuse":
        return f"the reuse of {show_id('experiment', row)}"
    first = what.removesuffix(" begun")
    return show_id(first, row) if first in LETTERS else f"{what} {row}"


def _whose(run: int | None) -> str:
    return "what was done by hand" if run is None else show_id("run", run)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
