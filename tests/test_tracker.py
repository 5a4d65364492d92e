"""The writer: what is refused, what survives a crash, and that several processes may write one file."""

from __future__ import annotations

import json
import os
import signal
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
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.db import schema
from lashley.db.errors import NewerSchema, NoSuchId, NotATracker, TrackerError
from lashley.db.read import Reader
from lashley.db.store import Store
from lashley.experiments.result import Effect, Figure, Measurement, Result, Sample

from .recorded import EXPERIMENT, RUN, older

EMPTY = Result().model_dump()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lashley.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, wait=0.1) as store:
        yield store


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def one_line(error: pytest.ExceptionInfo[TrackerError], *needed: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in needed:
        assert part in text


# --- the file


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
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
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
        assert [run["goal"] for run in reader.runs()] == [RUN["goal"]]
        (effect,) = reader.experiment(1)["effects"]
    assert (effect["site"], effect["q"], effect["percentile"], effect["p_max"]) == ("L0.H1", 0.25, None, None)
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
    with pytest.raises(TrackerError, match="nothing that can be read yet"):
        Reader.open(path)
    Store.open(path).close()
    with Reader.open(path) as reader:
        assert reader.runs() == []


def test_a_folder_or_a_missing_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotATracker, match="is a folder"):
        Store.open(tmp_path)
    with pytest.raises(TrackerError, match="There is no folder"):
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
        "import sys, os; from lashley.db.store import Store; from lashley.db.read import Reader\n"
        "from lashley.db.errors import TrackerError\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "print(Reader.open(sys.argv[1]).runs()[0]['goal'])\n"
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


# --- runs, experiments and what they leave


def test_a_crash_leaves_a_truthful_record(path: Path) -> None:
    program = (
        "import json, sys, os, signal; from lashley.db.store import Store\n"
        "run, experiment = json.loads(sys.argv[2])\n"
        "store = Store.open(sys.argv[1]); r = store.begin_run(**run)\n"
        "store.add_turn(r, 0, 'user', {'text': 'begin'})\n"
        "store.finish_experiment(store.begin_experiment(run=r, **experiment), json.loads(sys.argv[3]), 0.5)\n"
        "store.begin_experiment(run=r, **experiment); store.begin_experiment(run=None, **experiment)\n"
        "print('begun', flush=True); sys.stdin.read()\n"
    )
    args = [sys.executable, "-c", program, str(path), json.dumps([RUN, EXPERIMENT]), json.dumps(EMPTY)]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with Reader.open(path) as reader:
            assert [run["status"] for run in reader.runs()] == ["running"]
            assert [one["id"] for one in reader.experiments(status="running")] == ["E2", "E3"]
            assert reader.experiments(status="interrupted") == []
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with Reader.open(path) as reader:
        assert [run["status"] for run in reader.runs()] == ["stopped"]
        assert reader.run(1)["status"] == "stopped"
        assert [(one["id"], one["status"], one["ended"] is None) for one in reader.experiments()] == [
            ("E1", "done", False),
            ("E2", "interrupted", True),
            ("E3", "interrupted", True),
        ]
        assert reader.experiment(3)["status"] == "interrupted"
        assert reader.experiments(status="running") == []
        assert [one["id"] for one in reader.experiments(status="interrupted", limit=1)] == ["E3"]
        assert reader.turns(1)[0]["content"] == {"text": "begin"}


