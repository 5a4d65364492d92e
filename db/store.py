"""The writer: every method is one short transaction, so that a crash leaves what was true.

An experiment's row is written before it starts and finished, with everything it found, in one
transaction after it. What is written is sealed in the transaction that writes it. Several processes may
write one file: each transaction takes the write lock at its beginning (BEGIN IMMEDIATE), because a reader
that turns writer half-way is refused at once, whatever the timeout.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlite_utils import Database

from . import schema
from .alive import Hold, is_alive
from .errors import TrackerError, explained
from .ids import TABLES, no_such_id, show_id
from .location import check_is_file
from .seals import Seals

# How an experiment ended that somebody stopped.
INTERRUPTED = "Interrupted"
CUT = "The program was stopped in the middle of it."
# Why a run cannot be taken up.
ENDED = "{run} has ended ({status}), so there is nothing to go on with. `agent report {run}` writes its report."
AT_WORK = "{run} is being run by another process now; `agent show {run}` says how far it is."


class Store:
    """The tracker, open for writing. Make it with `Store.open`; it is a context manager."""

    def __init__(self, path: Path, db: Database) -> None:
        self.path = path
        self._db = db
        self._seals = Seals(db.conn)
        self._holds: dict[str, Hold] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, wait: float = 30.0) -> Self:
        """Opens or makes the tracker at `path` and brings its schema up to date.

        `wait` is how many seconds any write waits for another process. Raises TrackerError; a file that is
        not ours, or is of a newer schema, is not changed.
        """
        path = Path(path)
        if sqlite3.sqlite_version_info < (3, 37):
            raise TrackerError(f"SQLite {sqlite3.sqlite_version} is too old: the tracker needs 3.37 or newer.")
        check_is_file(path)
        if path.exists():
            if not os.access(path, os.W_OK):
                raise TrackerError(f"{path} cannot be written. Check its permissions, or use --db.")
            schema.version_at(path)
        with _explaining(path):
            connection = sqlite3.connect(path, timeout=wait, isolation_level=None)
        try:
            with _explaining(path):
                _write_ahead(connection, wait)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                db = Database(connection, strict=True)
                version = schema.version_of(connection, path)
            store = cls(path, db)
            if version < schema.VERSION:
                with store._transaction():
                    schema.migrate(db, path)
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

    def begin_run(
        self,
        *,
        goal: str,
        driver: str,
        llm: str | None,
        model: str | None,
        task: str | None,
        seed: int | None,
        budget: Mapping[str, Any],
        environment: Mapping[str, Any],
        reviews: int | None = None,
        opening: Mapping[str, Any] | None = None,
    ) -> int:
        """A run that has status running, and counts as such for as long as this process lives; returns its number.

        `opening` is the first message of its conversation, the user's, without which no run could be taken up again.
        """
        with self._transaction():
            run = self._insert(
                "runs",
                goal=goal,
                driver=driver,
                llm=llm,
                model=model,
                task=task,
                seed=seed,
                reviews=reviews,
                status="running",
                budget=_json(budget),
                environment=self._environment(environment),
                started=_now(),
            )
            if opening is not None:
                self._insert("turns", run=run, step=0, role="user", content=_json(opening), created=_now())
            self._hold("run", run)
        return run

    def resume_run(self, run: int, environment: Mapping[str, Any]) -> None:
        """A run whose process is gone counts as running again, for as long as this one lives.

        What it was measuring when it was stopped has ended without a result. Raises TrackerError for a run that has
        ended, or that another process is running.
        """
        name = show_id("run", run)
        with self._transaction():
            self._require("run", run)
            (status,) = self._db.conn.execute("SELECT status FROM runs WHERE id = ?", [run]).fetchone()
            if status != "running":
                raise TrackerError(ENDED.format(run=name, status=status))
            # Whoever begins or takes up a run is in a transaction, and there is one at a time.
            if is_alive(self.path, name):
                raise TrackerError(AT_WORK.format(run=name))
            self._hold("run", run)
            half = self._db.conn.execute("SELECT id FROM experiments WHERE run = ? AND status = 'running'", [run])
            for (experiment,) in half.fetchall():
                self._update("experiment", experiment, status="failed", error_type=INTERRUPTED, error=CUT, ended=_now())
                self._seals.add("experiment", experiment)
            self._insert("resumptions", run=run, environment=self._environment(environment), created=_now())

    def finish_run(
        self, run: int, *, status: str, spent: Mapping[str, Any], error: str | None = None, report: str | None = None
    ) -> None:
        """How the run ended: finished, failed, interrupted or budget; with the program's report where nobody else
        wrote one."""
        _check_status(status, schema.RUN_STATUSES)
        with self._transaction():
            if report is not None:
                self._insert("reports", run=run, source=report, claims="[]", created=_now())
            self._update("run", run, status=status, spent=_json(spent), error=error, ended=_now())
            self._seals.add("run", run)
        self._let_go(show_id("run", run))

    def add_turn(
        self,
        run: int,
        step: int,
        role: str,
        content: Mapping[str, Any],
        *,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        seconds: float | None = None,
    ) -> int:
        """One message of the run's conversation, as it was sent or received."""
        with self._transaction():
            self._require("run", run)
            return self._insert(
                "turns",
                run=run,
                step=step,
                role=role,
                content=_json(content),
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                seconds=seconds,
                created=_now(),
            )

    def begin_experiment(
        self,
        *,
        run: int | None,
        kind: str,
        model: str,
        task: str | None,
        split: str | None,
        n: int | None,
        config: Mapping[str, Any],
        config_hash: str,
        subject: Mapping[str, Any],
        task_fingerprint: str | None,
        code_version: str,
        environment: Mapping[str, Any],
        reason: str | None = None,
        turn: int | None = None,
        call: str | None = None,
    ) -> int:
        """An experiment that is about to start; returns its number. `subject` has name, fingerprint,
        architecture and anatomy; `call` is the id of the call that asks for it, here as in the methods below."""
        with self._transaction():
            self._require("run", run)
            experiment = self._insert(
                "experiments",
                run=run,
                turn=turn,
                call=call,
                kind=kind,
                model=model,
                task=task,
                split=split,
                n=n,
                config=_json(config),
                config_hash=config_hash,
                subject=self._subject(subject),
                task_fingerprint=task_fingerprint,
                code_version=code_version,
                environment=self._environment(environment),
                reason=reason,
                status="running",
                started=_now(),
            )
            if run is None:
                self._hold("experiment", experiment)
        return experiment

    def finish_experiment(
        self,
        experiment: int,
        result: Mapping[str, Any],
        seconds: float,
        artifacts: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:
        """All that the experiment found, or nothing: `result` is `Result.model_dump()`, `artifacts` maps a
        name to its media type and bytes. Raises TrackerError if the experiment has ended before."""
        with self._transaction():
            self._require_running(experiment)
            for table in ("measurements", "effects", "samples", "figures"):
                rows = [{"experiment": experiment, **row} for row in result[table]]
                if table == "figures":
                    rows = [{**row, "data": _json(row["data"])} for row in rows]
                self._db.table(table).insert_all([_stored(row) for row in rows])
            self._add_artifacts(experiment, artifacts or {})
            found, notes = result["found"], _json(list(result["notes"]))
            ended: dict[str, Any] = {"status": "done", "ended": _now(), "seconds": seconds}
            self._update("experiment", experiment, found=found, notes=notes, **ended)
            self._seals.add("experiment", experiment)
        self._let_go(show_id("experiment", experiment))

    def _add_artifacts(self, experiment: int, artifacts: Mapping[str, tuple[str, bytes]]) -> None:
        for name, (media_type, data) in artifacts.items():
            sha256 = hashlib.sha256(data).hexdigest()
            row = {"experiment": experiment, "name": name, "media_type": media_type, "sha256": sha256}
            self._insert("artifacts", **row, size=len(data), data=data)

    def fail_experiment(
        self,
        experiment: int,
        error_type: str,
        error: str,
        seconds: float,
        artifacts: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:
        """An experiment that ended with an error, which is a record like any other."""
        with self._transaction():
            self._require_running(experiment)
            self._add_artifacts(experiment, artifacts or {})
            ended: dict[str, Any] = {"status": "failed", "ended": _now(), "seconds": seconds}
            self._update("experiment", experiment, error_type=error_type, error=error, **ended)
            self._seals.add("experiment", experiment)
        self._let_go(show_id("experiment", experiment))

    def find_experiment(
        self, config_hash: str, subject_fingerprint: str, task_fingerprint: str | None, code_version: str
    ) -> int | None:
        """The first finished experiment of this configuration on this subject, task and code."""
        with _explaining(self.path):
            row = self._db.conn.execute(
                "SELECT min(e.id) FROM experiments AS e JOIN subjects AS s ON s.id = e.subject WHERE e.status = 'done' "
                "AND e.config_hash = ? AND s.fingerprint = ? AND e.task_fingerprint IS ? AND e.code_version = ?",
                [config_hash, subject_fingerprint, task_fingerprint, code_version],
            ).fetchone()
        return row[0]

    def find_unfinished(
        self, name: str, config_hash: str, subject_fingerprint: str, task_fingerprint: str | None, code_version: str
    ) -> tuple[int, bytes] | None:
        """The last experiment of this configuration that ended early with an artifact of this name, and its bytes."""
        with _explaining(self.path):
            return self._db.conn.execute(
                "SELECT e.id, a.data FROM experiments AS e JOIN subjects AS s ON s.id = e.subject "
                "JOIN artifacts AS a ON a.experiment = e.id AND a.name = ? WHERE e.status = 'failed' "
                "AND e.config_hash = ? AND s.fingerprint = ? AND e.task_fingerprint IS ? AND e.code_version = ? "
                "ORDER BY e.id DESC LIMIT 1",
                [name, config_hash, subject_fingerprint, task_fingerprint, code_version],
            ).fetchone()

    def reuse_experiment(
        self, run: int, experiment: int, reason: str | None = None, turn: int | None = None, call: str | None = None
    ) -> None:
        """An earlier experiment that answers a question of this run; once is enough, and its own need none."""
        with self._transaction():
            self._require("run", run)
            self._require("experiment", experiment)
            known = self._db.conn.execute(
                "SELECT 1 FROM reuses WHERE run = ?1 AND experiment = ?2 "
                "UNION ALL SELECT 1 FROM experiments WHERE id = ?2 AND run = ?1",
                [run, experiment],
            ).fetchone()
            if known is None:
                asked: dict[str, Any] = {"reason": reason, "turn": turn, "call": call}
                self._insert("reuses", run=run, experiment=experiment, **asked, created=_now())

    def add_note(
        self,
        run: int | None,
        title: str,
        text: str,
        tags: Sequence[str] = (),
        experiments: Sequence[int] = (),
        call: str | None = None,
    ) -> int:
        """A note, findable by its words; the experiments that it cites must exist."""
        with self._transaction():
            self._require("run", run)
            cited = self._cited(experiments)
            row = {"run": run, "title": title, "text": text, "tags": _json(list(tags)), "experiments": cited}
            return self._insert("notes", **row, call=call, created=_now())

    def add_hypothesis(
        self,
        run: int | None,
        statement: str,
        rationale: str,
        refuted_if: str,
        predictions: Sequence[Mapping[str, Any]] = (),
        revises: int | None = None,
        call: str | None = None,
    ) -> int:
        """A hypothesis with status open, the first event of its history, and its predictions, all frozen from now on.

        A prediction has kind, config, quantity, comparison, low and high. Its experiment is drawn from the confirm
        split by the hypothesis' own number, so that no two hypotheses of a tracker share a draw.
        """
        with self._transaction():
            self._require("run", run)
            self._require("hypothesis", revises)
            at = _now()
            row = {"run": run, "statement": statement, "rationale": rationale, "refuted_if": refuted_if, "call": call}
            hypothesis = self._insert("hypotheses", **row, revises=revises, status="open", created=at, updated=at)
            event = {"hypothesis": hypothesis, "status": "open", "comment": "", "experiments": "[]", "created": at}
            self._insert("hypothesis_events", **event)
            for one in predictions:
                config = _json({**one["config"], "split": "confirm", "seed": hypothesis})
                self._insert("predictions", **{**one, "config": config}, hypothesis=hypothesis, created=at)
            return hypothesis

    def add_judgement(self, prediction: int, experiment: int, judged: Mapping[str, Any]) -> None:
        """What came of a prediction: value, low, high, n, p and side. Once; the experiment must be younger than it."""
        with self._transaction():
            self._require("experiment", experiment)
            self._insert("judgements", prediction=prediction, experiment=experiment, **judged, created=_now())

    def set_hypothesis_status(
        self, hypothesis: int, status: str, comment: str, experiments: Sequence[int] = (), call: str | None = None
    ) -> None:
        """The hypothesis' new status, and why; what it was before stays in its history."""
        _check_status(status, schema.HYPOTHESIS_STATUSES)
        with self._transaction():
            at = _now()
            self._update("hypothesis", hypothesis, status=status, updated=at)
            event = {"hypothesis": hypothesis, "status": status, "comment": comment, "call": call, "created": at}
            self._insert("hypothesis_events", **event, experiments=self._cited(experiments))

    def add_report(
        self, run: int, source: str, claims: Sequence[Mapping[str, Any]] = (), call: str | None = None
    ) -> int:
        """A report as it was written, with its slots unfilled: claims (sentence, conditions) and text."""
        with self._transaction():
            self._require("run", run)
            row: dict[str, Any] = {"run": run, "source": source, "claims": _json(list(claims)), "call": call}
            return self._insert("reports", **row, created=_now())

    def save_task_file(
        self,
        name: str,
        fingerprint: str,
        content: str,
        *,
        card: Mapping[str, Any] | None = None,
        maker: str | None = None,
        run: int | None = None,
        spec: Mapping[str, Any] | None = None,
        call: str | None = None,
    ) -> None:
        """The lines (JSONL) of a task of the user's own or of a language model's, kept so that its experiments can be
        run again; with its card, who made it, in which run, and from what. What is kept already is left as it is."""
        with self._transaction():
            self._require("run", run)
            latest = self._db.conn.execute(
                "SELECT fingerprint FROM task_files WHERE name = ? ORDER BY id DESC LIMIT 1", [name]
            ).fetchone()
            if latest is None or latest[0] != fingerprint:
                origin = {"maker": maker, "run": run, "spec": None if spec is None else _json(spec), "call": call}
                row = {"name": name, "fingerprint": fingerprint, "content": content, "created": _now(), **origin}
                self._insert("task_files", **row, card=None if card is None else _json(card))

    @contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        with _explaining(self.path):
            self._db.conn.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.conn.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise

    def _hold(self, what: str, number: int) -> None:
        """Within the transaction that makes the row, so that nobody sees it running and not held."""
        id = show_id(what, number)
        self._holds[id] = Hold(self.path, id)

    def _let_go(self, id: str) -> None:
        if id in self._holds:
            self._holds.pop(id).release()

    def _insert(self, table: str, **row: Any) -> int:
        rowid = int(self._db.table(table).insert(_stored(row)).last_rowid or 0)
        self._seals.inserted(table, rowid)
        return rowid

    def _update(self, what: str, number: int, **changes: Any) -> None:
        self._require(what, number)
        self._db.table(TABLES[what]).update(number, _stored(changes))  # pyright: ignore[reportUnknownMemberType]

    def _require(self, what: str, number: int | None) -> None:
        """Raises NoSuchId unless the row is there; None asks for nothing."""
        found = f"SELECT 1 FROM {TABLES[what]} WHERE id = ?"
        if number is not None and self._db.conn.execute(found, [number]).fetchone() is None:
            raise no_such_id(self._db.conn, what, number)

    def _require_running(self, experiment: int) -> None:
        self._require("experiment", experiment)
        row = self._db.conn.execute("SELECT status FROM experiments WHERE id = ?", [experiment]).fetchone()
        if row[0] != "running":
            raise TrackerError(f"{show_id('experiment', experiment)} has ended already ({row[0]}); it cannot change.")

    def _cited(self, experiments: Sequence[int]) -> str:
        for experiment in experiments:
            self._require("experiment", experiment)
        return _json([show_id("experiment", experiment) for experiment in experiments])

    def _environment(self, environment: Mapping[str, Any]) -> str:
        content = _json(environment, sort=True)
        row = {"hash": hashlib.sha256(content.encode()).hexdigest(), "content": content}
        known = self._db.conn.execute("SELECT 1 FROM environments WHERE hash = ?", [row["hash"]]).fetchone()
        if known is None:
            self._insert("environments", **row)
        return row["hash"]

    def _subject(self, subject: Mapping[str, Any]) -> int:
        name, fingerprint = subject["name"], subject["fingerprint"]
        where = "SELECT id FROM subjects WHERE name = ? AND fingerprint = ?"
        known = self._db.conn.execute(where, [name, fingerprint]).fetchone()
        if known is not None:
            return known[0]
        row = {"name": name, "fingerprint": fingerprint, "architecture": subject["architecture"]}
        return self._insert("subjects", **row, anatomy=_json(subject["anatomy"]))


@contextmanager
def _explaining(path: Path) -> Generator[None, None, None]:
    """SQLite's errors become TrackerErrors that name the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise explained(error, path) from error
    except OverflowError as error:
        raise TrackerError(f"{path} cannot hold an integer of more than 64 bits.") from error


def _write_ahead(connection: sqlite3.Connection, wait: float) -> None:
    """Readers never wait for the writer in WAL mode. The change of mode ignores the busy timeout, so that two
    processes which make the file together would fail: hence the loop."""
    deadline = time.monotonic() + wait
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _check_status(status: str, known: Sequence[str]) -> None:
    if status not in known:
        raise TrackerError(f"There is no status '{status}'. Known: {', '.join(known)}.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _json(value: Any, *, sort: bool = False) -> str:
    """JSON that SQLite and every other reader takes: no NaN, no infinity, text as it is."""
    try:
        return _text(json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=sort))
    except ValueError as error:
        raise TrackerError(f"This cannot be recorded: {error}.") from error


def _text(text: str) -> str:
    """UTF-8 has no lone surrogates, but JSON that a language model wrote may."""
    return text.encode("utf-8", "replace").decode()


def _stored(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: _text(value) if isinstance(value, str) else value for column, value in row.items()}
