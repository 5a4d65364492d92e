"""Seals: whatever is changed in the file afterwards is seen; what the program writes itself holds."""

from __future__ import annotations

import math
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from lashley.db.errors import TrackerError
from lashley.db.read.reader import Reader
from lashley.db.seals import SORTS, Seals
from lashley.db.write.store import Store

from .recorded import EXPERIMENT, RUN, chain_anew, found, older, recorded, rows, tamper


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("made") / "lashley.db")


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "lashley.db"))


def differences(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        seals = Seals(connection)
        return [*seals.check_chains(), *(line for run in seals.runs() for line in seals.check(run).differences)]


def test_what_the_program_writes_holds_and_everything_is_sealed(path: Path) -> None:
    assert differences(path) == []
    assert {what for (what,) in rows(path, "SELECT what FROM seals")} == set(SORTS) - {"older"}
    with closing(sqlite3.connect(path)) as connection:
        seals = Seals(connection)
        assert [seals.check(run).older for run in seals.runs()] == [0, 0, 0]
        assert seals.check(1).artifacts == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE effects SET value = 0.4 WHERE site = 'L7.H3' AND experiment = 1",
            "E1 has been changed since it was sealed",
        ),
        ("DELETE FROM effects WHERE site = 'L0.H1' AND experiment = 1", "E1 has been changed since it was sealed"),
        (
            "INSERT INTO effects (experiment, site, metric, value, low, high, n) VALUES (1, 'L1.H1', 'x', 1, 1, 1, 8)",
            "E1 has been changed since it was sealed",
        ),
        ("DELETE FROM experiments WHERE id = 2", "E2 was sealed and is missing"),
        ("DELETE FROM experiments WHERE id = 3", "E3 was sealed and is missing"),
        (
            "INSERT INTO experiments (run, kind, model, config, config_hash, subject, code_version, environment, "
            "status, started, ended) SELECT run, kind, model, config, config_hash, subject, code_version, environment, "
            "status, started, ended FROM experiments WHERE id = 1",
            "E6 has no seal",
        ),
        (
            'UPDATE turns SET content = \'{"text": "other"}\' WHERE id = 2',
            "turn 2 has been changed since it was sealed",
        ),
        ("DELETE FROM turns WHERE id = 3", "turn 3 was sealed and is missing"),
        ("UPDATE notes SET text = 'L7.H3 subtracts.' WHERE id = 1", "N1 has been changed since it was sealed"),
        (
            "UPDATE hypotheses SET status = 'refuted' WHERE id = 1",
            "H1: its status does not match the end of its history",
        ),
        ("UPDATE predictions SET low = 0.4", "prediction 1 has been changed since it was sealed"),
        ("UPDATE judgements SET value = 0.99", "judgement 1 has been changed since it was sealed"),
        ("DELETE FROM judgements", "judgement 1 was sealed and is missing"),
        ("UPDATE hypotheses SET revises = NULL WHERE id = 2", "H2 has been changed since it was sealed"),
        ("UPDATE reports SET source = 'All is well.'", "report 1 has been changed since it was sealed"),
        ("UPDATE runs SET goal = 'Which heads subtract?' WHERE id = 1", "R1 has been changed since it was sealed"),
        ("UPDATE runs SET status = 'running', ended = NULL WHERE id = 1", "R1 has been changed since it was sealed"),
        ("UPDATE subjects SET name = 'large'", "E1 has been changed since it was sealed"),
        ("UPDATE artifacts SET data = x'0103'", "E1: the bytes of the artifact loss.npy have been changed"),
        ("UPDATE seals SET sha256 = upper(sha256) WHERE id = 7", "seal 7 does not follow"),
        ("DELETE FROM seals WHERE id = 7", "seal 7 is missing"),
        ("DELETE FROM seals WHERE id > 20", "the last seals are missing"),
        ("DELETE FROM reuses", "the reuse of E1 was sealed and is missing"),
    ],
)
def test_a_change_behind_the_back_is_seen(path: Path, change: str, said: str) -> None:
    tamper(path, change)
    told = differences(path)
    assert any(said in line for line in told), told
    assert all("\n" not in line for line in told)


