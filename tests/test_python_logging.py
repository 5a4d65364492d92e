"""`lashley.run(..., log=True)` where the tracker cannot take it: one line of ours, and no measurement is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import lashley
from lashley.db.write import pending, rows
from lashley.tools.workbench import run_experiment

from .test_locked import locked, whole

ABLATION = lashley.HeadAblation(model="planted:induction", task="induction", n=4)
# Root may write everything, so nobody asks where the tests run as root. What is imported late may not be readable then.
READ_ONLY = """
import os, sys, lashley
found = lashley.run(lashley.HeadAblation(model="planted:induction", task="induction", n=4), db=sys.argv[1])
if not os.geteuid():
    os.setgid(65534), os.setuid(65534)
try:
    lashley.run(lashley.Baseline(model="planted:induction", task="induction", n=4), db=sys.argv[2])
except lashley.errors.OURS as fault:
    print(type(fault).__name__, fault)
print(len(found.effects()), lashley.open(sys.argv[2]).experiments()["id"].tolist())
"""


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds that were measured for the tracker, as they were."""
    kinds, whole = list[str](), run_experiment.measured

    def counted(experiment: lashley.Experiment, lab: object) -> lashley.Result:
        kinds.append(experiment.kind)
        return whole(experiment, lab)  # type: ignore[arg-type]

    monkeypatch.setattr(run_experiment, "measured", counted)
    monkeypatch.setattr(rows, "WAIT", 0.5)
    return kinds


def one_line(fault: BaseException) -> str:
    assert isinstance(fault, lashley.errors.OURS)
    assert "\n" not in str(fault)
    return str(fault)


@pytest.mark.parametrize("place", ["no folder", "a folder", "another file", "a newer tracker"])
def test_where_there_can_be_no_tracker_nothing_is_measured(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[str]
) -> None:
    path = tmp_path / "gone" / "t.db" if place == "no folder" else tmp_path / "t.db"
    if place == "a folder":
        path.mkdir()
    elif place == "another file":
        path.write_text("a text of my own\n" * 100, encoding="utf-8")
    elif place == "a newer tracker":
        lashley.run(ABLATION, db=path)
        measured.clear()
        import sqlite3

        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 999")
        db.close()
    before = path.read_bytes() if path.is_file() else None
    monkeypatch.setenv("LASHLEY_DB", str(path))
    with pytest.raises(lashley.errors.TrackerError) as raised:
        lashley.run(ABLATION, log=True)
    assert path.name in one_line(raised.value)
    assert measured == []
    assert (path.read_bytes() if path.is_file() else None) == before
    assert len(lashley.run(ABLATION).effects()) == 8, "without the tracker it is still measured"


def test_a_tracker_that_may_only_be_read(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        lashley.run(ABLATION, db=path)
        path.chmod(0o444)
        os.chmod(folder, 0o555)
        arguments = [sys.executable, "-c", READ_ONLY, str(tmp_path / "own.db"), str(path)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        os.chmod(folder, 0o755)
    assert done.returncode == 0, done.stderr
    fault, found = done.stdout.splitlines()
    assert fault.startswith("TrackerFails")
    assert "cannot be" in fault
    assert "Check its permissions" in fault
    assert found == "8 ['E1']"


def test_a_tracker_that_is_locked_is_said_before_anything_is_measured(tmp_path: Path, measured: list[str]) -> None:
    path = tmp_path / "t.db"
    lashley.run(ABLATION, db=path)
    measured.clear()
    with locked(path), pytest.raises(lashley.errors.TrackerFails, match="locked: another process") as raised:
        lashley.run(ABLATION, db=path, fresh=True)
    one_line(raised.value)
    assert measured == []


def test_what_was_measured_before_a_lock_is_the_answer_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[str]
) -> None:
    path, inner = tmp_path / "t.db", run_experiment.measured
    other = locked(path)

    def and_locked(experiment: lashley.Experiment, lab: object) -> lashley.Result:
        found = inner(experiment, lab)  # type: ignore[arg-type]
        let_go.append(other.__enter__())
        return found

    let_go: list[object] = []
    monkeypatch.setattr(run_experiment, "measured", and_locked)
    try:
        with pytest.raises(lashley.errors.TrackerFails, match="The result of E1 is in") as raised:
            lashley.run(ABLATION, db=path)
        (kept,) = pending.files(path)
        assert str(kept) in one_line(raised.value)
    finally:
        other.__exit__(None, None, None)
    monkeypatch.setattr(run_experiment, "measured", inner)
    answer = lashley.run(ABLATION, db=path)
    assert (answer.id, answer.status, measured) == ("E1", "done", ["head_ablation"]), "it is not measured again"
    assert answer.effects().equals(lashley.run(ABLATION).effects())
    whole(path, 1)
