"""Read-only SQL for people and language models: one SELECT, with limits on time, rows and memory.

SQLite itself checks the query: its authorizer sees every action of the compiled statement and denies everything except
reading, so there is no parser that could be tricked. The connection is read-only and is closed afterwards.

A study may not see what other studies measured on held-out prompts, or it could predict what it has read. So it can
read only what is named here (`WHOLE`, `PART`, `VIEWS`); a table that a later version adds is closed to it until it is
listed. For tables that it may see in part, temporary views replace the tables, and the authorizer, which knows through
which view a column is read, allows these tables only through the views.

A second opinion sees what the reviewed study measured, but no reasoning of any run.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import QueryRefused, explained
from .location import connect_read_only

# Longer texts are cut, because an answer goes to a terminal or into a language model's context.
CELL = 2000

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 16_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer"}
_NAMES = {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_FUNCTION: "a forbidden function",
}
# Tables that a study sees in full; the full-text index reads its own four tables.
WHOLE = frozenset((
    "subjects", "environments", "runs", "questions", "notes", "hypotheses", "hypothesis_events", "predictions",
    "reports", "reuses", "task_files", "resumptions", "requests", "seals", "older_rows", "sqlite_sequence",
    "notes_fts", "notes_fts_config", "notes_fts_data", "notes_fts_docsize", "notes_fts_idx",
))  # fmt: skip
# Views that a study may use: they are built from what it sees.
VIEWS = frozenset(("experiment_summary", "top_effects", "ledger", "run_timeline"))
# Tables that a study sees in part, and the column with the experiment, run or circuit of a row.
PART = {
    "experiments": "id", "measurements": "experiment", "effects": "experiment", "samples": "experiment",
    "figures": "experiment", "artifacts": "experiment", "judgements": "experiment", "turns": "run",
    "told": "run", "circuits": "experiment", "circuit_edges": "circuit",
}  # fmt: skip
# What a second opinion does not see of other runs: whole rows, or columns, which it sees as empty.
_THOUGHTS = {"turns": (), "told": (), "notes": (), "reports": (), "hypotheses": ("rationale",),
             "hypothesis_events": ("comment",), "experiments": ("reason",), "reuses": ("reason",)}  # fmt: skip
_SCHEMA = "SELECT name, sql FROM sqlite_schema"


def select(
    path: Path,
    sql: str,
    limit: int = 100,
    seconds: float = 2.0,
    runs: Sequence[int] | None = None,
    alone: int | None = None,
) -> tuple[list[str], list[list[Any]], bool]:
    """The columns, at most `limit` rows, and whether there were more, for one SELECT on the tracker at `path`.

    `runs` hides what other runs measured on the confirm split, and their conversations; `alone`, a run, hides every
    turn, note, report, reason and comment of other runs. Raises QueryRefused, in one line, for anything except a
    SELECT, for wrong SQL, and after `seconds` seconds.
    """
    if "\0" in sql:
        raise QueryRefused("The query contains a NUL character. Remove it.")
    denied: list[int] = []
    shut: list[str] = []

    held_back = set[str]() if runs is None else {*PART, *(_THOUGHTS if alone is not None else ())}
    closed = set[str]()
    # A query could imitate the name of a view; it cannot guess this one.
    secret = f"held_{secrets.token_hex(16)}_"

    def authorize(action: int, first: str | None, second: str | None, database: str | None, through: str | None) -> int:
        # If no column is read (count(*)), the names come as the query spells them.
        table = (first or "").lower()
        held = (database or "").lower() == "main" and table in held_back and through != f"{secret}{table}"
        index = alone is not None and table.startswith("notes_fts")
        if action == sqlite3.SQLITE_READ and (never := closed & {table, (through or "").lower()}):
            shut.extend(never)
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ and (held or index):
            denied.append(action)
            return sqlite3.SQLITE_DENY
        if action in _READING or (action == sqlite3.SQLITE_FUNCTION and second not in _FORBIDDEN_FUNCTIONS):
            return sqlite3.SQLITE_OK
        # Full-text search uses this one itself, to see whether its index has changed.
        if action == sqlite3.SQLITE_PRAGMA and first == "data_version" and second is None:
            return sqlite3.SQLITE_OK
        denied.append(action)
        return sqlite3.SQLITE_DENY

    deadline = time.monotonic() + seconds
    with closing(connect_read_only(path)) as connection:
        connection.text_factory = _text
        for which, most in _LIMITS.items():
            connection.setlimit(which, most)
        # A virtual table declares itself at its first use, which the authorizer would treat as a change.
        connection.execute("SELECT 1 FROM notes_fts, json_each('[]'), json_tree('[]') LIMIT 0").fetchall()
        if runs is not None:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
            closed |= {name.lower() for (name,) in tables} - WHOLE - VIEWS - PART.keys()
            _hold_out(connection, runs, alone, secret)
        connection.set_authorizer(authorize)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
        try:
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or ()]
            rows = [[_cut(value) for value in row] for row in islice(cursor, limit + 1)]
        except sqlite3.Error as error:
            if shut:
                raise QueryRefused(f"A study cannot read {shut[0]}. It can read: {_listed()}.") from error
            raise _refusal(error, denied, seconds, connection, path) from error
        except UnicodeEncodeError as error:
            raise QueryRefused("The query is not valid Unicode text.") from error
    if not columns:
        raise QueryRefused("Only one SELECT is allowed, and this query has none.")
    return columns, rows[:limit], len(rows) > limit


def _hold_out(connection: sqlite3.Connection, runs: Sequence[int], alone: int | None, secret: str) -> None:
    """Create temporary views that replace tables and views, without what these runs may not see."""
    ours = ", ".join(str(int(run)) for run in runs)
    seen = f"SELECT id FROM {secret}experiments"
    thoughts = {} if alone is None else _THOUGHTS
    for table in dict.fromkeys((*PART, *thoughts)):
        of = PART.get(table)
        rows = "1" if of is None else f"run IN ({ours})" if of == "run" else f"{of} IN ({seen})"
        if of == "circuit":
            rows = f"circuit IN (SELECT id FROM {secret}circuits)"
        if table == "experiments":
            rows = f"split IS NOT 'confirm' OR run IN ({ours})"
        shown = "*"
        if table in thoughts:
            own = f"run IS {alone}"
            if table == "hypothesis_events":
                own = f"hypothesis IN (SELECT id FROM {secret}hypotheses WHERE run IS {alone})"
            rows = rows if thoughts[table] else own
            columns = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table])]
            shown = ", ".join(f"iif({own}, {c}, '') AS {c}" if c in thoughts[table] else c for c in columns)
        connection.execute(f"CREATE TEMP VIEW {secret}{table} AS SELECT {shown} FROM main.{table} WHERE {rows}")
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM {secret}{table}")
    for name, sql in connection.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'view'").fetchall():
        if name.lower() not in VIEWS:
            continue
        # In a temporary view, bare names refer to temporary views first.
        connection.execute(re.sub(rf"(?is)^\s*CREATE\s+VIEW\s+{name}\b", f"CREATE TEMP VIEW {name}", sql, count=1))


def _listed() -> str:
    return ", ".join(sorted(name for name in {*WHOLE, *PART, *VIEWS} if not name.startswith(("notes_fts_", "sqlite_"))))


def _refusal(
    error: sqlite3.Error, denied: list[int], seconds: float, connection: sqlite3.Connection, path: Path
) -> Exception:
    if denied and denied[0] == sqlite3.SQLITE_READ:
        return QueryRefused(
            "Name the table without 'main.'. A study cannot read what other studies measured on held-out prompts, nor "
            "a second opinion their reasoning."
        )
    if denied or "because it is a view" in str(error):
        what = _NAMES.get(denied[0], "a change") if denied else "a change"
        return QueryRefused(f"Only one SELECT from the tables that `{_SCHEMA}` lists is allowed; this needs {what}.")
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR):
        case sqlite3.SQLITE_INTERRUPT:
            return QueryRefused(f"The query took longer than {seconds:g} s and was stopped. Narrow it.")
        case sqlite3.SQLITE_NOMEM:
            return QueryRefused("The query needs too much memory. Narrow it.")
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISUSE:
            hint = ""
            if "no such column" in str(error):
                hint = f" `{_SCHEMA}` shows all columns."
            elif "no such table" in str(error):
                connection.set_progress_handler(None, 0)
                tables = f"{_SCHEMA} WHERE type IN ('table', 'view') AND name NOT GLOB '*_fts_*' ORDER BY name"
                names = [row[0] for row in connection.execute(tables) if not row[0].startswith("sqlite_")]
                hint = f" Tables: {', '.join(names)}."
            return QueryRefused(f"The query is wrong: {str(error).rstrip('.')}.{hint}")
        case _:
            return explained(error, path)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _cut(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > CELL:
        return f"{value[:CELL]}… ({len(value)} characters)"
    return value
