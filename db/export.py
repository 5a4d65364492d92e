"""The tracker as flat tables, for spreadsheets, data frames and other programs.

Ids are in their short form, JSON is text, and each row of a result repeats the facts about its experiment, so one file
is enough to work with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from .errors import TrackerError, explained
from .read.reader import Reader

_OF = "'E' || e.id AS experiment, 'R' || e.run AS run, e.kind, e.model, e.task, e.split"
_PART = "JOIN experiments AS e ON e.id = p.experiment WHERE e.status = 'done' AND (?1 IS NULL OR e.run = ?1)"

# Name -> one SELECT; ?1 is the number of a run, or null for all.
TABLES = {
    "runs": "SELECT 'R' || id AS run, goal, driver, llm, model, task, status, budget, spent, started, ended, error, "
    "error_code FROM runs WHERE ?1 IS NULL OR id = ?1 ORDER BY id",
    "experiments": "SELECT 'E' || e.id AS experiment, 'R' || e.run AS run, e.kind, e.model, s.fingerprint, e.task, "
    "e.split, e.n, e.config, e.status, e.reason, e.found, e.error_type, e.error, e.code_version, e.started, e.ended, "
    "e.seconds FROM experiments AS e JOIN subjects AS s ON s.id = e.subject WHERE ?1 IS NULL OR e.run = ?1 "
    "ORDER BY e.id",
    "measurements": f"SELECT {_OF}, p.name, p.value, p.low, p.high, p.n, p.unit FROM measurements AS p {_PART} "
    "ORDER BY p.id",
    "effects": f"SELECT {_OF}, p.site, p.metric, p.value, p.low, p.high, p.n, p.p, p.q, p.p_max, p.percentile "
    f"FROM effects AS p {_PART} ORDER BY p.id",
    "samples": f"SELECT {_OF}, p.prompt, p.expected, p.said, p.changed, p.condition, p.correct, p.changed_correct, "
    f"p.failure FROM samples AS p {_PART} ORDER BY p.id",
    "circuits": "SELECT 'C' || p.id AS circuit, 'E' || e.id AS experiment, 'R' || e.run AS run, s.name AS model, "
    "s.fingerprint, p.task, p.method, p.ranking, p.replacement, p.metric, p.size, p.possible, p.members, "
    "p.faithfulness, p.low, p.high, p.n, p.created FROM circuits AS p JOIN subjects AS s ON s.id = p.subject "
    f"{_PART} ORDER BY p.id",
    "circuit_edges": "SELECT 'C' || c.id AS circuit, 'E' || e.id AS experiment, 'R' || e.run AS run, p.sender, "
    "p.receiver, p.share, p.measured FROM circuit_edges AS p JOIN circuits AS c ON c.id = p.circuit "
    "JOIN experiments AS e ON e.id = c.experiment WHERE e.status = 'done' AND (?1 IS NULL OR e.run = ?1) "
    "ORDER BY c.id, abs(p.share) DESC, p.sender, p.receiver",
    "notes": "SELECT 'N' || id AS note, 'R' || run AS run, title, text, tags, experiments, created FROM notes "
    "WHERE ?1 IS NULL OR run = ?1 ORDER BY id",
    "hypotheses": "SELECT 'H' || id AS hypothesis, 'R' || run AS run, statement, rationale, refuted_if, status, "
    "created FROM hypotheses WHERE ?1 IS NULL OR run = ?1 ORDER BY id",
}


def rows(reader: Reader, table: str, run: int | None = None) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """The columns of a table, and an iterator over its rows. Raises TrackerError for an unknown table."""
    if table not in TABLES:
        raise TrackerError(f"There is no table '{table}' to export. Tables: {', '.join(TABLES)}.")
    columns, found = reader.stream(TABLES[table], run)
    return columns, _explained(found, reader)


def _explained(found: Iterator[tuple[Any, ...]], reader: Reader) -> Iterator[tuple[Any, ...]]:
    while True:
        try:
            row = next(found)
        except StopIteration:
            return
        except sqlite3.Error as error:
            raise explained(error, reader.path) from error
        yield row