def test_two_turns_that_change_places_are_seen(path: Path) -> None:
    tamper(path, *(f"UPDATE turns SET id = {to} WHERE id = {id}" for id, to in ((2, 9), (3, 2), (9, 3))))
    assert [line for line in differences(path) if "turn" in line] == [
        "turn 2 has been changed since it was sealed",
        "turn 3 has been changed since it was sealed",
    ]


def test_two_seals_that_change_places_are_seen(path: Path) -> None:
    tamper(path, *(f"UPDATE seals SET id = {to} WHERE id = {id}" for id, to in ((4, 99), (5, 4), (99, 5))))
    assert "seal 4 does not follow from the one before it in the chain of R1" in differences(path)


def test_a_chain_computed_anew_holds_by_itself_but_has_another_end(path: Path) -> None:
    """Which is why a report carries it."""
    with Reader.open(path) as reader:
        before = reader.run(1).seal
    tamper(path, "UPDATE effects SET value = 0.4 WHERE id = 1")
    with closing(sqlite3.connect(path)) as connection:
        forged = Seals(connection).digest("experiment", 1, 1)
    tamper(path, ("UPDATE seals SET sha256 = ? WHERE what = 'experiment' AND row = 1", [forged]))
    assert differences(path) != []
    chain_anew(path, 1)
    assert differences(path) == []
    with closing(sqlite3.connect(path)) as connection:
        assert not Seals(connection).holds(1, before)


SEALED = sorted({sort.table for sort in SORTS.values()} | {t for s in SORTS.values() for t in s.parts})


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_one_cell_that_is_changed_is_seen(made: Path, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from([*SEALED, "subjects", "environments", "seals"]))
    found = rows(made, f"SELECT rowid FROM {table}")
    if not found:
        return
    (row,) = data.draw(st.sampled_from(found))
    column = data.draw(
        st.sampled_from([name for (name,) in rows(made, f"SELECT name FROM pragma_table_info('{table}')")])
    )
    kind = rows(made, f"SELECT type FROM pragma_table_info('{table}') WHERE name = '{column}'")[0][0]
    value = rows(made, f"SELECT {column} FROM {table} WHERE rowid = {row}")[0][0]
    changed: dict[str, Any] = {
        "INTEGER": lambda: 1000 + (value or 0),
        "REAL": lambda: math.nextafter(value or 0.0, math.inf),
        "TEXT": lambda: f"{value or ''} ",
        "BLOB": lambda: value + b"\0",
    }
    other = changed[kind]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(made, Path(folder) / "lashley.db"))
        tamper(path, (f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [other, row]))
        assert differences(path), f"{table}.{column} of row {row}: {value!r} became {other!r}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE effects SET value = 1", "an experiment that has ended is final"),
        ("DELETE FROM samples", "an experiment that has ended is final"),
        ("INSERT INTO measurements (experiment, name, value, unit) VALUES (1, 'x', 1, '')", "has ended is final"),
        ("UPDATE experiments SET found = 'more' WHERE id = 1", "an experiment that has ended is final"),
        ("DELETE FROM experiments WHERE id = 3", "cannot be removed"),
        ("INSERT OR REPLACE INTO turns SELECT * FROM turns", "only ever added to"),
        ("INSERT OR REPLACE INTO effects SELECT * FROM effects", "an experiment that has ended is final"),
        ("UPDATE turns SET role = 'tool'", "only ever added to"),
        ("DELETE FROM notes", "write another"),
        ("UPDATE predictions SET low = 0.4", "frozen once it is recorded"),
        ("UPDATE judgements SET value = 0.99", "cannot be changed"),
        ("DELETE FROM judgements", "cannot be changed"),
        ("UPDATE hypotheses SET revises = NULL WHERE id = 2", "stays as it was stated"),
        ("UPDATE runs SET reviews = 1", "cannot be changed"),
        ("UPDATE reports SET source = ''", "hand in another"),
        ("UPDATE runs SET status = 'failed' WHERE id = 1", "cannot be changed"),
        ("UPDATE runs SET goal = 'other' WHERE id = 2", "cannot be changed"),
        ("UPDATE hypotheses SET statement = 'other'", "stays as it was stated"),
        ("UPDATE seals SET chain = ''", "only ever added"),
        ("DELETE FROM seals", "only ever added"),
        ("DELETE FROM reuses", "stays recorded"),
        ("UPDATE subjects SET name = 'other'", "stays as it was recorded"),
        ("INSERT OR REPLACE INTO environments SELECT hash, '{}' FROM environments", "stays as it was recorded"),
    ],
)
def test_the_file_refuses_to_change_what_is_past(path: Path, change: str, said: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=said):
        rows(path, change)
    assert differences(path) == []


