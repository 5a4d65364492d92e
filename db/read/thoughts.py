"""Reads notes (with a search), hypotheses with their predictions, and task files."""

from __future__ import annotations

import re

from ..ids import parse_id, show_id
from ..records import Hypothesis, HypothesisEvent, Judgement, Note, Prediction, Question, TaskOrigin
from .rows import Reading, Row, every, fields

_EVIDENCE = (
    "SELECT said.value FROM hypothesis_events AS event, json_each(event.experiments) AS said WHERE event.hypothesis = ?"
)
_STATED = tuple(name for name in fields(Hypothesis) if name not in ("events", "predictions"))
_PREDICTED = tuple(name for name in fields(Prediction) if name != "judged")


class ThoughtReader(Reading):
    """Notes, hypotheses and task files."""

    def note(self, note: int) -> Note:
        """One note."""
        return Note(**self._row(Note, fields(Note), "note", note))

    def notes(
        self,
        words: str | None = None,
        run: int | None = None,
        tag: str | None = None,
        experiment: int | None = None,
        hypothesis: int | None = None,
    ) -> list[Note]:
        """The notes that contain all the words (the last may be a prefix), best match first; if there are none, the
        notes that contain any of them. Any text is a valid query. The notes of a hypothesis cite one of its
        experiments."""
        wanted = {
            "run = ?": run,
            "EXISTS (SELECT 1 FROM json_each(notes.tags) WHERE value = ? COLLATE NOCASE)": tag,
            "EXISTS (SELECT 1 FROM json_each(notes.experiments) WHERE value = ?)": None
            if experiment is None
            else show_id("experiment", experiment),
            f"EXISTS (SELECT 1 FROM json_each(notes.experiments) WHERE value IN ({_EVIDENCE}))": hypothesis,
        }
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        if words is None or not words.strip():
            return self._records(Note, f"FROM notes WHERE {every(wanted)} ORDER BY id", *wanted.values(), what="note")
        # The index has columns with the same names.
        own = {name: f"notes.{name}" for name in fields(Note)}
        for match in _matches(words):
            found = self._records(
                Note,
                "FROM notes_fts JOIN notes ON notes.id = notes_fts.rowid "
                f"WHERE notes_fts MATCH ? AND {every(wanted)} ORDER BY bm25(notes_fts, 4.0, 1.0, 2.0), notes.id",
                match,
                *wanted.values(),
                what="note",
                **own,
            )
            if found:
                return found
        return []

    def questions(self, run: int) -> list[Question]:
        """The questions of a run, in order of registration."""
        return self._records(Question, "FROM questions WHERE run = ? ORDER BY id", run)

    def hypothesis(self, hypothesis: int) -> Hypothesis:
        """One hypothesis with its history and its predictions."""
        return self._with_events(self._row(Hypothesis, _STATED, "hypothesis", hypothesis))

    def hypotheses(self, run: int | None = None) -> list[Hypothesis]:
        """All hypotheses, or those of one run, each with its events."""
        return self._stated("WHERE ?1 IS NULL OR run = ?1 ORDER BY id", run)

    def latest_hypotheses(self, limit: int, status: str | None = None, before: int | None = None) -> list[Hypothesis]:
        """The latest hypotheses of all runs (before this one), last first, each with its events."""
        wanted = "WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
        return self._stated(wanted, status, before, limit)

    def hypotheses_of(self, run: int | None) -> list[Hypothesis]:
        """The hypotheses of one run; with None, those without a run."""
        return self._stated("WHERE run IS ? ORDER BY id", run)

    def task_file(self, name: str, fingerprint: str | None = None) -> TaskOrigin | None:
        """The latest content (JSONL) saved under this name, or the one with this fingerprint."""
        wanted = "FROM task_files WHERE name = ?1 AND (?2 IS NULL OR fingerprint = ?2) ORDER BY id DESC LIMIT 1"
        return next(iter(self._tasks(wanted, name, fingerprint)), None)

    def task_files(self) -> list[TaskOrigin]:
        """The latest content of every task file, by name."""
        return self._tasks("FROM task_files WHERE id IN (SELECT max(id) FROM task_files GROUP BY name) ORDER BY name")

    def task_names(self) -> list[str]:
        """The names of the task files."""
        return self._values("SELECT DISTINCT name FROM task_files ORDER BY name")

    def _tasks(self, which: str, *values: str | None) -> list[TaskOrigin]:
        return self._records(TaskOrigin, which, *values)

    def _stated(self, which: str, *values: str | int | None) -> list[Hypothesis]:
        rows = self._rows(Hypothesis, _STATED, f"FROM hypotheses {which}", values, "hypothesis", {})
        return [self._with_events(dict(zip(_STATED, row, strict=True))) for row in rows]

    def _with_events(self, row: Row) -> Hypothesis:
        number = parse_id(row["id"])[1]
        events = self._records(HypothesisEvent, "FROM hypothesis_events WHERE hypothesis = ? ORDER BY id", number)
        return Hypothesis(**row, events=events, predictions=self._predictions(number))

    def _predictions(self, hypothesis: int) -> list[Prediction]:
        """The predictions of a hypothesis in order, each with its result."""
        of = "SELECT id FROM predictions WHERE hypothesis = ? ORDER BY id"
        tested = [
            number
            for (number,) in self._tuples(
                f"SELECT prediction FROM judgements WHERE prediction IN ({of}) ORDER BY prediction", [hypothesis]
            )
        ]
        found = self._records(Judgement, f"FROM judgements WHERE prediction IN ({of}) ORDER BY prediction", hypothesis)
        judged = dict(zip(tested, found, strict=True))
        rows = self._rows(
            Prediction, _PREDICTED, "FROM predictions WHERE hypothesis = ? ORDER BY id", [hypothesis], None, {}
        )
        return [Prediction(*row, judged=judged.get(row[0])) for row in rows]


def _matches(words: str) -> list[str]:
    """FTS5 queries for a user's words, strictest first. Each word is quoted, so nothing in it is syntax."""
    # SQLite ends a query at NUL and cannot store lone surrogates.
    terms = re.sub(r"[\x00\ud800-\udfff]", " ", words).split()
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms]
    if not quoted:
        return []
    quoted[-1] += "*"
    return [" AND ".join(quoted), " OR ".join(quoted)]
