"""What the tracker costs when it is large: reading 100,000 experiments, and logging one of 270 effects.

Reading is a whole process, from the command to its last line. The file is filled by SQL, since only reading is timed on
it; what is logged goes the usual way, sealed.

    python -m benchmarks.tracker [--experiments 100000] [--no-write]
"""

from __future__ import annotations

import argparse
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lashley.db.write.store import Store
from lashley.tests.recorded import EXPERIMENT, found, recorded

READS = (["notes", "heads"], ["notes"], ["experiments"], ["show", "E{last}"], ["show", "N1"], ["runs"])
AIM_READ, AIM_LOG = 0.3, 5.0


def fill(path: Path, many: int, effects: int = 3) -> None:
    """So many experiments by hand in one file, each with some effects and a measurement, and a note for every tenth."""
    recorded(path)
    columns = "kind, model, task, split, n, config, config_hash, subject, task_fingerprint, code_version, environment"
    count = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            f"{count} INSERT INTO experiments ({columns}, status, started) SELECT {columns}, 'running', started "
            "FROM experiments, c WHERE id = 1",
            [many],
        )
        new = "(SELECT id FROM experiments WHERE status = 'running' AND run IS NULL)"
        connection.execute(
            f"{count} INSERT INTO effects (experiment, site, metric, value, low, high, n, p, q) SELECT id, 'L' || i, "
            f"'logit_diff', i * 0.01, 0, 1, 32, 0.5, 0.5 FROM {new}, c",
            [effects],
        )
        connection.execute(
            f"INSERT INTO measurements (experiment, name, value, unit) SELECT id, 'accuracy', 0.5, 'share' FROM {new}"
        )
        connection.execute(
            "UPDATE experiments SET status = 'done', ended = started, seconds = 1, found = 'Something.' "
            "WHERE status = 'running' AND run IS NULL"
        )
        connection.execute(
            f"{count} INSERT INTO notes (title, text, tags, experiments, created) SELECT 'Note ' || i, 'What heads of "
            "layer ' || i % 30 || ' do.', '[\"heads\"]', '[\"E' || i || '\"]', '2026-01-01T00:00:00Z' FROM c",
            [many // 10],
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")


def reading(path: Path, command: Sequence[str], rounds: int) -> float:
    """The median time of the command as a process, in seconds."""
    times: list[float] = []
    for _ in range(rounds + 1):
        since = time.perf_counter()
        program = [sys.executable, "-c", "from lashley.agent.main import main; main()", *command, "--db", str(path)]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - since)
    return statistics.median(times[1:])


def logging(path: Path, effects: int, rounds: int) -> float:
    """The median time of beginning and finishing an experiment of so many effects, in milliseconds."""
    one = found().model_dump()
    one["effects"] = [{**one["effects"][0], "site": f"L{i // 9}.H{i % 9}"} for i in range(effects)]
    times: list[float] = []
    with Store.open(path) as store:
        for _ in range(rounds):
            since = time.perf_counter()
            store.finish_experiment(store.begin_experiment(run=None, **EXPERIMENT), one, 1.0)
            times.append(1e3 * (time.perf_counter() - since))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times reading and writing a large tracker.")
    parser.add_argument("--experiments", type=int, default=100_000, help="how many the file holds")
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is run")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.db"
        fill(path, options.experiments)
        size = path.stat().st_size / 1e6
        rows = [
            f"| `agent {' '.join(command)}` | {reading(path, command, options.rounds):.2f} s | {AIM_READ} s |"
            for one in READS
            for command in [[word.format(last=options.experiments) for word in one]]
        ]
        rows.append(f"| logging one of 270 effects | {logging(path, 270, 200):.1f} ms | {AIM_LOG:g} ms |")
    text = "\n".join(
        [
            "# A large tracker",
            "",
            f"{options.experiments:,} experiments and {options.experiments // 10:,} notes in one file of {size:.0f} "
            "MB. Reading is a whole process; the table has the median of five.",
            "",
            "| what | took | aim |",
            "|---|---|---|",
            *rows,
            "",
            f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}. "
            "`python -m benchmarks.tracker` writes this page.",
        ]
    )
    print(text)
    if not options.no_write:
        (Path(__file__).parent / "TRACKER.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
