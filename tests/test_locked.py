"""A tracker that another process keeps locked for longer than a write waits: what was measured is never lost.

The other process is a real one that holds BEGIN EXCLUSIVE; the commands run in processes of their own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lashley
from lashley.db.errors import TrackerError, TrackerFails
from lashley.db.read.reader import Reader
from lashley.db.write import pending
from lashley.db.write.pending import Ended
from lashley.db.write.store import Store
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment
from lashley.tools.workbench.verify import verify_whole

ABLATION = HeadAblation(model="planted:induction", task="induction", n=4)
BY_HAND = ["experiment", "head_ablation", "--model", "planted:induction", "--task", "induction", "--n", "4"]
STUDY = ["run", "--goal", "Which heads copy?", "--model", "planted:induction", "--task", "induction", "--n", "16",
         "--driver", "autopilot", "--display", "plain"]  # fmt: skip
# A command whose writes wait for half a second, and which says on stdout when an experiment has been measured, and
# goes on when it is told to.
PROGRAM = """
import sys
from lashley.agent.main import cli
from lashley.db.write import rows
from lashley.tools.workbench import run_experiment
rows.WAIT = 0.5
whole = run_experiment.measured
def measured(experiment, lab):
    found = whole(experiment, lab)
    if experiment.kind == "head_ablation":
        print("measured", flush=True)
        sys.stdin.readline()
    return found
run_experiment.measured = measured
cli.main(sys.argv[1:], prog_name="agent")
"""
LOCKER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
db.execute("ROLLBACK")
"""
PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


@contextmanager
def locked(path: Path) -> Generator[Callable[[], None], None, None]:
    """Another process that keeps the tracker locked, until what is given is called."""
    with subprocess.Popen([sys.executable, "-c", LOCKER, str(path)], **PIPES) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"

        def let_go() -> None:
            other.communicate("\n")

        try:
            yield let_go
        finally:
            if other.poll() is None:
                other.kill()


@contextmanager
def agent(path: Path, *words: str) -> Generator[subprocess.Popen[str], None, None]:
    """The command, once it has measured and before it writes; it says everything in said.txt."""
    with started(path, *words) as process:
        assert process.stdout is not None
        assert "measured\n" in process.stdout, said(path)
        yield process


@contextmanager
def started(path: Path, *words: str) -> Generator[subprocess.Popen[str], None, None]:
    settings = {**os.environ, "LASHLEY_DB": str(path), "OPENAI_API_KEY": "", "OMP_NUM_THREADS": "1"}
    with (path.parent / "said.txt").open("a") as out:
        command = [sys.executable, "-c", PROGRAM, *words]
        process = subprocess.Popen(command, stderr=out, cwd=path.parent, env=settings, **PIPES)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    # More than one, for later experiments of a study.
    process.stdin.write("\n" * 100)
    process.stdin.flush()


def until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def said(path: Path) -> str:
    return " ".join((path.parent / "said.txt").read_text().split())


def whole(path: Path, number: int) -> None:
    """The experiment is done, with the numbers and arrays that it has anywhere else, and the tracker is sound."""
    with Reader.open(path) as reader:
        row = reader.experiment(number)
        assert row.status == "done"
        here = lashley.run(HeadAblation.model_validate(row.config)).result
        assert [e.value for e in row.effects] == pytest.approx([e.value for e in here.effects], abs=1e-6)
        assert {a.name for a in row.artifacts} == set(here.arrays)
        for name, array in here.arrays.items():
            kept = np.load(io.BytesIO(reader.artifact(number, name)), allow_pickle=False)
            assert np.allclose(kept, array, atol=1e-6)
    assert verify_whole(path).differences == ()
    assert pending.files(path) == []


def latest(path: Path) -> int:
    with Reader.open(path) as reader:
        return max(int(row.id[1:]) for row in reader.experiments(kind="head_ablation"))


