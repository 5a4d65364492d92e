"""Reads experiments: lists of them, and one with everything that it found."""

from __future__ import annotations

import json
from typing import Literal, get_args

from . import older
from .errors import NotRecorded, TrackerError
from .ids import show_id
from .reading import Reading, Row, every, parsed, spoken

Sort = Literal["id", "kind", "model", "task", "n", "seconds"]
_SUMMARY = (
    "SELECT id, run, kind, model, task, split, n, config, status, reason, found, error_type, error, started, ended, "
    "seconds FROM experiments"
)


class ExperimentReader(Reading):
    """Experiments with all that belongs to them, and their subjects."""

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
        sort: Sort = "id",
        before: int | None = None,
    ) -> list[Row]:
        """Experiments in short, by one column; with a limit, the last so many in that order (of those before this one).
        A run's are its own and those that it reused, which name the run that they are from."""
        wanted, values = self._wanted(kind, task, model, run, status, before)
        # Whether a process is alive is not in the file.
        alive_or_not = status in ("running", "interrupted")
        assert sort in get_args(Sort), sort
        sql = f"SELECT * FROM ({_SUMMARY} WHERE {wanted} ORDER BY {sort} DESC, id DESC LIMIT ?) ORDER BY {sort}, id"
        most = -1 if limit is None or alive_or_not else limit
        rows = [self._told(row, "experiment") for row in self._rows(sql, *values, most)]
        return [row for row in rows if row["status"] == status][-(limit or 0) :] if alive_or_not else rows

    def experiment_count(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        run: int | None = None,
        status: str | None = None,
    ) -> int:
        """How many experiments `experiments` would give without a limit."""
        if status in ("running", "interrupted"):
            return len(self.experiments(kind, task, model, run, status))
        wanted, values = self._wanted(kind, task, model, run, status)
        return self._rows(f"SELECT count(*) AS n FROM experiments WHERE {wanted}", *values)[0]["n"]

    def _wanted(
        self,
        kind: str | None,
        task: str | None,
        model: str | None,
        run: int | None,
        status: str | None,
        before: int | None = None,
    ) -> tuple[str, list[str | int]]:
        """The condition in SQL, and its values."""
        # What is interrupted is written as running in the file.
        written = "running" if status == "interrupted" else status
        ours = f"(SELECT experiment FROM reuses WHERE run = {int(run)})" if run is not None else "()"
        of_run = f"(run = ? OR id IN {ours})"
        wanted = {"kind = ?": kind, "task = ?": task, "model = ?": model, of_run: run, "status = ?": written}
        wanted |= {"id < ?": before}
        values = {condition: value for condition, value in wanted.items() if value is not None}
        return every(values), list(values.values())

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
            "doubts": row["doubts"] or ([] if row["note_codes"] else older.doubts_in(row["notes"])),
            "subject": parsed(self._rows(subject, row["subject"])[0]),
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

    def artifact(self, experiment: int, name: str) -> bytes:
        """The bytes of one artifact."""
        self.require("experiment", experiment)
        rows = self._rows("SELECT data FROM artifacts WHERE experiment = ? AND name = ?", experiment, name)
        if not rows:
            names = [row["name"] for row in self._part("artifacts", experiment, "name")]
            there = f"It has: {', '.join(names)}." if names else "It has none."
            raise TrackerError(f"{show_id('experiment', experiment)} has no artifact '{name}'. {there}")
        return rows[0]["data"]

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

    def strongest(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        metric: str | None = None,
        run: int | None = None,
        limit: int = 20,
    ) -> list[Row]:
        """The strongest effects of one metric (else the one that has most), each place of a subject, task, kind and
        method once, as it was measured last; `times` is how often. Raises NotRecorded for a metric without effects."""
        wanted = {"e.kind = ?": kind, "e.task = ?": task, "e.model = ?": model, "e.run = ?": run}
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        of = (
            "FROM effects AS f JOIN experiments AS e ON e.id = f.experiment "
            f"WHERE e.status = 'done' AND {every(wanted)}"
        )
        most = f"SELECT f.metric AS metric {of} GROUP BY f.metric ORDER BY count(*) DESC, f.metric"
        known = [row["metric"] for row in self._rows(most, *wanted.values())]
        if not known:
            return []
        if metric is not None and metric not in known:
            raise NotRecorded("metric", metric, known)
        asked = "json_extract(e.config, '$.chat'), json_extract(e.config, '$.system')"
        one = f"e.subject, e.task, {asked}, e.kind, json_extract(e.config, '$.method'), f.site"
        rows = self._rows(
            f"SELECT * FROM (SELECT e.id, e.run, f.site, f.metric, f.value, f.low, f.high, f.n, f.q, f.percentile, "
            "e.kind, json_extract(e.config, '$.method') AS method, e.model, e.task, e.split, "
            f"count(*) OVER (PARTITION BY {one}) AS times, "
            f"row_number() OVER (PARTITION BY {one} ORDER BY e.id DESC) AS latest {of} AND f.metric = ?) "
            "WHERE latest = 1 ORDER BY abs(value) DESC, id, site LIMIT ?",
            *wanted.values(), metric or known[0], limit,
        )  # fmt: skip
        return [{k: v for k, v in spoken(row, "experiment").items() if k != "latest"} for row in rows]

    def _part(self, table: str, experiment: int, columns: str) -> list[Row]:
        rows = self._rows(f"SELECT {columns} FROM {table} WHERE experiment = ? ORDER BY id", experiment)
        return [parsed(row) for row in rows]

    def _environment(self, environment: str) -> Row:
        return json.loads(self._rows("SELECT content FROM environments WHERE hash = ?", environment)[0]["content"])
