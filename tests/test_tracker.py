"""The writer: what is refused, what survives a crash, and that several processes may write one file."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.db.errors import NoSuchId, TrackerError
from lashley.db.read.reader import Reader
from lashley.db.records import as_json
from lashley.db.write.store import Store
from lashley.experiments.result import Effect, Figure, Measurement, Note, Result, Sample, notes_of

from .recorded import EXPERIMENT, RUN, one_line, rows

EMPTY = Result().model_dump()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lashley.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, wait=0.1) as store:
        yield store


# --- runs, experiments and what they leave


def test_a_crash_leaves_a_truthful_record(path: Path) -> None:
    program = (
        "import json, sys, os, signal; from lashley.db.write.store import Store\n"
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
            assert [run.status for run in reader.runs()] == ["running"]
            assert [one.id for one in reader.experiments(status="running")] == ["E2", "E3"]
            assert reader.experiments(status="interrupted") == []
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with Reader.open(path) as reader:
        assert [run.status for run in reader.runs()] == ["stopped"]
        assert reader.run(1).status == "stopped"
        assert [(one.id, one.status, one.ended is None) for one in reader.experiments()] == [
            ("E1", "done", False),
            ("E2", "interrupted", True),
            ("E3", "interrupted", True),
        ]
        assert reader.experiment(3).status == "interrupted"
        assert reader.experiments(status="running") == []
        assert [one.id for one in reader.experiments(status="interrupted", limit=1)] == ["E3"]
        assert reader.turns(1)[0].content == {"text": "begin"}


def test_a_run_is_running_while_its_process_lives_and_leaves_nothing_beside_the_tracker(path: Path) -> None:
    with Store.open(path) as store, Reader.open(path) as reader:
        run = store.begin_run(**RUN)
        by_hand = store.begin_experiment(run=None, **EXPERIMENT)
        # Looking changes nothing, however often.
        assert [reader.runs()[0].status for _ in range(3)] == ["running"] * 3
        store.fail_experiment(by_hand, "BadTask", "no", 0.1)
        store.finish_run(run, status="finished", spent={})
        assert reader.runs()[0].status == "finished"
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
    notes=st.lists(st.builds(Note, code=texts, text=texts), max_size=2).map(tuple),
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
    parts = {name: as_json(read)[name] for name in Result.model_fields if name != "arrays"}
    assert Result(**{**parts, "notes": notes_of(read.notes, read.note_codes)}) == result


def test_an_experiment_keeps_all_that_it_was_told(store: Store, path: Path) -> None:
    run = store.begin_run(**RUN)
    turn = store.add_turn(run, 3, "assistant", {"text": "try"}, tokens_in=10, tokens_out=2, seconds=0.5)
    number = store.begin_experiment(run=run, turn=turn, reason="the layer was important", **EXPERIMENT)
    store.finish_experiment(number, EMPTY, 1.5, {"z.npy": ("application/octet-stream", b"\x00\x01")})
    with Reader.open(path) as reader:
        read = reader.experiment(number)
        assert reader.artifact(number, "z.npy") == b"\x00\x01"
    assert {key: as_json(read)[key] for key in EXPERIMENT} == EXPERIMENT
    assert (read.run, read.status, read.seconds) == ("R1", "done", 1.5)
    assert read.reason == "the layer was important"
    assert [(one.name, one.size) for one in read.artifacts] == [("z.npy", 2)]


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
    with pytest.raises(TrackerError, match="E1 has already ended"):
        store.finish_experiment(number, EMPTY, 0.1)
    with pytest.raises(TrackerError, match="E1 has already ended"):
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
    with pytest.raises(NoSuchId, match="No experiment is recorded yet"):
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
    assert read.status == "refuted"
    assert [(event.status, event.experiments) for event in read.events] == [
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
        assert [one.goal for one in reader.runs()] == ["lone ? surrogate"]
        assert reader.turns(run)[0].content == {"text": "?", "nul": "\0"}


def test_a_task_file_is_kept_in_every_version(store: Store, path: Path) -> None:
    for fingerprint in ("a", "b", "b", "a"):
        store.save_task_file("mine", fingerprint, f'{{"v": "{fingerprint}"}}\n{{}}')
    assert rows(path, "SELECT fingerprint FROM task_files") == [("a",), ("b",), ("a",)]
    with Reader.open(path) as reader:
        latest, b = reader.task_file("mine"), reader.task_file("mine", "b")
        assert reader.task_file("other") is None
    assert latest is not None
    assert b is not None
    assert latest.content == '{"v": "a"}\n{}'
    assert b.content == '{"v": "b"}\n{}'


def test_processes_that_make_and_write_one_file_together_lose_nothing(path: Path) -> None:
    program = (
        "import json, sys; from lashley.db.write.store import Store\n"
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
        assert [run.experiment_count for run in reader.runs()] == [25] * 4
        assert len(reader.notes("word")) == 100
        assert all(len(reader.experiment(number).cited_by) == 1 for number in range(1, 101))
    assert rows(path, "SELECT count(*) FROM subjects") == rows(path, "SELECT count(*) FROM environments") == [(1,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
