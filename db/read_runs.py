"""Reads runs: their timeline, conversation, reports, and who reviewed them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .ids import parse_id, show_id
from .read_experiments import ExperimentReader
from .read_thoughts import ThoughtReader
from .reading import Row, parsed
from .seals import Seals


class RunReader(ExperimentReader, ThoughtReader):
    """Runs, with what was measured and thought in them."""

    def runs(self) -> list[Row]:
        """Every run, with the number of its experiments and notes, and whether it has a report; `spent` is what one
        that has not ended has spent so far."""
        return [
            self._with_spent({**self._told(row, "run"), "report": bool(row["report"])})
            for row in self._rows(
                "SELECT id, goal, driver, llm, model, task, seed, reviews, parent, forked_at, status, budget, spent, "
                "started, ended, error, error_code, "
                "(SELECT count(*) FROM experiments WHERE run = runs.id) AS experiment_count, "
                "(SELECT count(*) FROM notes WHERE run = runs.id) AS note_count, "
                "EXISTS (SELECT 1 FROM reports WHERE run = runs.id) AS report FROM runs ORDER BY id"
            )
        ]

    def run(self, run: int) -> Row:
        """One run with its timeline, hypotheses (with events), notes, experiments (in short), the source of
        its latest report, or None, the seal that a report of it carries, the runs that reviewed it or were forked from
        it, and when it was taken up again."""
        row = self._with_spent(self._one("run", run, "SELECT * FROM runs WHERE id = ?"))
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
            "waiting": [one["text"] for one in self.waiting(run)],
            "reviewed_by": [show_id("run", one) for one in self.reviews_of(run)],
            "forks": [show_id("run", one) for one in self.forks_of(run)],
            "resumed": [
                one["created"] for one in self._rows("SELECT created FROM resumptions WHERE run = ? ORDER BY id", run)
            ],
        }

    def reviews_of(self, run: int) -> list[int]:
        """The runs that are a second opinion on this one."""
        return [row["id"] for row in self._rows("SELECT id FROM runs WHERE reviews = ? ORDER BY id", run)]

    def waiting(self, run: int) -> list[Row]:
        """What the user told a run and no turn of it carries yet: id, text, created."""
        return self._rows(
            "SELECT id, text, created FROM told WHERE run = ?1 AND id NOT IN (SELECT json_extract(content, "
            "'$.data.told') FROM turns WHERE run = ?1 AND role = 'user' AND json_extract(content, '$.data.told') "
            "IS NOT NULL) ORDER BY id",
            run,
        )

    def forks_of(self, run: int) -> list[int]:
        """The runs that were forked from this one."""
        return [row["id"] for row in self._rows("SELECT id FROM runs WHERE parent = ? ORDER BY id", run)]

    def request(self, run: int, at: str) -> Row | None:
        """What the run asked its language model with at that time: instructions and tools. None where it was not kept,
        which it is of every run that began or was taken up since."""
        rows = self._rows(
            "SELECT content FROM (SELECT request, started AS created FROM runs WHERE id = ?1 "
            "UNION ALL SELECT request, created FROM resumptions WHERE run = ?1) "
            "LEFT JOIN requests ON hash = request WHERE created <= ?2 ORDER BY created DESC LIMIT 1",
            run,
            at,
        )
        return json.loads(rows[0]["content"]) if rows and rows[0]["content"] else None

    def found_until(self, run: int, at: str) -> list[int]:
        """The experiments that a run had done or reused by then, but for those on held-out prompts."""
        rows = self._rows(
            "SELECT id FROM experiments WHERE split IS NOT 'confirm' AND status = 'done' AND (run = ?1 AND ended <= ?2 "
            "OR id IN (SELECT experiment FROM reuses WHERE run = ?1 AND created <= ?2)) ORDER BY id",
            run,
            at,
        )
        return [row["id"] for row in rows]

    def turns(self, run: int) -> list[Row]:
        """The conversation of a run: step, role, content, what the tokens and the cost of a reply were, seconds,
        created."""
        self.require("run", run)
        columns = "id, step, role, content, tokens_in, tokens_cached, tokens_written, tokens_out, cost, seconds"
        return [
            parsed(row) for row in self._rows(f"SELECT {columns}, created FROM turns WHERE run = ? ORDER BY id", run)
        ]

    def written_by(self, table: str, run: int, call: str) -> list[Row]:
        """The rows of a table that a call of this run's conversation wrote, as they stand in the file."""
        ours = "hypothesis IN (SELECT id FROM hypotheses WHERE run = ?)" if table == "hypothesis_events" else "run = ?"
        return self._rows(f"SELECT * FROM {table} WHERE {ours} AND call = ? ORDER BY rowid", run, call)

    def experiments_spent(self, run: int, but: Sequence[str] = ()) -> int:
        """How many experiments of its own a run has done or seen fail, without those that the user refused, and those
        that these calls asked for."""
        sql = (
            "SELECT count(*) AS n FROM experiments WHERE run = ? AND status != 'running' "
            "AND coalesce(error_type, '') NOT IN ('Interrupted', 'NotApproved') "
            "AND (call IS NULL OR call NOT IN (SELECT value FROM json_each(?)))"
        )
        return self._rows(sql, run, json.dumps(list(but)))[0]["n"]

    def spent_so_far(self, run: int) -> Row:
        """What the log says that a run has spent, with its dearest reply. A protocol's replies have no tokens, and cost
        nothing, and those that a fork shares are its parent's."""
        sql = (
            "SELECT total(said) AS steps, total(tokens_in) AS tokens_in, total(tokens_cached) AS tokens_cached, "
            "total(tokens_out) AS tokens_out, total(own AND tokens_in + tokens_out IS NULL) AS uncounted, "
            "total(own AND cost IS NULL) AS unpriced, total(cost) AS cost, max(0, max(cost)) AS dearest, "
            "total(seconds) AS seconds FROM (SELECT turns.*, role = 'assistant' AS said, role = 'assistant' AND "
            "step > coalesce(forked_at, 0) AS own FROM turns JOIN runs ON runs.id = run WHERE run = ?)"
        )
        row = self._rows(sql, run)[0]
        counts = {name: int(row[name]) for name in ("steps", "tokens_in", "tokens_cached", "tokens_out")}
        by_protocol = self._rows("SELECT llm FROM runs WHERE id = ?", run)[0]["llm"] is None
        lacking = {name: 0 if by_protocol else int(row[name]) for name in ("uncounted", "unpriced")}
        money = {"cost": row["cost"], "dearest": row["dearest"] or 0.0, "seconds": row["seconds"]}
        return {"experiments": self.experiments_spent(run), **counts, **lacking, **money}

    def _with_spent(self, row: Row) -> Row:
        if row["spent"] or row["status"] not in ("running", "stopped"):
            return row
        spent = self.spent_so_far(parse_id(row["id"])[1])
        minutes, _ = round(spent.pop("seconds") / 60, 2), spent.pop("dearest")
        return {**row, "spent": {**spent, "cost": known_cost(spent["cost"], spent["unpriced"]), "minutes": minutes}}

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
        return parsed(rows[0]) if rows else None


def known_cost(cost: float, unpriced: int) -> float | None:
    """What replies cost, in dollars; None where nothing is known but that some had no price."""
    return None if unpriced and not cost else round(cost, 6)
