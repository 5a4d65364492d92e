"""The short ids: runs R1, experiments E12, notes N3, hypotheses H2, circuits C1."""

from __future__ import annotations

import re
import sqlite3

from .errors import NoSuchId, NotAnId

LETTERS = {"run": "R", "experiment": "E", "note": "N", "hypothesis": "H", "circuit": "C"}
TABLES = {
    "run": "runs", "experiment": "experiments", "note": "notes", "hypothesis": "hypotheses", "circuit": "circuits",
}  # fmt: skip
_WHAT = {letter: what for what, letter in LETTERS.items()}
# Eighteen digits always fit into SQLite's 64-bit integers.
_ID = re.compile(r"([RENHC])([0-9]{1,18})", re.IGNORECASE | re.ASCII)


def parse_id(text: str) -> tuple[str, int]:
    """`"E12"` as `("experiment", 12)`, in upper or lower case. Raises NotAnId."""
    match = _ID.fullmatch(text.strip())
    if match is None:
        raise NotAnId(text)
    return _WHAT[match[1].upper()], int(match[2])


def show_id(what: str, number: int) -> str:
    """`("experiment", 12)` as `"E12"`."""
    return f"{LETTERS[what]}{number}"


def no_such_id(connection: sqlite3.Connection, what: str, number: int) -> NoSuchId:
    """The error for a row that does not exist, with the nearest existing ids."""
    nearest = f"SELECT id FROM {TABLES[what]} ORDER BY abs(id - ?) LIMIT 2"
    near = sorted(row[0] for row in connection.execute(nearest, [number]))
    return NoSuchId(what, show_id(what, number), [show_id(what, one) for one in near])
