"""Studies in processes of their own that are killed, and what is left of them in the tracker.

The processes are forked from one that has imported everything, so that a hundred of them take minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lashley.db.read.reader import Reader
from lashley.db.records import as_json
from lashley.tools.workbench.verify import verify_report, verify_tracker

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "lashley.tests.killed",
        "lashley.agent.commands.resume",
        "lashley.agent.study.loop",
        "lashley.experiments.model.loading",
        "torch",
    ]
)


def agent_process(*arguments: str, folder: Path, commits: int = 0) -> BaseProcess:
    """`agent ...` in a folder; it kills itself with SIGKILL right after so many writes to the tracker, if not 0."""
    process = FORKED.Process(target=in_child, args=(arguments, str(folder), commits))
    process.start()
    return process


def in_child(arguments: Sequence[str], folder: str, commits: int) -> None:
    import torch

    from lashley.agent.main import cli

    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ["OPENAI_API_KEY"] = ""
    with open("said.txt", "a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if commits:
        kill_after(commits)
    cli.main([*arguments], prog_name="agent")


def kill_after(commits: int) -> None:
    from lashley.db.write.store import Store

    whole, done = Store._transaction, [0]

    @contextmanager
    def counted(self: Store, *late: Callable[[], str]) -> Generator[None, None, None]:
        with whole(self, *late):
            yield
        done[0] += 1
        if done[0] == commits:
            os.kill(os.getpid(), signal.SIGKILL)

    Store._transaction = counted


def ran(process: BaseProcess, seconds: float = 300) -> int:
    """Its exit code; -9 if it was killed."""
    process.join(seconds)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def began(path: Path) -> bool:
    """Whether there is a run to go on with."""
    return phase(path) != BEFORE


BEFORE, AFTER = "before the study began", "while the report's files were written"
EXPERIMENT, CALL, DRIVER = "during an experiment", "during another call", "while the driver was asked"


def phase(path: Path) -> str:
    """In which phase of its study a process was killed, by what it left; the file is whole at any instant."""
    if not path.exists():
        return BEFORE
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        there = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs'").fetchone()
        run = there and connection.execute("SELECT status FROM runs").fetchone()
        if not run:
            return BEFORE
        if run != ("running",):
            return AFTER
        if connection.execute("SELECT 1 FROM experiments WHERE status = 'running'").fetchone():
            return EXPERIMENT
        last = connection.execute("SELECT role FROM turns ORDER BY id DESC LIMIT 1").fetchone()
        return CALL if last == ("assistant",) else DRIVER


def sound(path: Path) -> None:
    """The file is whole, everything in it is as it was sealed, and the report says what was recorded."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert verify_tracker(path, [1]).differences == ()
    with Reader.open(path) as reader:
        files = [path.parent / "reports" / "R1" / name for name in ("report.html", "report.md")]
        assert verify_report(reader, 1, files).differences == ()


def left(path: Path) -> dict[str, Any]:
    """All that a study leaves, with its experiments named in the order of those that were not cut short."""
    with Reader.open(path) as reader:
        run, turns = reader.run(1), reader.turns(1)
        whole = [e for e in run.experiments if e.error_type != "Interrupted"]
        places = {e.id: f"E#{place}" for place, e in enumerate(whole)}
        report = reader.latest_report(1)
        found = {
            "status": run.status,
            "spent": {name: spent for name, spent in run.spent.items() if name != "minutes"},
            "report": None if report is None else (report.source, report.claims),
            "conversation": [(t.step, t.role, t.content) for t in turns],
            "experiments": [
                [as_json(reader.experiment(int(e.id[1:])))[name] for name in KEPT] for e in whole
            ],
            "notes": [(n.title, n.text, n.tags, n.experiments) for n in run.notes],
            "hypotheses": [
                (h.statement, h.status, [(e.status, e.comment, e.experiments) for e in h.events],
                 [p.judged for p in h.predictions]) for h in run.hypotheses
            ],
        }  # fmt: skip

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\bE[0-9]+\b", lambda match: places.get(match[0], match[0]), value)
        if isinstance(value, dict):
            return {named(name): named(one) for name, one in value.items() if name != "created"}
        return [named(one) for one in value] if isinstance(value, (list, tuple)) else value

    return named(found)


KEPT = ("kind", "config", "status", "error", "found", "reason", "measurements", "effects", "samples", "call")
