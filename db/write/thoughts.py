"""Writes notes, hypotheses with their predictions and verdicts, and task files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import schema
from .rows import Writing, as_json, check_status, now


class ThoughtWriter(Writing):
    """The rows of notes, hypotheses, their events and predictions, judgements and task files."""

    def add_note(
        self,
        run: int | None,
        title: str,
        text: str,
        tags: Sequence[str] = (),
        experiments: Sequence[int] = (),
        call: str | None = None,
    ) -> int:
        """Add a note, which can be searched; the experiments that it cites must exist."""
        with self._transaction():
            self._require("run", run)
            cited = self._cited(experiments)
            row = {"run": run, "title": title, "text": text, "tags": as_json(list(tags)), "experiments": cited}
            return self._insert("notes", **row, call=call, created=now())

    def add_questions(
        self, run: int, questions: Sequence[tuple[Mapping[str, Any], str, str]], call: str | None = None
    ) -> None:
        """Register the questions of a run: claim, words and origin of each. They cannot change afterwards."""
        with self._transaction():
            self._require("run", run)
            at = now()
            for claim, text, origin in questions:
                row = {"claim": as_json(claim), "text": text, "origin": origin}
                self._insert("questions", run=run, **row, call=call, created=at)

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
        """Add a hypothesis with status open, the first event of its history, and its predictions. None can change
        afterwards.

        A prediction has kind, config, quantity, comparison, low and high. The number of the hypothesis seeds the draw
        from the confirm split, so no two hypotheses of a tracker share a draw.
        """
        with self._transaction():
            self._require("run", run)
            self._require("hypothesis", revises)
            return self._state(run, statement, rationale, refuted_if, predictions, revises, call)

    def _state(
        self,
        run: int | None,
        statement: str,
        rationale: str,
        refuted_if: str,
        predictions: Sequence[Mapping[str, Any]],
        revises: int | None = None,
        call: str | None = None,
        comment: str = "",
    ) -> int:
        at = now()
        row = {"run": run, "statement": statement, "rationale": rationale, "refuted_if": refuted_if, "call": call}
        hypothesis = self._insert("hypotheses", **row, revises=revises, status="open", created=at, updated=at)
        event = {"hypothesis": hypothesis, "status": "open", "comment": comment, "experiments": "[]", "created": at}
        self._insert("hypothesis_events", **event)
        for one in predictions:
            config = as_json({**one["config"], "split": "confirm", "seed": hypothesis})
            expected = {name: one[name] for name in ("kind", "quantity", "comparison", "low", "high")}
            self._insert("predictions", **expected, config=config, hypothesis=hypothesis, created=at)
        return hypothesis

    def add_judgement(self, prediction: int, experiment: int, judged: Mapping[str, Any]) -> None:
        """Add the result of a prediction: value, low, high, n, p and side; once, from a later experiment."""
        with self._transaction():
            self._require("experiment", experiment)
            self._insert("judgements", prediction=prediction, experiment=experiment, **judged, created=now())

    def set_hypothesis_status(
        self, hypothesis: int, status: str, comment: str, experiments: Sequence[int] = (), call: str | None = None
    ) -> None:
        """Set the status of a hypothesis, with a comment; its history keeps the earlier ones."""
        check_status(status, schema.HYPOTHESIS_STATUSES)
        with self._transaction():
            at = now()
            self._update("hypothesis", hypothesis, status=status, updated=at)
            event = {"hypothesis": hypothesis, "status": status, "comment": comment, "call": call, "created": at}
            self._insert("hypothesis_events", **event, experiments=self._cited(experiments))

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
        """Keep the lines (JSONL) of a task that is not built in, so its experiments can be rerun; with its card, its
        maker, the run and the spec. Does nothing if it is already kept."""
        with self._transaction():
            self._require("run", run)
            latest = self._db.conn.execute(
                "SELECT fingerprint FROM task_files WHERE name = ? ORDER BY id DESC LIMIT 1", [name]
            ).fetchone()
            if latest is None or latest[0] != fingerprint:
                origin = {"maker": maker, "run": run, "spec": None if spec is None else as_json(spec), "call": call}
                row = {"name": name, "fingerprint": fingerprint, "content": content, "created": now(), **origin}
                self._insert("task_files", **row, card=None if card is None else as_json(card))