def test_a_run_is_running_while_its_process_lives_and_leaves_nothing_beside_the_tracker(path: Path) -> None:
    with Store.open(path) as store, Reader.open(path) as reader:
        run = store.begin_run(**RUN)
        by_hand = store.begin_experiment(run=None, **EXPERIMENT)
        # Looking changes nothing, however often.
        assert [reader.runs()[0]["status"] for _ in range(3)] == ["running"] * 3
        store.fail_experiment(by_hand, "BadTask", "no", 0.1)
        store.finish_run(run, status="finished", spent={})
        assert reader.runs()[0]["status"] == "finished"
    assert not list(path.parent.glob("*.lock"))


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=30)
maybe = st.none() | numbers
counts = st.integers(0, 10**9)
results = st.builds(
    Result,
    measurements=st.lists(
        st.builds(Measurement, name=texts, value=numbers, low=maybe, high=maybe, n=st.none() | counts, unit=texts),
        max_size=3,
        unique_by=lambda one: one.name.encode("utf-8", "replace"),
    ).map(tuple),
    effects=st.lists(
        st.builds(
            Effect, site=texts, metric=texts, value=numbers, low=numbers, high=numbers, n=counts, p=maybe, q=maybe
        ),
        max_size=3,
    ).map(tuple),
    samples=st.lists(st.builds(Sample, prompt=texts, expected=texts, said=texts), max_size=3).map(tuple),
    figures=st.lists(
        st.builds(
            Figure, name=texts, kind=st.just("pie"), title=texts, unit=texts, n=counts,
            data=st.dictionaries(texts, st.lists(maybe, max_size=3), max_size=3),
        ),
        max_size=1,
    ).map(tuple),
    found=texts,
    notes=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(results)
def test_every_result_comes_back_as_it_went_in(result: Result) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lashley.db"
        with Store.open(path) as store:
            store.finish_experiment(store.begin_experiment(run=None, **EXPERIMENT), result.model_dump(), 0.25)
        with Reader.open(path) as reader:
            read = reader.experiment(1)
    parts = {name: read[name] for name in Result.model_fields if name != "arrays"}
    assert Result(**parts) == result


def test_an_experiment_keeps_all_that_it_was_told(store: Store, path: Path) -> None:
    run = store.begin_run(**RUN)
    turn = store.add_turn(run, 3, "assistant", {"text": "try"}, tokens_in=10, tokens_out=2, seconds=0.5)
    number = store.begin_experiment(run=run, turn=turn, reason="the layer was important", **EXPERIMENT)
    store.finish_experiment(number, EMPTY, 1.5, {"z.npy": ("application/octet-stream", b"\x00\x01")})
    with Reader.open(path) as reader:
        read = reader.experiment(number)
        assert reader.artifact(number, "z.npy") == b"\x00\x01"
    assert {key: read[key] for key in EXPERIMENT} == EXPERIMENT
    assert (read["run"], read["status"], read["seconds"]) == ("R1", "done", 1.5)
    assert read["reason"] == "the layer was important"
    assert [(one["name"], one["size"]) for one in read["artifacts"]] == [("z.npy", 2)]


def test_finishing_is_one_transaction(store: Store, path: Path) -> None:
    number = store.begin_experiment(run=None, **EXPERIMENT)
    measured = Measurement(name="accuracy", value=0.5).model_dump()
    with pytest.raises(TrackerError):
        store.finish_experiment(number, {**EMPTY, "measurements": [measured, measured]}, 1.0)
    figure = {"name": "f", "kind": "pie", "title": "", "unit": "", "n": 1, "data": {"x": float("nan")}}
    with pytest.raises(TrackerError, match="cannot be recorded"):
        store.finish_experiment(number, {**EMPTY, "measurements": [measured], "figures": [figure]}, 1.0)
    assert rows(path, "SELECT count(*) FROM measurements") == [(0,)]
    assert rows(path, "SELECT status FROM experiments") == [("running",)]
    store.finish_experiment(number, {**EMPTY, "measurements": [measured]}, 1.0)
    assert rows(path, "SELECT value FROM measurements") == [(0.5,)]


def test_what_has_ended_cannot_change(store: Store) -> None:
    number = store.begin_experiment(run=None, **EXPERIMENT)
    store.fail_experiment(number, "NotANumber", "the loss is NaN", 0.1)
    with pytest.raises(TrackerError, match="E1 has ended already"):
        store.finish_experiment(number, EMPTY, 0.1)
    with pytest.raises(TrackerError, match="E1 has ended already"):
        store.fail_experiment(number, "Other", "again", 0.1)


def test_only_a_finished_experiment_of_the_same_everything_is_found(store: Store) -> None:
    same = ("c1", EXPERIMENT["subject"]["fingerprint"], "t1", EXPERIMENT["code_version"])
    failed = store.begin_experiment(run=None, **EXPERIMENT)
    store.fail_experiment(failed, "X", "x", 0.1)
    first = store.begin_experiment(run=None, **EXPERIMENT)
    assert store.find_experiment(*same) is None
    store.finish_experiment(first, EMPTY, 0.1)
    assert store.find_experiment(*same) == first
    for place in range(4):
        assert store.find_experiment(*(part if i != place else "other" for i, part in enumerate(same))) is None
    without_task = store.begin_experiment(run=None, **{**EXPERIMENT, "task_fingerprint": None})
    store.finish_experiment(without_task, EMPTY, 0.1)
    assert store.find_experiment(*same[:2], None, same[3]) == without_task


def test_ids_that_are_not_there_are_refused_with_the_nearest(store: Store) -> None:
    with pytest.raises(NoSuchId, match="no experiment is recorded yet"):
        store.add_note(None, "t", "t", [], [4])
    for _ in range(4):
        store.begin_experiment(run=None, **EXPERIMENT)
    with pytest.raises(NoSuchId) as error:
        store.add_note(None, "t", "t", [], [9])
    one_line(error, "E9", "E3 and E4")
    for attempt in (
        lambda: store.add_turn(1, 0, "user", {}),
        lambda: store.begin_experiment(run=1, **EXPERIMENT),
        lambda: store.finish_run(1, status="finished", spent={}),
        lambda: store.set_hypothesis_status(1, "refuted", ""),
        lambda: store.finish_experiment(9, EMPTY, 0.1),
        lambda: store.add_report(1, ""),
    ):
        with pytest.raises(NoSuchId):
            attempt()


def test_a_hypothesis_keeps_its_history(store: Store, path: Path) -> None:
    store.begin_experiment(run=None, **EXPERIMENT)
    number = store.add_hypothesis(None, "H3 adds", "it is large", "the effect is 0")
    store.set_hypothesis_status(number, "supported", "it fell", [1])
    store.set_hypothesis_status(number, "refuted", "not on confirm")
    with pytest.raises(TrackerError, match="Known: open, supported, refuted, inconclusive"):
        store.set_hypothesis_status(number, "proved", "")
    with Reader.open(path) as reader:
        read = reader.hypothesis(number)
    assert read["status"] == "refuted"
    assert [(event["status"], event["experiments"]) for event in read["events"]] == [
        ("open", []),
        ("supported", ["E1"]),
        ("refuted", []),
    ]
    for change in ("DELETE FROM hypothesis_events", "UPDATE hypothesis_events SET comment = 'better'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            rows(path, change)


def test_text_and_numbers_that_sqlite_cannot_hold_do_not_end_a_run(store: Store, path: Path) -> None:
    run = store.begin_run(**{**RUN, "goal": "lone \ud800 surrogate"})
    store.add_turn(run, 0, "assistant", json.loads('{"text": "\\ud800", "nul": "\\u0000"}'))
    with pytest.raises(TrackerError, match="64 bits"):
        store.begin_run(**{**RUN, "seed": 2**70})
    with Reader.open(path) as reader:
        assert [one["goal"] for one in reader.runs()] == ["lone ? surrogate"]
        assert reader.turns(run)[0]["content"] == {"text": "?", "nul": "\0"}


def test_a_task_file_is_kept_in_every_version(store: Store, path: Path) -> None:
    for fingerprint in ("a", "b", "b", "a"):
        store.save_task_file("mine", fingerprint, f'{{"v": "{fingerprint}"}}\n{{}}')
    assert rows(path, "SELECT fingerprint FROM task_files") == [("a",), ("b",), ("a",)]
    with Reader.open(path) as reader:
        latest, b = reader.task_file("mine"), reader.task_file("mine", "b")
        assert reader.task_file("other") is None
    assert latest is not None
    assert b is not None
    assert latest["content"] == '{"v": "a"}\n{}'
    assert b["content"] == '{"v": "b"}\n{}'


def test_processes_that_make_and_write_one_file_together_lose_nothing(path: Path) -> None:
    program = (
        "import json, sys; from lashley.db.store import Store\n"
        "run, experiment = json.loads(sys.argv[2])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    r = store.begin_run(**run)\n"
        "    for i in range(25):\n"
        "        e = store.begin_experiment(run=r, **experiment)\n"
        "        store.finish_experiment(e, json.loads(sys.argv[3]), 0.1)\n"
        "        store.add_note(r, 'note', 'a word', ['tag'], [e])\n"
    )
    args = [sys.executable, "-c", program, str(path), json.dumps([RUN, EXPERIMENT]), json.dumps(EMPTY)]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen(args, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    with Reader.open(path) as reader:
        assert [run["experiment_count"] for run in reader.runs()] == [25] * 4
        assert len(reader.notes("word")) == 100
        assert all(len(reader.experiment(number)["cited_by"]) == 1 for number in range(1, 101))
    assert rows(path, "SELECT count(*) FROM subjects") == rows(path, "SELECT count(*) FROM environments") == [(1,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
