"""Reads what was thought and made: notes, found by their words, hypotheses with their predictions, and task files."""

from __future__ import annotations

import json
import re

from .ids import LETTERS, show_id
from .reading import Reading, Row, every, parsed, spoken

_EVIDENCE = (
    "SELECT said.value FROM hypothesis_events AS event, json_each(event.experiments) AS said WHERE event.hypothesis = ?"
)
_TASK_FILE = "name, fingerprint, content, created, card, maker, run, spec FROM task_files"


class ThoughtReader(Reading):
    """Notes, hypotheses and task files."""

    def note(self, note: int) -> Row:
        """One note: id, run, title, text, tags, experiments (ids), created."""
        return self._one("note", note, "SELECT * FROM notes WHERE id = ?")

    def notes(
        self,
        words: str | None = None,
        run: int | None = None,
        tag: str | None = None,
        experiment: int | None = None,
        hypothesis: int | None = None,
    ) -> list[Row]:
        """The notes that hold all the words (the last one may be a beginning), best match first; if none does,
        those that hold any of them. Any text is a fair query. Those of a hypothesis cite an experiment that it
        rests on."""
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
            rows = self._rows(f"SELECT * FROM notes WHERE {every(wanted)} ORDER BY id", *wanted.values())
            return [spoken(row, "note") for row in rows]
        for match in _matches(words):
            rows = self._rows(
                "SELECT notes.* FROM notes_fts JOIN notes ON notes.id = notes_fts.rowid "
                f"WHERE notes_fts MATCH ? AND {every(wanted)} ORDER BY bm25(notes_fts, 4.0, 1.0, 2.0), notes.id",
                match,
                *wanted.values(),
            )
            if rows:
                return [spoken(row, "note") for row in rows]
        return []

    def hypothesis(self, hypothesis: int) -> Row:
        """One hypothesis with its history (events of status, comment, experiments, created) and its predictions."""
        return self._with_events(self._one("hypothesis", hypothesis, "SELECT * FROM hypotheses WHERE id = ?"))

    def hypotheses(self, run: int | None = None) -> list[Row]:
        """All hypotheses, or those of one run, each with its events."""
        rows = self._rows("SELECT * FROM hypotheses WHERE ?1 IS NULL OR run = ?1 ORDER BY id", run)
        return [self._with_events(spoken(row, "hypothesis")) for row in rows]

    def latest_hypotheses(self, limit: int, status: str | None = None, before: int | None = None) -> list[Row]:
        """The latest hypotheses over all runs (before this one), the last one first, each with its events."""
        sql = (
            "SELECT * FROM hypotheses WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR id < ?2) "
            "ORDER BY id DESC LIMIT ?3"
        )
        return [self._with_events(spoken(row, "hypothesis")) for row in self._rows(sql, status, before, limit)]

    def hypotheses_of(self, run: int | None) -> list[Row]:
        """The hypotheses of one run; with None, those that belong to none."""
        rows = self._rows("SELECT * FROM hypotheses WHERE run IS ? ORDER BY id", run)
        return [self._with_events(spoken(row, "hypothesis")) for row in rows]

    def task_file(self, name: str, fingerprint: str | None = None) -> Row | None:
        """The latest content saved under this name, or the one of this fingerprint: name, fingerprint, content
        (the JSONL text), created, and where they are known card, maker, run (its id) and spec."""
        rows = self._rows(
            f"SELECT {_TASK_FILE} WHERE name = ?1 AND (?2 IS NULL OR fingerprint = ?2) ORDER BY id DESC LIMIT 1",
            name,
            fingerprint,
        )
        return _of_task(rows[0]) if rows else None

    def task_files(self) -> list[Row]:
        """The latest content of every task file, by name, as `task_file` gives it."""
        latest = "id IN (SELECT max(id) FROM task_files GROUP BY name)"
        return [_of_task(row) for row in self._rows(f"SELECT {_TASK_FILE} WHERE {latest} ORDER BY name")]

    def task_names(self) -> list[str]:
        """The names of the task files."""
        return [row["name"] for row in self._rows("SELECT DISTINCT name FROM task_files ORDER BY name")]

    def _with_events(self, hypothesis: Row) -> Row:
        number = int(hypothesis["id"].removeprefix(LETTERS["hypothesis"]))
        sql = "SELECT status, comment, experiments, created FROM hypothesis_events WHERE hypothesis = ? ORDER BY id"
        if hypothesis["revises"] is not None:
            hypothesis["revises"] = show_id("hypothesis", hypothesis["revises"])
        events = [parsed(row) for row in self._rows(sql, number)]
        return {**hypothesis, "events": events, "predictions": self._predictions(number)}

    def _predictions(self, hypothesis: int) -> list[Row]:
        """A hypothesis' predictions in order, each with what came of it (`judged`), or None."""
        sql = (
            "SELECT p.id, p.kind, p.config, p.quantity, p.comparison, p.low, p.high, p.created, j.experiment, j.value, "
            "j.low AS value_low, j.high AS value_high, j.n, j.p, j.side FROM predictions AS p "
            "LEFT JOIN judgements AS j ON j.prediction = p.id WHERE p.hypothesis = ? ORDER BY p.id"
        )
        found: list[Row] = []
        for row in self._rows(sql, hypothesis):
            judged = {name: row.pop(name) for name in ("experiment", "value", "n", "p", "side")}
            judged |= {"low": row.pop("value_low"), "high": row.pop("value_high")}
            tested = judged["experiment"] is not None
            if tested:
                judged["experiment"] = show_id("experiment", judged["experiment"])
            found.append({**parsed(row), "judged": judged if tested else None})
        return found


def _of_task(row: Row) -> Row:
    """A task file with its card and spec read, whose content is lines and stays as it is."""
    told = {column: None if row[column] is None else json.loads(row[column]) for column in ("card", "spec")}
    return {**row, **told, "run": None if row["run"] is None else show_id("run", row["run"])}


def _matches(words: str) -> list[str]:
    """FTS5 queries for a person's words, the strictest first. Each word is quoted, so that nothing in it is syntax."""
    # SQLite ends a query at NUL, and cannot store lone surrogates.
    terms = re.sub(r"[\x00\ud800-\udfff]", " ", words).split()
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms]
    if not quoted:
        return []
    quoted[-1] += "*"
    return [" AND ".join(quoted), " OR ".join(quoted)]
