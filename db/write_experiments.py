"""Writes experiments. A row is written before one starts and finished, with everything it found, in one transaction
after it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from .errors import TrackerError
from .ids import show_id
from .writing import Writing, as_json, explaining, now, stored


class ExperimentWriter(Writing):
    """The rows of experiments with all that belongs to them, of their subjects, and of reuses."""

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
                config=as_json(config),
                config_hash=config_hash,
                subject=self._subject(subject),
                task_fingerprint=task_fingerprint,
                code_version=code_version,
                environment=self._environment(environment),
                reason=reason,
                status="running",
                started=now(),
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
                    rows = [{**row, "data": as_json(row["data"])} for row in rows]
                self._db.table(table).insert_all([stored(row) for row in rows])
            self._add_artifacts(experiment, artifacts or {})
            found, notes = result["found"], as_json(list(result["notes"]))
            doubts = as_json(list(result.get("doubts", ())))
            ended: dict[str, Any] = {"status": "done", "ended": now(), "seconds": seconds}
            self._update("experiment", experiment, found=found, notes=notes, doubts=doubts, **ended)
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
            ended: dict[str, Any] = {"status": "failed", "ended": now(), "seconds": seconds}
            self._update("experiment", experiment, error_type=error_type, error=error, **ended)
            self._seals.add("experiment", experiment)
        self._let_go(show_id("experiment", experiment))

    def find_experiment(
        self, config_hash: str, subject_fingerprint: str, task_fingerprint: str | None, code_version: str
    ) -> int | None:
        """The first finished experiment of this configuration on this subject, task and code."""
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
        """The last experiment of this configuration that ended early with an artifact of this name, and its bytes."""
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
                self._insert("reuses", run=run, experiment=experiment, **asked, created=now())

    def _require_running(self, experiment: int) -> None:
        self._require("experiment", experiment)
        row = self._db.conn.execute("SELECT status FROM experiments WHERE id = ?", [experiment]).fetchone()
        if row[0] != "running":
            raise TrackerError(f"{show_id('experiment', experiment)} has ended already ({row[0]}); it cannot change.")

    def _subject(self, subject: Mapping[str, Any]) -> int:
        name, fingerprint = subject["name"], subject["fingerprint"]
        where = "SELECT id FROM subjects WHERE name = ? AND fingerprint = ?"
        known = self._db.conn.execute(where, [name, fingerprint]).fetchone()
        if known is not None:
            return known[0]
        row = {"name": name, "fingerprint": fingerprint, "architecture": subject["architecture"]}
        return self._insert("subjects", **row, anatomy=as_json(subject["anatomy"]))
