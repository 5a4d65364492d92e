"""Seals: what makes a change of a recorded row visible afterwards.

Whatever is recorded is sealed in the transaction that writes it: the SHA-256 of the row, with all that belongs to it,
goes into the table `seals`, and a chain runs through the seals of each run, so that nothing can be changed, taken out,
put in or put elsewhere without breaking it. A chain can be computed anew by somebody who changes the file; therefore
every report carries the chain's value at its end.

A new sort of record is one more line in `SORTS`; if it is sealed at its end, a call of `Seals.add` as well. A column
is told only where a value in it is not the column's default, so a column that a later version adds breaks no old seal.
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
    """How one sort of record is sealed. `run` and `key` are SQL for the run of a row, whose chain it goes into, and
    for the number by which it is found again in that run."""

    table: str
    run: str = "run"
    key: str = "id"
    at_end: bool = False
    """Sealed when its status is no longer running, not when it is inserted."""
    changing: frozenset[str] = frozenset()
    """Columns that change later; another seal, or a check of `disagreements`, answers for them."""
    parts: tuple[str, ...] = ()
    """Tables whose rows belong to it by their column `experiment`."""


PARTS = ("measurements", "effects", "samples", "figures", "artifacts")
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
# Rows that several records refer to: each of these tells them as its own.
_SHARED = {"subject": ("subjects", "id"), "environment": ("environments", "hash"), "request": ("requests", "hash")}
# The bytes of an artifact are told by its sha256.
_ELSEWHERE = {"artifacts": frozenset({"data"})}


@dataclass(frozen=True)
class Checked:
    """What was found: differences, each one line; how many seals and artifacts hold; how many rows are older; and
    which records were sealed and are gone, by name."""

    differences: tuple[str, ...]
    seals: int
    artifacts: int
    older: int
    gone: tuple[str, ...] = ()


class Seals:
    """The seals of one file. Adding needs a connection that is in a transaction; everything else only reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._columns: dict[str, list[tuple[str, Any]]] = {}

    def inserted(self, table: str, rowid: int) -> None:
        """Seals a new row of `table`, if its sort is sealed at once."""
        for what, sort in SORTS.items():
            if sort.table == table and not sort.at_end:
                self.add(what, rowid)

    def add(self, what: str, rowid: int) -> None:
        """Seals the record as it stands in the file now."""
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
        """The SHA-256 of a record with all that belongs to it, or None if it is not there."""
        sort = SORTS[what]
        own = self._filled_columns(sort.table, f"{sort.key} = ? AND {sort.run} IS ?", row, run, but=sort.changing)
        if not own:
            return None
        told: dict[str, Any] = {"what": what, sort.table: own}
        for column, (table, key) in _SHARED.items():
            if column in own:
                told[table] = self._filled_columns(table, f"{key} = ?", own[column][0])
        for table in sort.parts:
            told[table] = self._filled_columns(
                table, "experiment = ? ORDER BY id", row, but=_ELSEWHERE.get(table, frozenset())
            )
        # Floats by repr, which is exact; ASCII, so that text which is no UTF-8 has a form, too.
        return _sha256(json.dumps(told, sort_keys=True, separators=(",", ":")))

    def of_report(self, run: int) -> str | None:
        """The chain's value that a report carries: at the end of its run, else at its latest report, else now. None
        if the run is older than seals."""
        found = self._one(
            "SELECT chain FROM seals WHERE run = ? ORDER BY what = 'run' DESC, what = 'report' DESC, id DESC LIMIT 1",
            run,
        )
        return found[0] if found else None

    def holds(self, run: int, chain: str) -> bool:
        """Whether the run's chain ever had this value."""
        return self._one("SELECT 1 FROM seals WHERE run = ? AND chain = ?", run, chain) is not None

    def runs(self) -> list[int | None]:
        """The runs that there are chains of; None stands for what was done by hand."""
        return [run for (run,) in self._all("SELECT DISTINCT run FROM seals ORDER BY run")]

    def check_chains(self) -> list[str]:
        """Every chain from its first seal to its last: what does not follow, is missing or was put elsewhere."""
        found: list[str] = []
        heads: dict[int | None, str] = {}
        number = 0
        for number, (id, run, sha256, chain) in enumerate(
            self._all("SELECT id, run, sha256, chain FROM seals ORDER BY id"), start=1
        ):
            if id != number and not found:
                found.append(f"seal {number} is missing: the seals do not count on without a gap")
            if chain != linked(heads.get(run, ""), sha256):
                found.append(f"seal {id} does not follow from the one before it in the chain of {_whose(run)}")
            heads[run] = chain
        last = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'seals'")
        if number and (last is None or last[0] != number) and not found:
            found.append(f"the last seals are missing: there were {last[0] if last else 'more'}, and {number} are left")
        return found

    def check(self, run: int | None) -> Checked:
        """Every record of one run against its seal (of None: those made by hand), and what should have one."""
        found: list[str] = []
        gone: list[str] = []
        sealed: set[tuple[str, int]] = set()
        for what, row, sha256 in self._all("SELECT what, row, sha256 FROM seals WHERE run IS ? ORDER BY id", run):
            sealed.add((what, row))
            if what not in SORTS:
                found.append(f"{_whose(run)} has a seal of a '{what}', which is nothing that this version records")
                continue
            now = self.digest(what, run, row)
            if now is None:
                gone.append(name(what, row))
                found.append(f"{gone[-1]} was sealed and is not there any more")
            elif now != sha256:
                found.append(f"{name(what, row)} is not as it was sealed")
        older: set[tuple[str, int]] = set()
        for what, sort in SORTS.items():
            for row, is_older in self._expected(sort, run):
                if (what, row) in sealed:
                    continue
                if is_older:
                    older.add((sort.table, row))
                else:
                    found.append(f"{name(what, row)} has no seal: it was not written by this program")
        artifacts = list(self._artifacts(run))
        found += [line for line in artifacts if line]
        found += self._disagreements(run)
        return Checked(tuple(dict.fromkeys(found)), len(sealed), len(artifacts), len(older), tuple(gone))

    def _expected(self, sort: Sort, run: int | None) -> list[tuple[int, int]]:
        """The rows of a run that should be sealed, and whether each is older than seals."""
        ended = " AND status != 'running'" if sort.at_end else ""
        return self._all(
            f"SELECT {sort.key}, rowid <= coalesce((SELECT last FROM older_rows AS o WHERE o.name = ?), 0) "
            f"FROM {sort.table} WHERE {sort.run} IS ?{ended} ORDER BY rowid",
            sort.table,
            run,
        )

    def _artifacts(self, run: int | None) -> Iterator[str]:
        """For each artifact of a run what is wrong with it, or nothing."""
        rows = self._connection.execute(
            "SELECT a.experiment, a.name, a.sha256, a.size, a.data FROM artifacts AS a "
            "JOIN experiments AS e ON e.id = a.experiment WHERE e.run IS ?",
            [run],
        )
        for experiment, named, sha256, size, data in rows:
            same = (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)
            yield "" if same else f"E{experiment}: the bytes of the artifact {named} are not those that were stored"

    def _disagreements(self, run: int | None) -> list[str]:
        """What no seal answers for, but another row does."""
        found = [
            f"H{number}: its status is not the one that its history ends with"
            for (number,) in self._all(
                "SELECT h.id FROM hypotheses AS h WHERE h.run IS ? AND (h.status, h.updated) IS NOT "
                "(SELECT v.status, v.created FROM hypothesis_events AS v WHERE v.hypothesis = h.id "
                "ORDER BY v.id DESC LIMIT 1)",
                run,
            )
        ]
        for table in PARTS:
            found += [
                f"E{number} has not ended, and there are {table} of it"
                for (number,) in self._all(
                    "SELECT e.id FROM experiments AS e WHERE e.run IS ? AND e.status = 'running' "
                    f"AND EXISTS (SELECT 1 FROM {table} WHERE experiment = e.id)",
                    run,
                )
            ]
        for what, sort in SORTS.items():
            if sort.at_end:
                found += [
                    f"{name(what, row)} has not ended, and what it ended with is written"
                    for row in self._half(sort, run)
                ]
        return found

    def _half(self, sort: Sort, run: int | None) -> list[int]:
        """The records that are running, and yet have what is written at the end only."""
        begun = next(one for one in SORTS.values() if one.table == sort.table and one.changing)
        rows = self._all(f"SELECT id FROM {sort.table} WHERE {sort.run} IS ? AND status = 'running'", run)
        kept = frozenset(column for column, _ in self._defaults(sort.table)) - begun.changing | {"status"}
        return [row for (row,) in rows if self._filled_columns(sort.table, "id = ?", row, but=kept)]

    def _filled_columns(
        self, table: str, where: str, *values: Any, but: frozenset[str] = frozenset()
    ) -> dict[str, list[Any]]:
        """The rows column by column, without the columns that hold nothing but their default."""
        told = [column for column in self._defaults(table) if column[0] not in but]
        names = ", ".join(f'"{name}"' for name, _ in told)
        rows = self._all(f"SELECT {names} FROM {table} WHERE {where}", *values)
        columns = zip(told, zip(*rows, strict=True), strict=False)
        return {n: list(held) for (n, default), held in columns if any(value != default for value in held)}

    def _defaults(self, table: str) -> list[tuple[str, Any]]:
        """The columns of a table, and what each holds where nothing was said."""
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
    """The chain's value after a seal; `before` is the one of the seal before it, nothing for the first."""
    return _sha256(before + sha256)


def name(what: str, row: int) -> str:
    """A record as a person would call it: E12, or turn 40 (where it has no such id, the number in its table)."""
    if what == "reuse":
        return f"the reuse of {show_id('experiment', row)}"
    first = what.removesuffix(" begun")
    return show_id(first, row) if first in LETTERS else f"{what} {row}"


def _whose(run: int | None) -> str:
    return "what was done by hand" if run is None else show_id("run", run)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
