"""A tracker that an earlier version wrote opens as it did: no row is lost, and everything in it can be read.

`fixtures/README.md` says how the file was made. What it holds is pinned by `tracker-0.1.0.json`: how many rows each
table has, and which fields every command gives as JSON.
"""

from __future__ import annotations

import json
import lzma
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.db import schema
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.result import Effect, Measurement, Result, Sample
from lashley.experiments.statistics import VERSION
from lashley.tools.replay.experiment import compare, other_statistics
from lashley.tools.workbench.verify import verify_whole

from .test_shape import PRIVATE

FIXTURES = Path(__file__).parent / "fixtures"
FILE = FIXTURES / "tracker-0.1.0.db.xz"
# What the version that wrote it gave: see `fixtures/README.md`.
GAVE: dict[str, Any] = json.loads((FIXTURES / "tracker-0.1.0.json").read_text(encoding="utf-8"))
FREE = ("config", "content", "data", "environment", "anatomy", "budget", "price")
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '*_fts_*' AND name NOT GLOB 'sqlite_*'"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as it was written, which nobody opens to write."""
    path = tmp_path_factory.mktemp("before") / "lashley.db"
    path.write_bytes(lzma.decompress(FILE.read_bytes()))
    return path


@pytest.fixture(scope="module")
def path(before: Path) -> Path:
    """A copy, brought up to date."""
    path = before.with_name("now.db")
    path.write_bytes(before.read_bytes())
    Store.open(path).close()
    return path


def test_it_was_written_by_this_schema_or_an_older_one(before: Path) -> None:
    assert 0 < schema.version_at(before) <= schema.VERSION
    with closing(sqlite3.connect(before)) as connection:
        # Rows hold texts that a program wrote on somebody's machine.
        assert not PRIVATE.search("\n".join(connection.iterdump()))


def test_no_row_is_lost_or_changed_when_it_is_brought_up_to_date(before: Path, path: Path) -> None:
    with closing(sqlite3.connect(before)) as was, closing(sqlite3.connect(path)) as now:
        tables = [table for (table,) in was.execute(TABLES)]
        assert {table: len(was.execute(f"SELECT 1 FROM {table}").fetchall()) for table in tables} == GAVE["tables"]
        for table in tables:
            columns = ", ".join(row[0] for row in was.execute("SELECT name FROM pragma_table_info(?)", [table]))
            rows = f"SELECT {columns} FROM {table} ORDER BY rowid"
            kept = now.execute(rows).fetchall()
            assert kept[: GAVE["tables"][table]] == was.execute(rows).fetchall(), table
    verified = verify_whole(path)
    assert not verified.differences


def commands(reader: Reader) -> dict[str, list[str]]:
    """Every command that reads, for all that the tracker holds; by what it is called in the file of what it gave."""
    asked = {
        "runs": ["runs"], "experiments": ["experiments"], "notes": ["notes"], "notes by word": ["notes", "layer"],
        "top": ["top"], "diff of runs": ["diff", "R1", "R2"], "diff of experiments": ["diff", "E1", "E2"],
        "tasks": ["tasks"], "task": ["tasks", "show", "words"],
    }  # fmt: skip
    experiments, notes, hypotheses = reader.experiments(), reader.notes(), reader.hypotheses()
    asked |= {f"show {row.id}": ["show", row.id] for row in (*reader.runs(), *experiments, *notes, *hypotheses)}
    return asked


def fields(value: Any, at: str = "") -> set[str]:
    """Where in some JSON there is something, and of which type: "hypotheses[].id: str". What a configuration, a message
    or a figure holds is its own."""
    if at.rpartition(".")[2] in FREE and isinstance(value, dict):
        return {f"{at}: dict"}
    if isinstance(value, dict):
        return {f"{at}: dict"}.union(*(fields(one, f"{at}.{name}") for name, one in value.items()))
    if isinstance(value, list):
        return {f"{at}: list"}.union(*(fields(one, f"{at}[]") for one in value))
    return {f"{at}: {type(value).__name__}"}


def test_every_command_gives_at_least_the_fields_that_it_gave(path: Path) -> None:
    with Reader.open(path) as reader:
        asked = commands(reader)
    found: dict[str, set[str]] = {}
    for name, words in asked.items():
        done = CliRunner().invoke(cli, [*words, "--json", "--db", str(path)])
        assert done.exit_code == 0, (words, done.output)
        # All runs together, all experiments together, and so on.
        found.setdefault(re.sub(r"(?<=show [RENH])\d+", "", name), set()).update(fields(json.loads(done.stdout)))
    assert {name: set(gave) - found[name] for name, gave in GAVE["commands"].items() if set(gave) - found[name]} == {}


def test_every_page_for_a_person_can_be_printed(path: Path) -> None:
    with Reader.open(path) as reader:
        asked = list(commands(reader).values())
        runs = [row.id for row in reader.runs()]
    for words in [*asked, *(["report", run, "--print"] for run in runs), ["show", "R1", "--all"]]:
        done = CliRunner().invoke(cli, [*words, "--db", str(path)])
        assert done.exit_code == 0, (words, done.output)
        assert done.stdout.strip()


def test_everything_is_there_to_be_read(path: Path) -> None:
    with Reader.open(path) as reader:
        assert [row.status for row in reader.runs()] == ["finished", "budget", "finished", "budget", "stopped"]
        assert {row.status for row in reader.experiments()} == {"done", "failed", "interrupted"}
        second, third = reader.run(2), reader.run(3)
        assert (second.parent, third.reviews) == ("R1", "R1")
        assert (reader.run(1).forks, reader.run(1).reviewed_by) == (["R2"], ["R3"])
        assert reader.task_file("words") is not None
        assert reader.experiment(1).effects or reader.experiment(1).measurements
        predicted = [one for h in reader.hypotheses() for one in h.predictions]
        assert any(one.judged for one in predicted)
        assert reader.latest_report(4) is not None
        assert reader.waiting(4)[0].text == "Look at layer 0, too."
        request = reader.request(4, reader.run(4).started)
        assert request is not None
        assert request.instructions == "Study it."
        assert reader.turns(1)


def test_a_replay_says_that_the_statistics_have_changed_and_compares_what_was_measured(path: Path) -> None:
    with Reader.open(path) as reader:
        numbers = [int(row.id[1:]) for row in reader.experiments() if row.status == "done"]
        row = next(one for one in map(reader.experiment, numbers) if one.effects)
    assert other_statistics(row).startswith("version 1 of the statistics made its intervals and p-values")

    def again(**other: float) -> Result:
        effects = [Effect(**{**effect._asdict(), **other}) for effect in row.effects]
        measurements = [Measurement(**one._asdict()) for one in row.measurements]
        samples = [Sample(**{**one._asdict(), "correct": one.correct}) for one in row.samples]
        return Result(effects=tuple(effects), measurements=tuple(measurements), samples=tuple(samples))

    assert not [line for line in compare(row, again(low=-9.0, high=9.0), 1e-4)["differences"] if "sample" not in line]
    assert [line for line in compare(row, again(value=7.5), 1e-4)["differences"] if ".value" in line]
    same = row._replace(environment={**row.environment, "statistics": VERSION})
    assert other_statistics(same) == ""
    assert [line for line in compare(same, again(low=-9.0), 1e-4)["differences"] if ".low" in line]
