"""Writes experiments: a row before the experiment starts; after it, all results in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..errors import TrackerError
from ..ids import show_id
from ..locks import is_alive
from . import pending
from .pending import Ended
from .rows import Writing, as_json, explaining, now, stored


class _Left(Exception):
    """Stop waiting for the lock: the file next to the tracker is enough."""


def _as_columns(notes: Sequence[Mapping[str, Any] | str]) -> dict[str, str]:
    """The texts of a result's notes, and their codes in the same order. A result that waited in a file of an older
    version has texts without codes, and its row gets none."""
    texts = [one if isinstance(one, str) else one["text"] for one in notes]
    codes = [one["code"] for one in notes if not isinstance(one, str)]
    return {"notes": as_json(texts), "note_codes": as_json(codes if len(codes) == len(texts) else [])}


class ExperimentWriter(Writing):
    """The rows of experiments with their results, of their subjects, and of reuses."""

    @cached_property
    def _started(self) -> dict[int, str]:
        """The start times of the experiments that this process runs, by number: their rows may not be readable when
        they end."""
        return {}

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
        """Record an experiment that is about to start; returns its number. `subject` has name, fingerprint,
        architecture and anatomy; `call`, here and below, is the id of the call that requested it."""
        started = now()
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
                config=as_json(config),
                config_hash=config_hash,
                subject=self._subject(subject),
                task_fingerprint=task_fingerprint,
                code_version=code_version,
                environment=self._environment(environment),
                reason=reason,
                status="running",
                started=started,
            )
            if run is None:
                self._hold("experiment", experiment)
        self._started[experiment] = started
        return experiment

    def finish_experiment(
        self,
        experiment: int,
        result: Mapping[str, Any],
        seconds: float,
        artifacts: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:
        """Record all results of an experiment in one transaction: `result` is `Result.model_dump()`, `artifacts` maps
        a name to its media type and bytes. Raises TrackerError if the experiment has already ended."""
        started = self._when_started(experiment)
        self._end(Ended(experiment, started, seconds, result=result, artifacts=artifacts or {}))

    def fail_experiment(
        self,
        experiment: int,
        error_type: str,
        error: str,
        seconds: float,
        artifacts: Mapping[str, tuple[str, bytes]] | None = None,
        leave: bool = False,
    ) -> None:
        """Record an experiment that ended with an error. With `leave` it does not wait for a long lock: the file next
        to the tracker is enough."""
        told: dict[str, Any] = {"error_type": error_type, "error": error, "artifacts": artifacts or {}}
        self._end(Ended(experiment, self._when_started(experiment), seconds, **told), leave)

    def take_in(self) -> None:
        """Write the results that could not be written when their experiments ended, unless their processes still wait
        to write them. Raises TrackerError if a file is damaged."""
        for file in pending.files(self.path):
            ended = pending.read(file)
            if ended is None:
                continue
            with explaining(self.path):
                sql = "SELECT run, started FROM experiments WHERE id = ?"
                row = self._db.conn.execute(sql, [ended.experiment]).fetchone()
            if row is None or row[1] != ended.started:
                continue  # it belongs to another tracker that had this name
            owner = ended.id if row[0] is None else show_id("run", row[0])
            if not is_alive(self.path, owner):
                with self._transaction():
                    self._write(ended)
                file.unlink(missing_ok=True)

    def _when_started(self, experiment: int) -> str:
        if experiment not in self._started:
            self._require("experiment", experiment)
            sql = "SELECT started FROM experiments WHERE id = ?"
            self._started[experiment] = self._db.conn.execute(sql, [experiment]).fetchone()[0]
        return self._started[experiment]

    def _end(self, ended: Ended, leave: bool = False) -> None:
        """Write the result to the tracker; keep it in a file next to it until that is possible."""

        def late() -> str:
            try:
                file = pending.keep(self.path, ended)
            except OSError as fault:
                return (
                    f"The result of {ended.id} is only in memory ({fault.strerror}). If you stop this program now, "
                    f"{ended.id} must be rerun."
                )
            if leave:
                raise _Left
            return (
                f"The result of {ended.id} is in {file}. If you stop this program, the next command that writes to "
                "this tracker adds it."
            )

        try:
            with self._transaction(late):
                if not self._write(ended):
                    row = self._db.conn.execute("SELECT status FROM experiments WHERE id = ?", [ended.experiment])
                    raise TrackerError(f"{ended.id} has already ended ({row.fetchone()[0]}) and cannot change.")
        except _Left:
            pass
        else:
            pending.file_of(self.path, ended.id).unlink(missing_ok=True)
        self._let_go(ended.id)

    def _write(self, ended: Ended) -> bool:
        """Write the rows of a result inside a transaction. Returns False, writing nothing, if it has already ended."""
        number = ended.experiment
        self._require("experiment", number)
        row = self._db.conn.execute("SELECT status FROM experiments WHERE id = ?", [number]).fetchone()
        if row[0] != "running":
            return False
        at = now()
        done: dict[str, Any] = {"status": "failed", "error_type": ended.error_type, "error": ended.error}
        if (result := ended.result) is not None:
            for table in ("measurements", "effects", "samples", "figures"):
                rows = [{"experiment": number, **row} for row in result[table]]
                if table == "figures":
                    rows = [{**row, "data": as_json(row["data"])} for row in rows]
                self._db.table(table).insert_all([stored(row) for row in rows])
            for circuit in result.get("circuits", ()):
                self._add_circuit(number, circuit, at)
            done = {"status": "done", "found": result["found"], "doubts": as_json(list(result.get("doubts", ())))}
            done |= _as_columns(result["notes"])
        for name, (media_type, data) in ended.artifacts.items():
            sha256 = hashlib.sha256(data).hexdigest()
            kept = {"experiment": number, "name": name, "media_type": media_type, "sha256": sha256}
            self._insert("artifacts", **kept, size=len(data), data=data)
        self._update("experiment", number, **done, ended=at, seconds=ended.seconds)
        self._seals.add("experiment", number)
        return True

    def _add_circuit(self, experiment: int, circuit: Mapping[str, Any], at: str) -> None:
        """Write a circuit of an experiment: `Circuit.model_dump()`."""
        own = {name: value for name, value in circuit.items() if name not in ("edges", "members")}
        of = self._db.conn.execute("SELECT subject, task FROM experiments WHERE id = ?", [experiment]).fetchone()
        own |= {"experiment": experiment, "subject": of[0], "task": of[1], "members": as_json(circuit["members"])}
        number = self._insert("circuits", **own, created=at)
        self._db.table("circuit_edges").insert_all([stored({"circuit": number, **edge}) for edge in circuit["edges"]])

    def find_experiment(
        self, config_hash: str, subject_fingerprint: str, task_fingerprint: str | None, code_version: str
    ) -> int | None:
        """The first finished experiment with this configuration, subject, task and code."""
        with explaining(self.path):
            row = self._db.conn.execute(
                "SELECT min(e.id) FROM experiments AS e JOIN subjects AS s ON s.id = e.subject WHERE e.status = 'done' "
                "AND e.config_hash = ? AND s.fingerprint = ? AND e.task_fingerprint IS ? AND e.code_version = ?",
                [config_hash, subject_fingerprint, task_fingerprint, code_version],
            ).fetchone()
        return row[0]

    def find_unfinished(
        self, name: str, config_hash: str, subject_fingerprint: str, task_fingerprint: str | None, code_version: str
    ) -> tuple[int, bytes] | None:
        """The last experiment with this configuration that ended early with an artifact of this name; and its bytes."""
        with explaining(self.path):
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
        """Record that this run reuses an earlier experiment; does nothing if it is recorded, or the run's own."""
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
                self._insert("reuses", run=run, experiment=experiment, **asked, created=now())

    def _subject(self, subject: Mapping[str, Any]) -> int:
        name, fingerprint = subject["name"], subject["fingerprint"]
        where = "SELECT id FROM subjects WHERE name = ? AND fingerprint = ?"
        known = self._db.conn.execute(where, [name, fingerprint]).fetchone()
        if known is not None:
            return known[0]
        row = {"name": name, "fingerprint": fingerprint, "architecture": subject["architecture"]}
        return self._insert("subjects", **row, anatomy=as_json(subject["anatomy"]))
