"""The reader: what the tracker holds, as plain dictionaries with ids that people can say.

Only the standard library is imported, so that browsing starts at once, and the connection can only read.
Rows come in the order in which they were written unless a method says otherwise.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import query, schema
from .alive import is_alive
from .errors import NotRecorded, TrackerError, explained
from .ids import LETTERS, TABLES, no_such_id, show_id
from .location import check_is_file, connect_read_only
from .seals import Seals

Row = dict[str, Any]

_SUMMARY = (
    "SELECT id, run, kind, model, task, split, n, config, status, reason, found, error_type, error, started, ended, "
    "seconds FROM experiments"
)
_JSON = {"anatomy", "budget", "claims", "config", "content", "data", "experiments", "notes", "spent", "tags"}
_TASK_FILE = "name, fingerprint, content, created, card, maker, run, spec FROM task_files"
_YES_OR_NO = {"correct", "changed_correct"}


class Reader:
    """The tracker, open for reading. Make it with `Reader.open`; it is a context manager.

    Numbers of rows go in (12), ids come out ("E12"). Every method raises NoSuchId for a row that is not there. A run
    that is marked as running and has no process any more has the status stopped; its experiment, interrupted.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Opens the tracker at `path`, brought up to date where it is older; raises TrackerError if none is there."""
        path = Path(path)
        if not path.exists():
            raise TrackerError(
                f'There is no tracker at {path} yet. Start with: agent run --goal "..." (or name another with --db).'
            )
        check_is_file(path)
        version = schema.version_at(path)
        if version == 0:
            raise TrackerError(f"{path} holds nothing that can be read yet; `agent run --db {path}` prepares it.")
        if version < schema.VERSION:
            from .store import Store

            Store.open(path).close()
        return cls(path, connect_read_only(path))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def runs(self) -> list[Row]:
        """Every run, with the number of its experiments and notes, and whether it has a report."""
        return [
            {**self._told(row, "run"), "report": bool(row["report"])}
            for row in self._rows(
                "SELECT id, goal, driver, llm, model, task, seed, reviews, status, budget, spent, started, ended, "
                "error, "
                "(SELECT count(*) FROM experiments WHERE run = runs.id) AS experiment_count, "
                "(SELECT count(*) FROM notes WHERE run = runs.id) AS note_count, "
                "EXISTS (SELECT 1 FROM reports WHERE run = runs.id) AS report FROM runs ORDER BY id"
            )
        ]

    def run(self, run: int) -> Row:
        """One run with its timeline, hypotheses (with events), notes, experiments (in short), the source of
        its latest report, or None, the seal that a report of it carries, the runs that reviewed it, and when it was
        taken up again."""
        row = self._one("run", run, "SELECT * FROM runs WHERE id = ?")
        timeline = self._rows("SELECT at, what, id, text FROM run_timeline WHERE run = ? ORDER BY at", f"R{run}")
        return {
            **row,
            "environment": self._environment(row["environment"]),
            "seal": Seals(self._connection).of_report(run),
            "timeline": timeline,
            "hypotheses": self.hypotheses(run),
            "notes": self.notes(run=run),
            "experiments": self.experiments(run=run),
            "report": self.report(run),
            "reviewed_by": [show_id("run", one) for one in self.reviews_of(run)],
            "resumed": [
                one["created"] for one in self._rows("SELECT created FROM resumptions WHERE run = ? ORDER BY id", run)
            ],
        }

    def reviews_of(self, run: int) -> list[int]:
        """The runs that are a second opinion on this one."""
        return [row["id"] for row in self._rows("SELECT id FROM runs WHERE reviews = ? ORDER BY id", run)]

    def turns(self, run: int) -> list[Row]:
        """The conversation of a run: step, role, content, tokens_in, tokens_out, seconds, created."""
        self.require("run", run)
        columns = "id, step, role, content, tokens_in, tokens_out, seconds, created"
        return [_parsed(row) for row in self._rows(f"SELECT {columns} FROM turns WHERE run = ? ORDER BY id", run)]

    def written_by(self, table: str, run: int, call: str) -> list[Row]:
        """The rows of a table that a call of this run's conversation wrote, as they stand in the file."""
        ours = "hypothesis IN (SELECT id FROM hypotheses WHERE run = ?)" if table == "hypothesis_events" else "run = ?"
        return self._rows(f"SELECT * FROM {table} WHERE {ours} AND call = ? ORDER BY rowid", run, call)

    def experiments_spent(self, run: int, but: Sequence[str] = ()) -> int:
        """How many experiments of its own a run has done or seen fail, without those that these calls asked for."""
        sql = (
            "SELECT count(*) AS n FROM experiments WHERE run = ? AND status != 'running' "
            "AND error_type IS NOT 'Interrupted' AND (call IS NULL OR call NOT IN (SELECT value FROM json_each(?)))"
        )
        return self._rows(sql, run, json.dumps(list(but)))[0]["n"]

    def subjects(self, run: int) -> list[Row]:
        """The subjects that a run's own experiments were done on: name and fingerprint, the latest last."""
        return self._rows(
            "SELECT s.name, s.fingerprint FROM experiments AS e JOIN subjects AS s ON s.id = e.subject "
            "WHERE e.run = ? GROUP BY s.id ORDER BY max(e.id)",
            run,
        )

    def experiments(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        run: int | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Experiments in short; with a limit, the latest of them. A run's are its own and those that it reused,
        which name the run that they are from."""
        # What is interrupted is written as running in the file.
        written = "running" if status == "interrupted" else status
        alive_or_not = status in ("running", "interrupted")
        ours = f"(SELECT experiment FROM reuses WHERE run = {int(run)})" if run is not None else "()"
        of_run = f"(run = ? OR id IN {ours})"
        wanted = {"kind = ?": kind, "task = ?": task, "model = ?": model, of_run: run, "status = ?": written}
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        sql = f"SELECT * FROM ({_SUMMARY} WHERE {_all(wanted)} ORDER BY id DESC LIMIT ?) ORDER BY id"
        most = -1 if limit is None or alive_or_not else limit
        rows = [self._told(row, "experiment") for row in self._rows(sql, *wanted.values(), most)]
        return [row for row in rows if row["status"] == status][-(limit or 0) :] if alive_or_not else rows

    def experiment(self, experiment: int) -> Row:
        """One experiment with everything that it found; artifacts by name and size only.

        `cited_by` are the ids of the notes and hypotheses that cite it.
        """
        row = self._one("experiment", experiment, "SELECT * FROM experiments WHERE id = ?")
        subject = "SELECT name, fingerprint, architecture, anatomy FROM subjects WHERE id = ?"
        cites = "WHERE EXISTS (SELECT 1 FROM json_each(experiments) WHERE value = ?)"
        cited_by = self._rows(
            f"SELECT 'N' || id AS id FROM notes {cites} UNION ALL "
            f"SELECT * FROM (SELECT DISTINCT 'H' || hypothesis FROM hypothesis_events {cites})",
            *[show_id("experiment", experiment)] * 2,
        )
        return {
            **row,
            "subject": _parsed(self._rows(subject, row["subject"])[0]),
            "environment": self._environment(row["environment"]),
            "measurements": self._part("measurements", experiment, "name, value, low, high, n, unit"),
            "effects": self._part("effects", experiment, "site, metric, value, low, high, n, p, q, percentile, p_max"),
            "samples": self._part(
                "samples", experiment, "prompt, expected, said, changed, condition, correct, changed_correct, failure"
            ),
            "figures": self._part("figures", experiment, "name, kind, title, unit, n, data"),
            "artifacts": self._part("artifacts", experiment, "name, media_type, size, sha256"),
            "cited_by": [one["id"] for one in cited_by],
        }

    def note(self, note: int) -> Row:
        """One note: id, run, title, text, tags, experiments (ids), created."""
        return self._one("note", note, "SELECT * FROM notes WHERE id = ?")

    def notes(self, words: str | None = None, run: int | None = None, tag: str | None = None) -> list[Row]:
        """The notes that hold all the words (the last one may be a beginning), best match first; if none does,
        those that hold any of them. Any text is a fair query."""
        wanted = {
            "run = ?": run,
            "EXISTS (SELECT 1 FROM json_each(notes.tags) WHERE value = ? COLLATE NOCASE)": tag,
        }
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        if words is None or not words.strip():
            rows = self._rows(f"SELECT * FROM notes WHERE {_all(wanted)} ORDER BY id", *wanted.values())
            return [_spoken(row, "note") for row in rows]
        for match in _matches(words):
            rows = self._rows(
                "SELECT notes.* FROM notes_fts JOIN notes ON notes.id = notes_fts.rowid "
                f"WHERE notes_fts MATCH ? AND {_all(wanted)} ORDER BY bm25(notes_fts, 4.0, 1.0, 2.0), notes.id",
                match,
                *wanted.values(),
            )
            if rows:
                return [_spoken(row, "note") for row in rows]
        return []

    def hypothesis(self, hypothesis: int) -> Row:
        """One hypothesis with its history (events of status, comment, experiments, created) and its predictions."""
        return self._with_events(self._one("hypothesis", hypothesis, "SELECT * FROM hypotheses WHERE id = ?"))

    def hypotheses(self, run: int | None = None) -> list[Row]:
        """All hypotheses, or those of one run, each with its events."""
        rows = self._rows("SELECT * FROM hypotheses WHERE ?1 IS NULL OR run = ?1 ORDER BY id", run)
        return [self._with_events(_spoken(row, "hypothesis")) for row in rows]

    def hypotheses_of(self, run: int | None) -> list[Row]:
        """The hypotheses of one run; with None, those that belong to none."""
        rows = self._rows("SELECT * FROM hypotheses WHERE run IS ? ORDER BY id", run)
        return [self._with_events(_spoken(row, "hypothesis")) for row in rows]

    def artifact(self, experiment: int, name: str) -> bytes:
        """The bytes of one artifact."""
        self.require("experiment", experiment)
        rows = self._rows("SELECT data FROM artifacts WHERE experiment = ? AND name = ?", experiment, name)
        if not rows:
            names = [row["name"] for row in self._part("artifacts", experiment, "name")]
            there = f"It has: {', '.join(names)}." if names else "It has none."
            raise TrackerError(f"{show_id('experiment', experiment)} has no artifact '{name}'. {there}")
        return rows[0]["data"]

    def report(self, run: int) -> str | None:
        """The source of the run's latest report."""
        latest = self.latest_report(run)
        return latest["source"] if latest else None

    def latest_report(self, run: int, until: str | None = None) -> Row | None:
        """The run's latest report (until a time): source, claims (each with sentence and conditions), created, and the
        call that handed it in; None where the program wrote it."""
        self.require("run", run)
        rows = self._rows(
            "SELECT source, claims, call, created FROM reports WHERE run = ?1 AND (?2 IS NULL OR created <= ?2) "
            "ORDER BY id DESC LIMIT 1",
            run,
            until,
        )
        return _parsed(rows[0]) if rows else None

    def task_file(self, name: str, fingerprint: str | None = None) -> Row | None:
        """The latest content saved under this name, or the one of this fingerprint: name, fingerprint, content
        (the JSONL text), created, and where they are known card, maker, run (its id) and spec."""
        rows = self._rows(
            f"SELECT {_TASK_FILE} WHERE name = ?1 AND (?2 IS NULL OR fingerprint = ?2) ORDER BY id DESC LIMIT 1",
            name,
            fingerprint,
        )
        return _of_task(rows[0]) if rows else None

    def task_files(self) -> list[Row]:
        """The latest content of every task file, by name, as `task_file` gives it."""
        latest = "id IN (SELECT max(id) FROM task_files GROUP BY name)"
        return [_of_task(row) for row in self._rows(f"SELECT {_TASK_FILE} WHERE {latest} ORDER BY name")]

    def task_names(self) -> list[str]:
        """The names of the task files."""
        return [row["name"] for row in self._rows("SELECT DISTINCT name FROM task_files ORDER BY name")]

    def ledger(self, until: str | None = None) -> list[Row]:
        """Every family of comparisons in the tracker (until a time): model, task, kind, experiments, comparisons,
        significant."""
        return self._rows(
            "SELECT s.name AS model, s.fingerprint, e.task, e.kind, count(DISTINCT e.id) AS experiments, "
            "count(f.id) AS comparisons, coalesce(sum(f.q < 0.05), 0) AS significant FROM experiments AS e "
            "JOIN subjects AS s ON s.id = e.subject JOIN effects AS f ON f.experiment = e.id "
            "WHERE e.status = 'done' AND (?1 IS NULL OR e.ended <= ?1) GROUP BY s.id, e.task, e.kind "
            "ORDER BY comparisons DESC, model, e.task, e.kind",
            until,
        )

    def known(self, what: str) -> list[str]:
        """The kinds, tasks and models of the experiments, or the tags of the notes."""
        tags = "SELECT DISTINCT value AS name FROM notes, json_each(notes.tags) ORDER BY 1"
        sql = tags if what == "tag" else f"SELECT DISTINCT {what} AS name FROM experiments ORDER BY 1"
        return [row["name"] for row in self._rows(sql) if row["name"] is not None]

    def require_known(self, what: str, name: str | None) -> None:
        """Raises NotRecorded unless the tracker has something of this kind, task, model or tag; None asks for nothing,
        and so does a tracker that has none at all."""
        known = self.known(what) if name is not None else []
        if name is not None and known and name.lower() not in {one.lower() for one in known}:
            raise NotRecorded(what, name, known)

    def query(
        self,
        sql: str,
        limit: int = 100,
        seconds: float = 2.0,
        runs: Sequence[int] | None = None,
        alone: int | None = None,
    ) -> tuple[list[str], list[list[Any]], bool]:
        """Columns, at most `limit` rows, and whether there were more; with `runs`, only what these may see, and with
        `alone`, the reasoning of that run alone.

        Raises QueryRefused (see db/query.py).
        """
        return query.select(self.path, sql, limit, seconds, runs, alone)

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        try:
            cursor = self._connection.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def _one(self, what: str, number: int, sql: str) -> Row:
        rows = self._rows(sql, number)
        if not rows:
            raise no_such_id(self._connection, what, number)
        return self._told(rows[0], what)

    def _told(self, row: Row, what: str) -> Row:
        """A parsed row with its ids, and the status that is true by now."""
        row = _spoken(row, what)
        if row.get("status") == "running" and not is_alive(self.path, row.get("run") or row["id"]):
            row["status"] = "stopped" if what == "run" else "interrupted"
        return row

    def require(self, what: str, number: int) -> None:
        """Raises NoSuchId unless the row is there."""
        self._one(what, number, f"SELECT id FROM {TABLES[what]} WHERE id = ?")

    def _part(self, table: str, experiment: int, columns: str) -> list[Row]:
        rows = self._rows(f"SELECT {columns} FROM {table} WHERE experiment = ? ORDER BY id", experiment)
        return [_parsed(row) for row in rows]

    def _environment(self, environment: str) -> Row:
        return json.loads(self._rows("SELECT content FROM environments WHERE hash = ?", environment)[0]["content"])

    def _with_events(self, hypothesis: Row) -> Row:
        number = int(hypothesis["id"].removeprefix(LETTERS["hypothesis"]))
        sql = "SELECT status, comment, experiments, created FROM hypothesis_events WHERE hypothesis = ? ORDER BY id"
        if hypothesis["revises"] is not None:
            hypothesis["revises"] = show_id("hypothesis", hypothesis["revises"])
        events = [_parsed(row) for row in self._rows(sql, number)]
        return {**hypothesis, "events": events, "predictions": self._predictions(number)}

    def _predictions(self, hypothesis: int) -> list[Row]:
        """A hypothesis' predictions in order, each with what came of it (`judged`), or None."""
        sql = (
            "SELECT p.id, p.kind, p.config, p.quantity, p.comparison, p.low, p.high, p.created, j.experiment, j.value, "
            "j.low AS value_low, j.high AS value_high, j.n, j.p, j.side FROM predictions AS p "
            "LEFT JOIN judgements AS j ON j.prediction = p.id WHERE p.hypothesis = ? ORDER BY p.id"
        )
        found: list[Row] = []
        for row in self._rows(sql, hypothesis):
            judged = {name: row.pop(name) for name in ("experiment", "value", "n", "p", "side")}
            judged |= {"low": row.pop("value_low"), "high": row.pop("value_high")}
            tested = judged["experiment"] is not None
            if tested:
                judged["experiment"] = show_id("experiment", judged["experiment"])
            found.append({**_parsed(row), "judged": judged if tested else None})
        return found


def _all(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "1"


def _parsed(row: Row) -> Row:
    """A row with its JSON read and its truth values as such."""
    for column, value in row.items():
        if column in _JSON and isinstance(value, str):
            row[column] = json.loads(value)
        elif column in _YES_OR_NO and value is not None:
            row[column] = bool(value)
    return row


def _of_task(row: Row) -> Row:
    """A task file with its card and spec read, whose content is lines and stays as it is."""
    told = {column: None if row[column] is None else json.loads(row[column]) for column in ("card", "spec")}
    return {**row, **told, "run": None if row["run"] is None else show_id("run", row["run"])}


def _spoken(row: Row, what: str) -> Row:
    """A parsed row whose own number, and its run's, are ids."""
    row["id"] = show_id(what, row["id"])
    for of in ("run", "reviews"):
        if row.get(of) is not None:
            row[of] = show_id("run", row[of])
    return _parsed(row)


def _matches(words: str) -> list[str]:
    """FTS5 queries for a person's words, the strictest first. Each word is quoted, so that nothing in it is syntax."""
    # SQLite ends a query at NUL, and cannot store lone surrogates.
    terms = re.sub(r"[\x00\ud800-\udfff]", " ", words).split()
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms]
    if not quoted:
        return []
    quoted[-1] += "*"
    return [" AND ".join(quoted), " OR ".join(quoted)]
