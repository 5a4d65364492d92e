"""What a disk, a lock or a damaged file does to each command: one line that says what to do, exit code 1, and a tracker
that holds what it held before.

Commands that write run in a process of their own, since some of the limits hold for a whole process.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.db.errors import TrackerError
from lashley.db.read.reader import Reader
from lashley.tests.killed import agent_process, ran, sound
from lashley.tests.limited import growth_to, limited, no_growth, no_power, nothing
from lashley.tools.workbench.verify import verify_whole

from .recorded import recorded
from .test_resume import GOAL, ON

RUN = ["run", "--goal", GOAL, *ON, "--driver", "autopilot", "--experiments", "3"]
BY_HAND = ["experiment", "baseline", "--model", "planted:null", "--task", "induction", "--n", "4", "--fresh"]
WRITES = [RUN, BY_HAND, ["resume", "R1", "--display", "none"]]
REPORT = ["report", "R1"]
READS = [
    ["notes"], ["notes", "heads"], ["runs", "--json"], ["experiments"], ["show", "R1"], ["show", "R1", "--all"],
    ["show", "E1", "--all"], ["show", "H1"], ["show", "N1"], REPORT, ["verify", "R1"],
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tracker that holds a little of everything."""
    return recorded(tmp_path_factory.mktemp("home") / "s.db").parent


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tracker that holds a study that was killed."""
    folder = tmp_path_factory.mktemp("stopped")
    assert ran(agent_process(*RUN, folder=folder, commits=5)) == -signal.SIGKILL
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        # Into the file itself, what stands in the log beside it.
        connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)


def said(folder: Path) -> str:
    """What was said since it was asked last."""
    file = folder / "said.txt"
    text = file.read_text(errors="replace")
    os.truncate(file, 0)
    return text


def held(folder: Path) -> list[str]:
    """Everything that the tracker holds, in a file that is whole."""
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return list(connection.iterdump())


def one_line(text: str, *parts: str) -> None:
    errors = [line for line in text.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, text
    assert "Traceback" not in text
    for part in parts:
        assert part in errors[0], text


def named(command: list[str]) -> str:
    return command[0]


def read(command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """A command that only reads, in this process: its exit code and all that it said."""
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(cli, [*command, "--db", "s.db"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(command) from done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("command", WRITES, ids=named)
def test_a_disk_that_is_full_is_said_and_nothing_is_written_by_half(folder: Path, command: list[str]) -> None:
    before = held(folder)
    assert limited(folder, command, no_growth) == 1
    one_line(said(folder), "s.db cannot be read or written", "Is the disk full")
    assert held(folder) == before
    assert verify_whole(folder / "s.db").differences == ()


def test_a_study_whose_disk_fills_up_is_stopped_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    assert limited(tmp_path, RUN, growth_to(560_000)) == 1
    one_line(said(tmp_path), "s.db cannot be read or written", "`agent resume` resumes a study")
    with Reader.open(tmp_path / "s.db") as reader:
        assert reader.run(1).status == "stopped"
        assert reader.experiments()
    assert ran(agent_process("resume", "R1", "--db", "s.db", "--display", "none", folder=tmp_path)) == 3, said(tmp_path)
    sound(tmp_path / "s.db")


@pytest.mark.parametrize("command", WRITES, ids=named)
def test_a_tracker_that_another_process_keeps_locked(folder: Path, command: list[str]) -> None:
    before = held(folder)
    with closing(sqlite3.connect(folder / "s.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert limited(folder, command, nothing) == 1
        one_line(said(folder), "s.db is locked: another process is writing to it", "Wait for it")
    assert held(folder) == before


def test_reading_does_not_wait_for_a_writer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(home / "s.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for command in READS:
            assert read(command, home, monkeypatch)[0] == 0


def read_only(folder: Path) -> Path:
    (folder / "said.txt").touch()
    (folder / "s.db").chmod(0o444)
    folder.chmod(0o555)
    return folder


@pytest.mark.parametrize("command", WRITES, ids=named)
def test_a_file_that_may_only_be_read(folder: Path, command: list[str]) -> None:
    whole = (folder / "s.db").read_bytes()
    assert limited(read_only(folder), command, no_power) == 1
    one_line(said(folder), "s.db cannot be", "Check its permissions")
    assert (folder / "s.db").read_bytes() == whole


def test_what_may_only_be_read_can_be_read(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("reports"))
    read_only(folder)
    for command in READS:
        if command != REPORT:
            assert limited(folder, command, no_power) == 0, said(folder)
    assert limited(folder, REPORT, no_power) == 1
    one_line(said(folder), "reports/R1 cannot be written", "--to FOLDER")


def test_a_report_that_cannot_be_written_is_the_old_one(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home, tmp_path / "home")
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        # Otherwise reading takes a file of shared memory, which is a file that grows.
        connection.execute("PRAGMA journal_mode = DELETE")

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (folder / "reports").rglob("*") if path.is_file()}

    assert limited(folder, REPORT, nothing) == 0
    whole = files()
    said(folder)
    # All files but the last one, which is the largest, can be written.
    assert limited(folder, REPORT, growth_to(max(map(len, whole.values())) - 1)) == 1
    one_line(said(folder), "reports/R1 cannot be written (File too large)", "agent report R1 --to FOLDER")
    assert files() == whole


def damage(name: str, path: Path) -> None:
    data, chance = bytearray(path.read_bytes()), random.Random(name)
    match name.split()[0]:
        case "text":
            data = bytearray(b"These are my notes.\n" * 100)
        case "header":
            data[:100] = bytes(100)
        case "truncated":
            data = data[: len(data) * chance.randrange(1, 99) // 100]
        case "page":
            at = 4096 * chance.randrange(1, len(data) // 4096)
            data[at : at + 4096] = bytes(4096)
        case _:
            for _ in range(chance.choice([1, 10, 1000])):
                data[chance.randrange(100, len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def damages(each: int) -> list[str]:
    return ["text", "header", *(f"{kind} {i}" for kind in ("truncated", "page", "flipped") for i in range(each))]


def dumped(folder: Path) -> list[str] | None:
    """Everything that the tracker holds; None where it is not whole. A bit can be flipped in room that is free."""
    try:
        return held(folder)
    except (AssertionError, sqlite3.Error, UnicodeDecodeError):
        return None


def holds(path: Path) -> bool:
    try:
        return not verify_whole(path).differences
    except TrackerError:
        return False


def reads_of_damaged(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read is read, what cannot is one line, and a file that differs is never said to hold."""
    before = dumped(folder)
    damage(name, folder / "s.db")
    whole, differs = (folder / "s.db").read_bytes(), dumped(folder) != before
    assert not differs or not holds(folder / "s.db"), name
    for command in READS:
        code, text = read(command, folder, monkeypatch)
        if code and "does not hold" not in text:
            assert code in (1, 2), (name, command, text)
            one_line(text)
    assert (folder / "s.db").read_bytes() == whole


@pytest.mark.parametrize("name", damages(2))
def test_a_damaged_tracker_is_said_to_be(
    home: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads_of_damaged(shutil.copytree(home, tmp_path / "home"), name, monkeypatch)


@pytest.mark.slow
def test_a_hundred_damages(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in damages(33)[2:]:
        reads_of_damaged(shutil.copytree(home, tmp_path / name), name, monkeypatch)


@pytest.mark.parametrize("name", ["text", "header", "truncated 3"])
@pytest.mark.parametrize("command", WRITES, ids=named)
def test_nothing_is_written_into_a_damaged_tracker(folder: Path, command: list[str], name: str) -> None:
    damage(name, folder / "s.db")
    whole = (folder / "s.db").read_bytes()
    # What is no database at all was named by mistake.
    assert limited(folder, command, nothing) == (1 if name == "truncated 3" else 2)
    one_line(said(folder), "s.db is")
    assert (folder / "s.db").read_bytes() == whole
