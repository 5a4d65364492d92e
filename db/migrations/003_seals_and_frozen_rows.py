"""Records become final: tables for the seals, and triggers that refuse to change past records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frozen import keep, never_replaced, refuse
from ..seals import PARTS, Seals

if TYPE_CHECKING:
    from sqlite_utils import Database


_TABLES = (
    """
    CREATE TABLE seals (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER REFERENCES runs (id),
        what TEXT NOT NULL,
        row INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        chain TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX seals_of_run ON seals (run)",
    # The last row of each table before there were seals.
    """
    CREATE TABLE older_rows (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        last INTEGER NOT NULL
    ) STRICT
    """,
)
_WHOLE = {
    "seals": "seals are only ever added",
    "older_rows": "what is older than seals was written down once",
    "turns": "the conversation of a run is only ever added to",
    "reports": "a report that was handed in stays as it is: hand in another",
    "notes": "a note stays as it was written: write another",
    "task_files": "a task file that was used stays as it was: save another",
    "subjects": "a subject that was studied stays as it was recorded",
    "environments": "an environment stays as it was recorded",
}
_BEFORE = (
    "runs",
    "turns",
    "experiments",
    "reuses",
    "notes",
    "hypotheses",
    "hypothesis_events",
    "reports",
    "task_files",
)


def seals_and_frozen_rows(db: Database) -> None:
    """Seals; past records become final."""
    for sql in _TABLES:
        db.conn.execute(sql)
    for table, why in _WHOLE.items():
        keep(db, table, why, key="hash" if table == "environments" else "id")
    keep(db, "reuses", "that a run used an earlier experiment stays recorded", key="(run, experiment)")

    final = "what a run began with, and a run that has ended, cannot be changed"
    begun = "id, goal, driver, llm, model, task, seed, budget, environment, started"
    refuse(db, "runs_begun", f"UPDATE OF {begun} ON runs", final)
    refuse(db, "runs_ended", "UPDATE ON runs", final, "old.status != 'running'")
    refuse(db, "runs_kept_delete", "DELETE ON runs", "a run cannot be removed from the record")
    never_replaced(db, "runs", final)

    final = "an experiment that has ended is final: run another"
    refuse(db, "experiments_ended", "UPDATE ON experiments", final, "old.status != 'running'")
    refuse(db, "experiments_kept_delete", "DELETE ON experiments", "an experiment cannot be removed from the record")
    never_replaced(db, "experiments", final)
    for table in PARTS:
        keep(db, table, final)
        running = "(SELECT status FROM experiments WHERE id = new.experiment) != 'running'"
        refuse(db, f"{table}_ended", f"INSERT ON {table}", final, running)

    final = "a hypothesis stays as it was stated: state another"
    refuse(db, "hypotheses_stated", "UPDATE OF id, run, statement, rationale, refuted_if, created ON hypotheses", final)
    refuse(db, "hypotheses_kept_delete", "DELETE ON hypotheses", final)
    never_replaced(db, "hypotheses", final)
    never_replaced(db, "hypothesis_events", "the history of a hypothesis is append-only")

    seals = Seals(db.conn)
    for table in _BEFORE:
        (last,) = db.conn.execute(f"SELECT max(rowid) FROM {table}").fetchone()
        if last is not None:
            made = db.conn.execute("INSERT INTO older_rows (name, last) VALUES (?, ?)", [table, last])
            seals.inserted("older_rows", made.lastrowid or 0)
