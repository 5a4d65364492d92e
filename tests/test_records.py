"""What leaves the tracker is a record: frozen, of the types that it says, with every column of its table.

Rows by the names of columns exist in `db/` alone; elsewhere strict pyright checks what reads a record.
"""

from __future__ import annotations

import ast
import inspect
import json
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from lashley.db import records
from lashley.db.read.reader import Reader
from lashley.db.records import as_json

from .recorded import recorded
from .test_shape import ROOT, modules

RECORDS = {name: one for name, one in vars(records).items() if isinstance(one, type) and hasattr(one, "_fields")}
# Each record that is a row, its table, and which of the table's columns it does not have: those that say whose it is,
# and the bytes of an artifact, which may be large.
TABLES: dict[str, tuple[str, set[str]]] = {
    "Run": ("runs", set()),
    "Experiment": ("experiments", set()),
    "Measurement": ("measurements", {"id", "experiment"}),
    "Effect": ("effects", {"id", "experiment"}),
    "Sample": ("samples", {"id", "experiment"}),
    "Figure": ("figures", {"id", "experiment"}),
    "Artifact": ("artifacts", {"id", "experiment", "data"}),
    "Circuit": ("circuits", {"subject"}),
    "CircuitSummary": ("circuits", {"subject"}),
    "CircuitEdge": ("circuit_edges", {"circuit"}),
    "Subject": ("subjects", {"id"}),
    "Note": ("notes", set()),
    "Hypothesis": ("hypotheses", set()),
    "HypothesisEvent": ("hypothesis_events", {"id", "hypothesis", "call"}),
    "Prediction": ("predictions", {"hypothesis"}),
    "Judgement": ("judgements", {"prediction", "created"}),
    "Turn": ("turns", {"run"}),
    "Words": ("told", {"run"}),
    "Report": ("reports", {"id", "run"}),
    "TaskOrigin": ("task_files", {"id", "call"}),
}
# What belongs to a record and is no column of its table.
AROUND = {
    "Run": {"seal", "questions", "timeline", "hypotheses", "notes", "experiments", "report", "waiting", "reviewed_by",
            "forks", "resumed", "turns"},
    "Experiment": {"measurements", "effects", "samples", "figures", "artifacts", "circuits", "cited_by"},
    "Circuit": {"model", "fingerprint", "edges"},
    "CircuitSummary": {"model", "fingerprint"},
    "Hypothesis": {"events", "predictions"},
    "Prediction": {"judged"},
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("records") / "lashley.db")


@pytest.mark.parametrize("name", TABLES)
def test_a_record_has_every_column_of_its_table(path: Path, name: str) -> None:
    """A column that is added is either in the record or said not to be."""
    table, lacking = TABLES[name]
    with closing(sqlite3.connect(path)) as connection:
        columns = {column for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table])}
    assert set(RECORDS[name]._fields) - AROUND.get(name, set()) == columns - lacking
    assert lacking <= columns


def read(reader: Reader) -> dict[str, Any]:
    """What each reading method gives of a tracker that has a row of everything, by the method's name."""
    runs, experiments = reader.runs(), reader.experiments()
    numbers, tested = [int(row.id[1:]) for row in runs], [int(row.id[1:]) for row in experiments]
    return {
        "runs": runs,
        "run": [reader.run(number, turns=True) for number in numbers],
        "turns": [reader.turns(number) for number in numbers],
        "questions": [reader.questions(number) for number in numbers],
        "waiting": [reader.waiting(number) for number in numbers],
        "tested_by_relatives": [reader.tested_by_relatives(number) for number in numbers],
        "latest_report": [reader.latest_report(number) for number in numbers],
        "spent_so_far": [reader.spent_so_far(number) for number in numbers],
        "subjects": [reader.subjects(number) for number in numbers],
        "written_by": [reader.written_by(table, 1, "call") for table in ("experiments", "notes", "task_files")],
        "request": [reader.request(1, "9999")],
        "experiments": experiments,
        "experiment": [reader.experiment(number) for number in tested],
        "circuits": reader.circuits(),
        "circuit": [reader.circuit(1)],
        "circuits_of": [reader.circuits_of(number) for number in tested],
        "ledger": reader.ledger(),
        "strongest": reader.strongest(),
        "note": [reader.note(1)],
        "notes": reader.notes(),
        "hypothesis": [reader.hypothesis(1)],
        "hypotheses": reader.hypotheses(),
        "hypotheses_of": [reader.hypotheses_of(number) for number in (*numbers, None)],
        "latest_hypotheses": reader.latest_hypotheses(5),
        "task_file": [reader.task_file("mine")],
        "task_files": reader.task_files(),
    }


# What gives no rows: ids and numbers, bytes, whether something is there, and SQL of a person's own.
OTHER = {
    "open", "close", "known", "require_known", "query", "stream", "require", "run_of", "experiment_count", "artifact",
    "task_names", "reviews_of", "forks_of", "found_until", "experiments_spent", "report",
}  # fmt: skip


def test_every_reading_method_gives_records_of_the_types_that_it_says(path: Path) -> None:
    with Reader.open(path) as reader:
        found = read(reader)
    methods = {name for name, one in inspect.getmembers(Reader, callable) if not name.startswith("_")}
    assert methods == found.keys() | OTHER
    for name, rows in found.items():
        says = getattr(Reader, name).__annotations__["return"]
        assert "dict" not in says, name
        given = eval(says, vars(records))
        whole = given if name in ("runs", "experiments", "circuits", "ledger", "strongest", "notes", "hypotheses",
                                  "latest_hypotheses", "task_files") else list[given]  # fmt: skip
        # Strictly: a text is no number, and a mapping is no text.
        assert TypeAdapter(whole).validate_python(rows, strict=True) == rows, name
        assert json.loads(json.dumps(as_json(rows))) == as_json(rows)
    assert any(row.predictions and row.predictions[0].judged for row in found["hypotheses"])
    assert all(found[name] for name in found)


def test_a_record_cannot_be_changed(path: Path) -> None:
    with Reader.open(path) as reader:
        row = reader.experiment(1)
    with pytest.raises(AttributeError):
        row.status = "failed"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        row["status"]  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert as_json(row)["subject"]["name"] == row.subject.name


def test_no_field_of_a_record_hides_a_method_of_tuples() -> None:
    """A template that asks for one would get the other."""
    assert [name for name, one in RECORDS.items() if {"count", "index"} & {*one._fields}] == []


def test_rows_by_name_exist_in_the_folder_of_the_tracker_alone() -> None:
    strict = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]["strict"]
    assert {"agent", "tools", "db"} <= set(strict)
    wrong: list[str] = []
    for file, tree in modules():
        folder = file.relative_to(ROOT).parts[0]
        if folder not in ("agent", "tools"):
            continue
        for node in ast.walk(tree):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
            alias = "Row" in names
            # Whatever takes or gives what a reader gave under the name of a row has its type.
            loose = isinstance(node, ast.arg) and node.arg in ("row", "rows", "logged", "run", "turn", "experiment")
            loose = loose and isinstance(node, ast.arg) and "dict[str, Any]" in ast.unparse(node.annotation or node)
            if alias or loose:
                wrong.append(f"{file.relative_to(ROOT)}, line {getattr(node, 'lineno', 0)}")
    assert not wrong, "\n".join(wrong)
