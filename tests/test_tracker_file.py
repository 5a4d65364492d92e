"""The tracker's file: whose it is, which version, and what becomes of one that is damaged, locked or no tracker."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lashley.db import migrations, schema
from lashley.db.errors import NewerSchema, NotATracker, TrackerError
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store

from .recorded import EXPERIMENT, RUN, older, one_line, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lashley.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, wait=0.1) as store:
        yield store


def test_every_table_is_strict_and_the_file_is_marked_as_ours(store: Store, path: Path) -> None:
    loose = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict"
    assert rows(path, loose + " AND name NOT LIKE 'sqlite_%'") == []
    assert rows(path, "PRAGMA application_id") == [(schema.APPLICATION_ID,)]
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
        rows(path, "INSERT INTO turns (run, step, role, content, created) VALUES (1, 'first', 'user', '{}', '')")


def test_a_file_of_a_newer_version_is_left_byte_for_byte(path: Path) -> None:
    Store.open(path).close()
    rows(path, f"PRAGMA user_version = {schema.VERSION + 1}")
    before = path.read_bytes()
    for opening in (Store.open, Reader.open):
        with pytest.raises(NewerSchema) as error:
            opening(path)
        one_line(error, "newer", str(path))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_the_migrations_happen_all_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(db: Any) -> None:
        db.execute("CREATE TABLE half (a TEXT) STRICT")
        db.execute("CREATE TABLE runs (a TEXT) STRICT")

    with Store.open(path) as store:
        store.begin_run(**RUN)
    after = migrations.after
    monkeypatch.setattr(migrations, "after", lambda version: [*after(version), broken])
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(TrackerError):
        Store.open(path)
    assert rows(path, "SELECT name FROM sqlite_schema WHERE name = 'half'") == []
    assert rows(path, "PRAGMA user_version") == [(schema.VERSION - 1,)]
    assert rows(path, "SELECT goal FROM runs") == [("Which heads add?",)]


def test_a_file_of_an_older_version_is_read_with_all_that_it_held(path: Path) -> None:
    with Store.open(now := path.with_name("now.db")) as store:
        store.begin_run(**RUN)
        store.begin_experiment(run=1, **EXPERIMENT)
    older(now, path)
    values = "(1, 1, 'L0.H1', 'loss', 0.5, 0.25, 0.75, 8, 0.125, 0.25)"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"INSERT INTO effects VALUES {values}")
    with Reader.open(path) as reader:
        assert [run.goal for run in reader.runs()] == [RUN["goal"]]
        (effect,) = reader.experiment(1).effects
    assert (effect.site, effect.q, effect.percentile, effect.p_max) == ("L0.H1", 0.25, None, None)
    assert rows(path, "SELECT place, q, p_max FROM top_effects") == [(1, 0.25, None)]
    assert rows(path, "PRAGMA user_version") == [(schema.VERSION,)]


@pytest.mark.parametrize("content", [b"\x89PNG not a database at all", b"name,value\n" * 1000, b"x", b"x" * 600])
def test_a_file_that_is_no_database_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for opening in (Store.open, Reader.open):
        with pytest.raises(NotATracker) as error:
            opening(path)
        one_line(error, str(path), "--db")
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_kept(path: Path) -> None:
    rows(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    for opening in (Store.open, Reader.open):
        with pytest.raises(NotATracker, match="another program"):
            opening(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_tracker_and_a_reader_says_that_it_is_none_yet(path: Path) -> None:
    path.touch()
    with pytest.raises(TrackerError, match="is empty"):
        Reader.open(path)
    Store.open(path).close()
    with Reader.open(path) as reader:
        assert reader.runs() == []


def test_a_folder_or_a_missing_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotATracker, match="is a folder"):
        Store.open(tmp_path)
    with pytest.raises(TrackerError, match="does not exist"):
        Store.open(tmp_path / "nowhere" / "lashley.db")
    assert os.listdir(tmp_path) == []


def test_a_truncated_file_is_said_to_be_damaged(path: Path) -> None:
    with Store.open(path) as store:
        store.begin_run(**RUN)
    path.write_bytes(path.read_bytes()[: 4096 * 3])
    with pytest.raises(TrackerError, match="damaged") as error, Store.open(path) as store:
        store.begin_run(**RUN)
    one_line(error, str(path))


def test_a_locked_file_is_said_to_be_locked(store: Store, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrackerError, match="locked") as error:
            store.begin_run(**RUN)
        one_line(error, "another process")
        other.execute("ROLLBACK")
    assert store.begin_run(**RUN) == 1


def test_a_file_without_permission_is_readable_but_not_writable() -> None:
    # Root may write everything, so the check runs as nobody where the tests run as root.
    program = (
        "import sys, os; from lashley.db.write.store import Store; from lashley.db.read.reader import Reader\n"
        "from lashley.db.errors import TrackerError\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "print(Reader.open(sys.argv[1]).runs()[0].goal)\n"
        "for path in sys.argv[1:]:\n"
        "    try: Store.open(path)\n"
        "    except TrackerError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lashley.db"
        with Store.open(path) as store:
            store.begin_run(**RUN)
        path.chmod(stat.S_IRUSR | stat.S_IROTH)
        os.chmod(folder, 0o555)
        args = [sys.executable, "-c", program, str(path), str(path.with_name("new.db"))]
        done = subprocess.run(args, capture_output=True, text=True, check=True)
        os.chmod(folder, 0o755)
    goal, existing, new = done.stdout.splitlines()
    assert goal == "Which heads add?"
    assert "cannot be written" in existing
    assert "cannot be opened or written" in new
