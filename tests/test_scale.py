"""A large tracker: what browsing asks is answered from indexes, and lists say how much they left out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.benchmarks.tracker import fill
from lashley.db.read.reader import Reader

MANY = 1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fill(path := tmp_path_factory.mktemp("large") / "t.db", MANY)
    return path


# What each of these reads may pass through whole; everything else is found by an index.
@pytest.mark.parametrize(
    ("asked", "whole"),
    [
        (lambda r: r.experiments(limit=50), {"experiments"}),  # from the last row on, and no further than fifty
        (lambda r: r.experiment(MANY), {"notes"}),  # for who cites it
        (lambda r: r.note(1), set[str]()),
        (lambda r: r.notes("heads"), set[str]()),
        (lambda r: r.run(1), {"experiments", "notes", "turns"}),  # its timeline is a view of all of them
    ],
)
def test_what_is_shown_is_found_by_an_index(path: Path, asked: object, whole: set[str]) -> None:
    assert callable(asked)
    with Reader.open(path) as reader:
        ran: list[str] = []
        reader._connection.set_trace_callback(ran.append)
        asked(reader)
        reader._connection.set_trace_callback(None)
        plans = [plan for sql in ran if sql.startswith("SELECT") for plan in steps(reader._connection, sql)]
    assert plans
    scanned = {plan.split()[1] for plan in plans if plan.startswith("SCAN")}
    large = {"experiments", "effects", "samples", "measurements", "figures", "artifacts", "turns", "seals", "notes"}
    assert scanned & large <= whole, plans


def steps(connection: sqlite3.Connection, sql: str) -> Sequence[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize(("command", "there"), [("experiments", MANY + 5), ("notes", MANY // 10 + 2)])
def test_a_long_list_is_cut_and_says_so(path: Path, command: str, there: int) -> None:
    done = CliRunner().invoke(cli, [command, "--json", "--db", str(path)])
    assert len(json.loads(done.stdout)) == 50
    assert done.stderr == f"Showing 50 of {there:,}; --limit {there} shows all.\n"
    whole = CliRunner().invoke(cli, [command, "--json", "--limit", str(there), "--db", str(path)])
    assert len(json.loads(whole.stdout)) == there
    assert whole.stderr == ""
    assert json.loads(whole.stdout)[-50:] == json.loads(done.stdout)
