"""What was released stays: each step of the migrations runs the same SQL for ever, and they are loaded in order."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing

import pytest
from sqlite_utils import Database

from lashley.db import migrations
from lashley.tests.imports import ROOT

FOLDER = ROOT / "db" / "migrations"
# By the SQL that each step runs on a tracker that has seen those before it. A new step adds a line here; a line that is
# here never changes, since trackers that the step made are with people.
RELEASED = {
    "001_first_tables": "549428e57003f3c4",
    "002_effects_beside_controls": "900093b2316a1f37",
    "003_seals_and_frozen_rows": "e658d4d4892fd1f6",
    "004_task_origins": "a994cc7ddd520b7b",
    "005_predictions": "44f9a684e16637ce",
    "006_calls_and_resumptions": "8d5f80ecddf058a8",
    "007_words_of_the_user": "f685aaa305378d5c",
    "008_requests_and_forks": "f7cc6e4030a888d4",
    "009_what_replies_cost": "aa2c0a00573ab79a",
    "010_doubts": "6db3155cbf100bf3",
    "011_codes": "0fb7356988d724ea",
    "012_questions": "1907386c58e3ccb1",
    "013_circuits": "2e504300f916b7fe",
}


def statements(step: str, connection: sqlite3.Connection) -> list[str]:
    """The SQL of a step, blanks aside, without what SQLite does of its own accord, which it shows as comments."""
    run: list[str] = []
    db = Database(connection)
    connection.set_trace_callback(run.append)
    migrations.step(step)(db)
    connection.set_trace_callback(None)
    return [re.sub(r"\s+", " ", sql).strip().rstrip(";") for sql in run if not sql.startswith("--")]


def test_the_list_is_the_folder_in_order() -> None:
    there = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    assert list(migrations.NAMES) == there
    assert [int(name[:3]) for name in there] == list(range(1, len(there) + 1))


def test_no_step_that_was_released_has_changed() -> None:
    found: dict[str, str] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for step in migrations.NAMES:
            sql = statements(step, connection)
            assert sql, f"{step} does nothing"
            found[step] = hashlib.sha256("\n".join(sql).encode()).hexdigest()[:16]
    assert found == RELEASED


@pytest.mark.parametrize("version", range(len(migrations.NAMES) + 1))
def test_a_file_gets_the_steps_that_it_lacks(version: int) -> None:
    names = [step.__name__ for step in migrations.after(version)]
    assert names == [name[4:] for name in migrations.NAMES[version:]]
