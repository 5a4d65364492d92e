"""Reads experiments: lists, and single ones with all results."""

from __future__ import annotations

from typing import Any, Literal, get_args

from .. import older
from ..errors import NotRecorded, TrackerError
from ..ids import show_id
from ..records import (
    Artifact,
    Effect,
    Experiment,
    ExperimentSummary,
    Family,
    Figure,
    Measurement,
    Sample,
    StrongEffect,
    Subject,
    Weights,
)
from .circuits import CircuitReader
from .rows import every, fields

Sort = Literal["id", "kind", "model", "task", "n", "seconds"]
# The results of an experiment, by field and table.
PARTS: dict[str, Any] = {
    "measurements": Measurement, "effects": Effect, "samples": Sample, "figures": Figure, "artifacts": Artifact,
}  # fmt: skip
# The content of an environment; rows of runs and experiments refer to it by hash.
ENVIRONMENT = "(SELECT content FROM environments WHERE hash = environment)"
_OWN = tuple(name for name in fields(Experiment) if name not in (*PARTS, "circuits", "cited_by"))


class ExperimentReader(CircuitReader):
    """Experiments with their results, and their subjects."""

    def subjects(self, run: int) -> list[Weights]:
        """The subjects of a run's own experiments, latest last."""
        return self._records(
            Weights,
            "FROM experiments AS e JOIN subjects AS s ON s.id = e.subject WHERE e.run = ? GROUP BY s.id "
            "ORDER BY max(e.id)",
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
    ) -> list[ExperimentSummary]:
        """Experiments in short, sorted by one column; with `limit`, the last ones (before the number `before`). A run's
        experiments are its own and those that it reused, which name their original run."""
        wanted, values = self._wanted(kind, task, model, run, status, before)
        # The file does not say whether a process is alive.
        alive_or_not = status in ("running", "interrupted")
        assert sort in get_args(Sort), sort
        found = f"SELECT * FROM experiments WHERE {wanted} ORDER BY {sort} DESC, id DESC LIMIT ?"
        most = -1 if limit is None or alive_or_not else limit
        rows = self._records(ExperimentSummary, f"FROM ({found}) ORDER BY {sort}, id", *values, most, what="experiment")
        return [row for row in rows if row.status == status][-(limit or 0) :] if alive_or_not else rows

    def experiment_count(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        run: int | None = None,
        status: str | None = None,
    ) -> int:
        """How many experiments `experiments` would return without a limit."""
        if status in ("running", "interrupted"):
            return len(self.experiments(kind, task, model, run, status))
        wanted, values = self._wanted(kind, task, model, run, status)
        return self._values(f"SELECT count(*) FROM experiments WHERE {wanted}", *values)[0]

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
        # In the file, an interrupted experiment has the status running.
        written = "running" if status == "interrupted" else status
        ours = f"(SELECT experiment FROM reuses WHERE run = {int(run)})" if run is not None else "()"
        of_run = f"(run = ? OR id IN {ours})"
        wanted = {"kind = ?": kind, "task = ?": task, "model = ?": model, of_run: run, "status = ?": written}
        wanted |= {"id < ?": before}
        values = {condition: value for condition, value in wanted.items() if value is not None}
        return every(values), list(values.values())

    def experiment(self, experiment: int) -> Experiment:
        """One experiment with all results; artifacts by name and size only."""
        row = self._row(Experiment, _OWN, "experiment", experiment, environment=ENVIRONMENT)
        cites = "WHERE EXISTS (SELECT 1 FROM json_each(experiments) WHERE value = ?)"
        row["cited_by"] = self._values(
            f"SELECT 'N' || id AS id FROM notes {cites} UNION ALL "
            f"SELECT * FROM (SELECT DISTINCT 'H' || hypothesis FROM hypothesis_events {cites})",
            *[show_id("experiment", experiment)] * 2,
        )
        row["subject"] = self._records(Subject, "FROM subjects WHERE id = ?", row["subject"])[0]
        row["doubts"] = row["doubts"] or ([] if row["note_codes"] else older.doubts_in(row["notes"]))
        of = "WHERE experiment = ? ORDER BY id"
        row |= {table: self._records(record, f"FROM {table} {of}", experiment) for table, record in PARTS.items()}
        row["circuits"] = self.circuits(experiment=experiment)
        return Experiment(**row)

    def artifact(self, experiment: int, name: str) -> bytes:
        """The bytes of one artifact."""
        self.require("experiment", experiment)
        found = self._values("SELECT data FROM artifacts WHERE experiment = ? AND name = ?", experiment, name)
        if not found:
            names = self._values("SELECT name FROM artifacts WHERE experiment = ? ORDER BY id", experiment)
            there = f"It has: {', '.join(names)}." if names else "It has none."
            raise TrackerError(f"{show_id('experiment', experiment)} has no artifact '{name}'. {there}")
        return found[0]

    def ledger(self, until: str | None = None) -> list[Family]:
        """Every family of comparisons in the tracker (up to a time)."""
        return self._records(
            Family,
            "FROM experiments AS e JOIN subjects AS s ON s.id = e.subject JOIN effects AS f ON f.experiment = e.id "
            "WHERE e.status = 'done' AND (?1 IS NULL OR e.ended <= ?1) GROUP BY s.id, e.task, e.kind "
            "ORDER BY comparisons DESC, s.name, e.task, e.kind",
            until,
            model="s.name", experiments="count(DISTINCT e.id)", comparisons="count(f.id)",
            significant="coalesce(sum(f.q < 0.05), 0)",
        )  # fmt: skip

    def strongest(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        metric: str | None = None,
        run: int | None = None,
        limit: int = 20,
    ) -> list[StrongEffect]:
        """The strongest effects on one metric (default: the most frequent). Each site of a subject, task, kind and
        method appears once, with its latest measurement; `times` counts its measurements. Raises NotRecorded for a
        metric without effects."""
        wanted = {"e.kind = ?": kind, "e.task = ?": task, "e.model = ?": model, "e.run = ?": run}
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        of = (
            "FROM effects AS f JOIN experiments AS e ON e.id = f.experiment "
            f"WHERE e.status = 'done' AND {every(wanted)}"
        )
        most = f"SELECT f.metric AS metric {of} GROUP BY f.metric ORDER BY count(*) DESC, f.metric"
        known = [metric for metric, *_ in self._tuples(most, list(wanted.values()))]
        if not known:
            return []
        if metric is not None and metric not in known:
            raise NotRecorded("metric", metric, known)
        asked = "json_extract(e.config, '$.chat'), json_extract(e.config, '$.system')"
        one = f"e.subject, e.task, {asked}, e.kind, json_extract(e.config, '$.method'), f.site"
        return self._records(
            StrongEffect,
            "FROM (SELECT e.id, e.run, f.site, f.metric, f.value, f.low, f.high, f.n, f.q, f.percentile, "
            "e.kind, json_extract(e.config, '$.method') AS method, e.model, e.task, e.split, "
            f"count(*) OVER (PARTITION BY {one}) AS times, "
            f"row_number() OVER (PARTITION BY {one} ORDER BY e.id DESC) AS latest {of} AND f.metric = ?) "
            "WHERE latest = 1 ORDER BY abs(value) DESC, id, site LIMIT ?",
            *wanted.values(), metric or known[0], limit, what="experiment",
        )  # fmt: skip