def test_what_runs_on_can_go_on_and_end(path: Path) -> None:
    with Store.open(path) as store:
        number = store.begin_experiment(run=2, **EXPERIMENT)
        store.finish_experiment(number, found().model_dump(), 0.1)
        store.set_hypothesis_status(1, "refuted", "Not on others.", [number])
        store.finish_run(2, status="finished", spent={})
        with pytest.raises(TrackerError, match="cannot be changed"):
            store.finish_run(2, status="failed", spent={})
    assert differences(path) == []


def test_search_and_sqlite_utils_go_on_working(path: Path) -> None:
    with Store.open(path) as store:
        store.add_note(2, "Zebra", "A word that nothing else has.")
    with Reader.open(path) as reader:
        assert [note.title for note in reader.notes("zebra")] == ["Zebra"]
    db = Database(path)
    try:
        db.execute("INSERT INTO notes_fts (notes_fts) VALUES ('rebuild')")
        assert [row["title"] for row in db.query("SELECT title FROM notes_fts WHERE notes_fts MATCH 'zebra'")] == [
            "Zebra"
        ]
        db.table("mine").insert({"id": 1, "word": "own"}, pk="id")
        db.table("effects").create_index(["site"])
        db.vacuum()
    finally:
        db.close()
    assert differences(path) == []


def test_a_column_that_a_later_version_adds_breaks_no_seal_and_is_sealed(path: Path) -> None:
    for column in ("effects ADD COLUMN share REAL", "reports ADD COLUMN extra TEXT NOT NULL DEFAULT '[]'"):
        rows(path, f"ALTER TABLE {column}")
    assert differences(path) == []
    for change in ("effects SET share = 0.5 WHERE id = 1", "reports SET extra = '[1]'"):
        copy = Path(shutil.copy(path, path.with_name("copy.db")))
        tamper(copy, f"UPDATE {change}")
        assert len(differences(copy)) == 1


def test_an_older_file_is_brought_up_to_date_and_its_rows_are_called_older(made: Path, tmp_path: Path) -> None:
    path = older(made, tmp_path / "older.db")
    with Reader.open(path) as reader:
        assert reader.run(1).seal is None
        assert reader.experiment(1).found == "L7.H3 is the strongest site."
    assert differences(path) == []
    with closing(sqlite3.connect(path)) as connection:
        checked = Seals(connection).check(1)
    # The run, three turns, three experiments, a note, a hypothesis with two events, a report.
    assert (checked.seals, checked.older) == (0, 12)
    with Store.open(path) as store:
        run = store.begin_run(**RUN)
        store.reuse_experiment(run, 1)
        store.finish_experiment(3, found().model_dump(), 1.0)
    assert differences(path) == []
    tamper(path, "UPDATE effects SET value = 0.5 WHERE experiment = 3")
    assert differences(path) == ["E3 has been changed since it was sealed"]
    tamper(path, "INSERT INTO turns (id, run, step, role, content, created) VALUES (1000, 1, 9, 'user', '{}', '')")
    assert "turn 1000 has no seal: this program did not write it" in differences(path)
    tamper(path, "UPDATE older_rows SET last = 2000 WHERE name = 'turns'")
    assert any("older" in line and "sealed" in line for line in differences(path))