@pytest.mark.parametrize("words", [BY_HAND, pytest.param(STUDY, marks=pytest.mark.slow)], ids=["experiment", "study"])
def test_a_result_waits_until_the_lock_is_gone(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with agent(path, *words) as process:
        number = latest(path)
        with locked(path) as let_go:
            go_on(process)
            until(lambda: "Waiting until it ends" in said(path))
            assert [file.name for file in pending.files(path)] == [f"t.db-E{number}.pending"]
            let_go()
        process.communicate(timeout=300)
        assert process.returncode == 0, said(path)
    assert f"{path} is locked: another process is writing to it." in said(path)
    assert f"The result of E{number} is in" in said(path)
    assert f"{path} is free again." in said(path)
    whole(path, number)


@pytest.mark.parametrize("words", [BY_HAND, pytest.param(STUDY, marks=pytest.mark.slow)], ids=["experiment", "study"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_a_result_that_waits_outlives_its_process(words: list[str], end: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with agent(path, *words) as process:
        number = latest(path)
        with locked(path):
            go_on(process)
            until(lambda: "Waiting until it ends" in said(path))
            process.send_signal(end)
            if words is STUDY and end == signal.SIGINT:
                until(lambda: "Press Ctrl-C again to stop at once" in said(path))
                process.send_signal(end)
            process.wait(timeout=60)
    with Reader.open(path) as reader:
        row = reader.experiment(number)
        assert (row.status, row.error[:17]) == ("interrupted", "Its result is in ")
    # Whoever writes next takes it in.
    if words is STUDY:
        with started(path, "resume", "R1", "--display", "plain") as process:
            process.communicate("\n" * 100, timeout=300)
            assert process.returncode == 0, said(path)
        with Reader.open(path) as reader:
            done = [row.config for row in reader.experiments(kind="head_ablation", run=1)]
        assert all(done.count(config) == 1 for config in done), "nothing is measured twice"
    else:
        Store.open(path).close()
    whole(path, number)


def test_without_anybody_to_tell_it_is_refused_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    with Context.open(str(path)) as context:
        context.store._wait = 0.2  # pyright: ignore[reportPrivateUsage]

        def then_locked(experiment: Any, lab: Any) -> Any:
            other.execute("BEGIN EXCLUSIVE")
            return experiment.run(lab)

        context.measure = then_locked
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            with pytest.raises(TrackerFails, match=r"is locked.*The result of E1 is in"):
                run_experiment(context, ABLATION)
            # Its owner may still write it.
            Store.open(path, wait=0.1).close()
            assert len(pending.files(path)) == 1
    Store.open(path).close()
    whole(path, 1)


def ended(path: Path) -> tuple[int, Ended]:
    """A measured experiment whose process is gone, and how it ended."""
    with Context.open(str(path)) as context:
        assert run_experiment(context, ABLATION).error is None
        row = context.reader.experiment(1)
    started = row.started
    with Store.open(path) as store:
        number = store.begin_experiment(
            run=None, kind="baseline", model="m", task="t", split="explore", n=1, config={}, config_hash="h",
            subject={"name": "m", "fingerprint": "f", "architecture": "a", "anatomy": {}}, task_fingerprint=None,
            code_version="c", environment={},
        )  # fmt: skip
        started = store._when_started(number)  # pyright: ignore[reportPrivateUsage]
    empty: dict[str, Any] = {name: [] for name in ("measurements", "effects", "samples", "figures", "notes")}
    return number, Ended(number, started, 1.0, result={**empty, "found": "x"}, artifacts={"a": ("text/plain", b"\0\1")})


def test_a_file_is_read_as_it_was_written_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    number, one = ended(path)
    file = pending.keep(path, one)
    assert pending.read(file) == one
    good = file.read_bytes()
    for place in (len(good) // 4, len(good) // 2, 60):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        try:
            found = pending.read(file)
        except TrackerError:
            continue
        assert found == one, "what is not read may change"
    file.write_bytes(good[: len(good) // 2])
    with pytest.raises(TrackerError, match="is damaged"):
        Store.open(path)
    file.write_bytes(good)
    Store.open(path).close()
    with Reader.open(path) as reader:
        assert (reader.experiment(number).found, reader.artifact(number, "a")) == ("x", b"\0\1")
    assert not file.exists()


def test_the_file_of_another_tracker_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    number, one = ended(path)
    file = pending.keep(path, Ended(number, "2020-01-01T00:00:00.000000Z", 1.0, result=one.result))
    Store.open(path).close()
    assert file.exists()
    with Reader.open(path) as reader:
        assert reader.experiment(number).status == "interrupted"


def test_what_was_written_after_all_is_not_written_twice(tmp_path: Path) -> None:
    """The process was killed between the tracker and the removal of the file."""
    path = tmp_path / "t.db"
    number, one = ended(path)
    with Store.open(path) as store:
        store.finish_experiment(number, one.result or {}, 1.0)
    file = pending.keep(path, one)
    Store.open(path).close()
    assert not file.exists()
    assert verify_whole(path).differences == ()
    with Reader.open(path) as reader:
        assert json.dumps(reader.experiment(number).artifacts) == "[]"
