"""Reads runs: timeline, conversation, reports and reviews."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..ids import parse_id, show_id
from ..records import Event, RelativeTests, Report, Request, Run, RunSummary, SpentSoFar, Turn, Words, Written
from ..seals import Seals
from .experiments import ENVIRONMENT, ExperimentReader
from .rows import Row, fields
from .thoughts import ThoughtReader

# Fields that are not in a run's row.
_AROUND = ("seal", "questions", "timeline", "hypotheses", "notes", "experiments", "report", "waiting", "reviewed_by",
           "forks", "resumed", "turns")  # fmt: skip
_OWN = tuple(name for name in fields(Run) if name not in _AROUND)
_COUNTED = {
    "experiment_count": "(SELECT count(*) FROM experiments WHERE run = runs.id)",
    "note_count": "(SELECT count(*) FROM notes WHERE run = runs.id)",
    "report": "EXISTS (SELECT 1 FROM reports WHERE run = runs.id)",
}


class RunReader(ExperimentReader, ThoughtReader):
    """Runs, with their experiments and their notes and hypotheses."""

    def runs(self) -> list[RunSummary]:
        """Every run; `spent` of a run that has not ended is what it has spent so far."""
        found = self._records(RunSummary, "FROM runs ORDER BY id", what="run", **_COUNTED)
        return [row if (spent := self._spent(row)) is None else row._replace(spent=spent) for row in found]

    def run(self, run: int, turns: bool = False) -> Run:
        """One run with everything in it; with `turns`, also its conversation."""
        row = Run(
            **self._row(Run, _OWN, "run", run, environment=ENVIRONMENT),
            seal=Seals(self._connection).of_report(run),
            questions=self.questions(run),
            timeline=self._records(Event, "FROM run_timeline WHERE run = ? ORDER BY at", f"R{run}"),
            hypotheses=self.hypotheses(run),
            notes=self.notes(run=run),
            experiments=self.experiments(run=run),
            report=self.report(run),
            waiting=[one.text for one in self.waiting(run)],
            reviewed_by=[show_id("run", one) for one in self.reviews_of(run)],
            forks=[show_id("run", one) for one in self.forks_of(run)],
            resumed=self._values("SELECT created FROM resumptions WHERE run = ? ORDER BY id", run),
            turns=self.turns(run) if turns else (),
        )
        return row if (spent := self._spent(row)) is None else row._replace(spent=spent)

    def reviews_of(self, run: int) -> list[int]:
        """The runs that review this one."""
        return self._values("SELECT id FROM runs WHERE reviews = ? ORDER BY id", run)

    def waiting(self, run: int) -> list[Words]:
        """The user's messages to a run that no turn contains yet."""
        return self._records(
            Words,
            "FROM told WHERE run = ?1 AND id NOT IN (SELECT json_extract(content, '$.data.told') FROM turns "
            "WHERE run = ?1 AND role = 'user' AND json_extract(content, '$.data.told') IS NOT NULL) ORDER BY id",
            run,
        )

    def forks_of(self, run: int) -> list[int]:
        """The runs that were forked from this one."""
        return self._values("SELECT id FROM runs WHERE parent = ? ORDER BY id", run)

    def tested_by_relatives(self, run: int, until: str | None = None) -> list[RelativeTests]:
        """How many predictions each other run tested (until a time) that shares this one's beginning: the run that it
        was forked from, its own forks, and theirs."""
        return self._records(
            RelativeTests,
            "FROM (WITH RECURSIVE "
            "above (id) AS (SELECT ?1 UNION SELECT parent FROM runs JOIN above USING (id) WHERE parent IS NOT NULL), "
            "family (id) AS (SELECT id FROM above UNION SELECT runs.id FROM runs JOIN family ON parent = family.id) "
            "SELECT hypotheses.run AS run, count(*) AS tests FROM judgements "
            "JOIN predictions ON predictions.id = prediction JOIN hypotheses ON hypotheses.id = hypothesis "
            "WHERE hypotheses.run IN family AND hypotheses.run <> ?1 AND (?2 IS NULL OR judgements.created <= ?2) "
            "GROUP BY hypotheses.run)",
            run, until,
        )  # fmt: skip

    def request(self, run: int, at: str) -> Request | None:
        """The run's instructions and tools at that time. None if they were not kept: only versions before migration 008
        did not keep them."""
        found = self._values(
            "SELECT content FROM (SELECT request, started AS created FROM runs WHERE id = ?1 "
            "UNION ALL SELECT request, created FROM resumptions WHERE run = ?1) "
            "LEFT JOIN requests ON hash = request WHERE created <= ?2 ORDER BY created DESC LIMIT 1",
            run,
            at,
        )
        return Request(**json.loads(found[0])) if found and found[0] else None

    def found_until(self, run: int, at: str) -> list[int]:
        """The experiments that a run had done or reused by then, except those on held-out prompts."""
        return self._values(
            "SELECT id FROM experiments WHERE split IS NOT 'confirm' AND status = 'done' AND (run = ?1 AND ended <= ?2 "
            "OR id IN (SELECT experiment FROM reuses WHERE run = ?1 AND created <= ?2)) ORDER BY id",
            run,
            at,
        )

    def turns(self, run: int) -> list[Turn]:
        """The conversation of a run."""
        self.require("run", run)
        return self._records(Turn, "FROM turns WHERE run = ? ORDER BY id", run)

    def written_by(self, table: str, run: int, call: str) -> list[Written]:
        """The rows that a call of this run's conversation wrote to a table."""
        ours = "hypothesis IN (SELECT id FROM hypotheses WHERE run = ?)" if table == "hypothesis_events" else "run = ?"
        told = {"experiments": ("config_hash", "error_type", "error"), "task_files": ("name", "fingerprint")}
        lacking = {name: "NULL" for name in fields(Written) if name not in told.get(table, ())}
        return self._records(
            Written, f"FROM {table} WHERE {ours} AND call = ? ORDER BY rowid", run, call,
            **{**lacking, "number": "rowid"},
        )  # fmt: skip

    def experiments_spent(self, run: int, but: Sequence[str] = ()) -> int:
        """How many of its own experiments a run has finished, without those of the calls in `but`. One that failed gave
        no result, and costs nothing."""
        sql = (
            "SELECT count(*) AS n FROM experiments WHERE run = ? AND status = 'done' "
            "AND (call IS NULL OR call NOT IN (SELECT value FROM json_each(?)))"
        )
        return self._values(sql, run, json.dumps(list(but)))[0]

    def spent_so_far(self, run: int) -> SpentSoFar:
        """What a run has spent, by the log. Replies of a fixed protocol have no tokens and cost nothing; the replies
        that a fork shares count for its parent."""
        said = (
            "FROM (SELECT turns.*, role = 'assistant' AS said, role = 'assistant' AND step > coalesce(forked_at, 0) AS "
            "own FROM turns JOIN runs ON runs.id = run WHERE run = ?1)"
        )
        by_protocol = self._values("SELECT llm FROM runs WHERE id = ?", run)[0] is None
        lacking = "0 * " if by_protocol else ""

        def whole(of: str) -> str:
            return f"CAST(total({of}) AS INTEGER)"

        found = self._records(
            SpentSoFar, said, run,
            experiments=str(self.experiments_spent(run)), steps=whole("said"), tokens_in=whole("tokens_in"),
            tokens_cached=whole("tokens_cached"), tokens_out=whole("tokens_out"),
            uncounted=lacking + whole("own AND tokens_in + tokens_out IS NULL"),
            unpriced=lacking + whole("own AND cost IS NULL"), cost="total(cost)",
            highest="coalesce(max(0.0, max(cost)), 0.0)", seconds="total(seconds)",
        )  # fmt: skip
        return found[0]

    def _spent(self, row: Run | RunSummary) -> Row | None:
        """What a running or stopped run has spent so far; None if its row says it."""
        if row.spent or row.status not in ("running", "stopped"):
            return None
        spent = self.spent_so_far(parse_id(row.id)[1])._asdict()
        minutes, _ = round(spent.pop("seconds") / 60, 2), spent.pop("highest")
        return {**spent, "cost": known_cost(spent["cost"], spent["unpriced"]), "minutes": minutes}

    def report(self, run: int) -> str | None:
        """The source of the run's latest report."""
        latest = self.latest_report(run)
        return latest.source if latest else None

    def latest_report(self, run: int, until: str | None = None) -> Report | None:
        """The run's latest report (up to a time)."""
        self.require("run", run)
        found = self._records(
            Report,
            "FROM reports WHERE run = ?1 AND (?2 IS NULL OR created <= ?2) ORDER BY id DESC LIMIT 1",
            run,
            until,
        )
        return next(iter(found), None)


def known_cost(cost: float, unpriced: int) -> float | None:
    """The cost of replies in dollars; None if all that is known is that some had no price."""
    return None if unpriced and not cost else round(cost, 6)
