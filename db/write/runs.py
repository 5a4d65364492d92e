"""Writes runs: start and end, conversation, reports, and when a run was resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import schema
from ..errors import TrackerError
from ..ids import parse_id, show_id
from ..locks import is_alive
from .inherited import Inherited
from .rows import as_json, check_status, now
from .thoughts import ThoughtWriter

INTERRUPTED = "Interrupted"
CUT = "The program was stopped while it ran."
# Why a run cannot be resumed.
ENDED = "{run} has ended ({status}), so it cannot be resumed. `agent report {run}` writes its report."
AT_WORK = "{run} is running in another process. `agent show {run}` shows its progress."


class RunWriter(ThoughtWriter):
    """The rows of runs, turns, reports and resumptions."""

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
        request: Mapping[str, Any] | None = None,
        inherits: Inherited | None = None,
    ) -> int:
        """Record a new run, which is running as long as this process lives; returns its number.

        `opening` is the first message of its conversation, the user's, without which it could not be resumed; a fork
        `inherits` it. `request` contains the instructions and tools of its driver.
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
                budget=as_json(budget),
                environment=self._environment(environment),
                request=self._request(request),
                parent=inherits.parent if inherits else None,
                forked_at=inherits.step if inherits else None,
                started=now(),
            )
            if inherits is not None:
                self._inherit(run, inherits)
            if opening is not None:
                self._insert("turns", run=run, step=0, role="user", content=as_json(opening), created=now())
            self._hold("run", run)
        return run

    def _inherit(self, run: int, inherits: Inherited) -> None:
        """Write everything that a fork starts with, in the transaction that creates its row."""
        parent, new = show_id("run", inherits.parent), dict[str, str]()
        for old in inherits.hypotheses:
            again = f"Recorded again from {old.id} of {parent}, the study from which this one was forked."
            revises = None if old.revises not in new else parse_id(new[old.revises])[1]
            expected = [one._asdict() for one in old.predictions]
            number = self._state(run, old.statement, old.rationale, old.refuted_if, expected, revises, comment=again)
            new[old.id] = show_id("hypothesis", number)
        for one in inherits.questions:
            row = {"claim": as_json(one.claim), "text": one.text, "origin": one.origin, "call": one.call}
            self._insert("questions", run=run, **row, created=one.created)
        for experiment in inherits.experiments:
            reason = f"From the steps of {parent} that this study shares."
            self._insert("reuses", run=run, experiment=experiment, reason=reason, created=now())
        # Written last: everything before it is what the fork started with.
        said = [(turn.step, turn.role, turn.content) for turn in inherits.turns]
        for step, role, content in (*said, (inherits.step, "user", inherits.message(new))):
            self._insert("turns", run=run, step=step, role=role, content=as_json(content), created=now())

    def resume_run(self, run: int, environment: Mapping[str, Any], request: Mapping[str, Any] | None = None) -> None:
        """Mark a run whose process has ended as running again, as long as this process lives.

        An experiment that was interrupted ends without a result. Raises TrackerError if the run has ended, or another
        process is running it.
        """
        name = show_id("run", run)
        with self._transaction():
            self._require("run", run)
            (status,) = self._db.conn.execute("SELECT status FROM runs WHERE id = ?", [run]).fetchone()
            if status != "running":
                raise TrackerError(ENDED.format(run=name, status=status))
            # Runs are started and resumed inside transactions, and there is only one at a time.
            if is_alive(self.path, name):
                raise TrackerError(AT_WORK.format(run=name))
            self._hold("run", run)
            half = self._db.conn.execute("SELECT id FROM experiments WHERE run = ? AND status = 'running'", [run])
            for (experiment,) in half.fetchall():
                self._update("experiment", experiment, status="failed", error_type=INTERRUPTED, error=CUT, ended=now())
                self._seals.add("experiment", experiment)
            made = {"environment": self._environment(environment), "request": self._request(request)}
            self._insert("resumptions", run=run, **made, created=now())

    def finish_run(
        self,
        run: int,
        *,
        status: str,
        spent: Mapping[str, Any],
        error: str | None = None,
        error_code: str | None = None,
        report: str | None = None,
    ) -> None:
        """Record how the run ended: finished, failed, interrupted or budget; the reason in words and as a code; and the
        program's report if nobody else wrote one."""
        check_status(status, schema.RUN_STATUSES)
        with self._transaction():
            if report is not None:
                self._insert("reports", run=run, source=report, claims="[]", created=now())
            reason = {"error": error, "error_code": error_code}
            self._update("run", run, status=status, spent=as_json(spent), **reason, ended=now())
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
        tokens_cached: int | None = None,
        tokens_written: int | None = None,
        tokens_out: int | None = None,
        cost: float | None = None,
        seconds: float | None = None,
    ) -> int:
        """Add a message to the run's conversation, as it was sent or received; `cost` is in US dollars."""
        with self._transaction():
            self._require("run", run)
            return self._insert(
                "turns",
                run=run,
                step=step,
                role=role,
                content=as_json(content),
                tokens_in=tokens_in,
                tokens_cached=tokens_cached,
                tokens_written=tokens_written,
                tokens_out=tokens_out,
                cost=cost,
                seconds=seconds,
                created=now(),
            )

    def tell(self, run: int, text: str) -> int:
        """Add a message of the user for a run, whose process reads it. Raises TrackerError if the run has ended."""
        name = show_id("run", run)
        with self._transaction():
            self._require("run", run)
            (status,) = self._db.conn.execute("SELECT status FROM runs WHERE id = ?", [run]).fetchone()
            if status != "running":
                raise TrackerError(f"{name} has ended ({status}), so it cannot read messages.")
            return self._insert("told", run=run, text=text, created=now())

    def add_report(
        self, run: int, source: str, claims: Sequence[Mapping[str, Any]] = (), call: str | None = None
    ) -> int:
        """Add a report as it was written, with unfilled slots: claims (sentence, conditions) and text."""
        with self._transaction():
            self._require("run", run)
            row: dict[str, Any] = {"run": run, "source": source, "claims": as_json(list(claims)), "call": call}
            return self._insert("reports", **row, created=now())
