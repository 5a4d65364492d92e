"""What is measured leaves the tracker as rows, files and pictures, and as the strongest over all studies."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lashley.agent.commands.export import FORMATS
from lashley.agent.main import cli
from lashley.db.export import TABLES
from lashley.db.read.reader import Reader
from lashley.db.write.store import Store

SITES = {1: {"L0.H0": -2.0, "L1.H1": 0.5}, 2: {"L0.H0": -1.0, "L0.H1": 3.0}}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs with an experiment each, of which the second measures a place of the first again."""
    path = tmp_path_factory.mktemp("out") / "lashley.db"
    with Store.open(path) as store:
        for run, sites in SITES.items():
            store.begin_run(goal="Which heads, \"said\" aloud?\nAll.", driver="autopilot", llm=None, model="tiny",
                            task="ioi", seed=0, budget={}, environment={})  # fmt: skip
            store.begin_experiment(
                run=run, kind="head_ablation", model="tiny", task="ioi", split="explore", n=8,
                config={"method": "zero"}, config_hash=str(run), task_fingerprint="t", code_version="1", reason="why",
                subject={"name": "tiny", "fingerprint": "abc", "architecture": "llama", "anatomy": {}}, environment={},
            )  # fmt: skip
            store.finish_experiment(run, result(sites), 1.0, {})
        store.begin_experiment(
            run=2, kind="head_ablation", model="tiny", task="ioi", split="explore", n=8, config={"method": "zero"},
            config_hash="3", task_fingerprint="t", code_version="1", reason="why", environment={},
            subject={"name": "tiny", "fingerprint": "abc", "architecture": "llama", "anatomy": {}},
        )  # fmt: skip
        store.fail_experiment(3, "BadConfiguration", "no", 0.1)
        store.add_note(1, "A title", '=1+1, "quoted"\nand a line', ["tag"], [1])
    return str(path)


def result(sites: dict[str, float]) -> dict[str, Any]:
    effects = [
        {"site": site, "metric": metric, "value": value * scale, "low": value - 1, "high": value + 1, "n": 8}
        for site, value in sites.items()
        for metric, scale in (("logit_diff", 1), ("loss", -10))
    ]
    heads = {"name": "heads", "kind": "head_heatmap", "title": "Heads", "unit": "logits", "n": 8}
    return {
        "measurements": [{"name": "accuracy", "value": 1 / 3, "low": None, "high": None, "n": 8, "unit": ""}],
        "effects": effects[:-1],
        "samples": [], "found": "", "notes": [],
        "figures": [{**heads, "data": {"values": [[1.0, None], [0.5, -2.0]]}}],
    }  # fmt: skip


def agent(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args), env={"COLUMNS": "80"})


def test_every_number_comes_out_as_it_is_in_the_tracker(db: str) -> None:
    text = agent("export", "measurements", "--db", db).stdout
    values = [float(row["value"]) for row in csv.DictReader(io.StringIO(text))]
    assert values == [1 / 3, 1 / 3]
    lines = agent("export", "effects", "--format", "jsonl", "--run", "R2", "--db", db).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert {(row["site"], row["metric"], row["value"]) for row in found} == {
        ("L0.H0", "logit_diff", -1.0), ("L0.H0", "loss", 10.0), ("L0.H1", "logit_diff", 3.0)
    }  # fmt: skip
    assert {(row["experiment"], row["run"], row["kind"]) for row in found} == {("E2", "R2", "head_ablation")}


def test_texts_with_quotes_and_lines_come_back(db: str) -> None:
    rows = list(csv.DictReader(io.StringIO(agent("export", "runs", "--db", db).stdout)))
    assert [row["goal"] for row in rows] == ['Which heads, "said" aloud?\nAll.'] * 2
    (note,) = csv.DictReader(io.StringIO(agent("export", "notes", "--db", db).stdout))
    assert note["text"] == '=1+1, "quoted"\nand a line'


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_all_tables_as_files(db: str, tmp_path: Path, form: str) -> None:
    done = agent("export", "--format", form, "--to", str(tmp_path), "--db", db)
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{form}" for name in TABLES}
    if form == "parquet":
        import pyarrow.parquet as pq

        read: Any = pq.read_table
        effects = read(tmp_path / "effects.parquet").to_pylist()
        assert [row["value"] for row in effects if row["metric"] == "logit_diff"] == [-2.0, 0.5, -1.0, 3.0]
        assert read(tmp_path / "samples.parquet").num_rows == 0


def test_a_pipe_that_closes_early_is_no_fault(db: str) -> None:
    program = "from lashley.agent.main import main; main()"
    words = [sys.executable, "-c", program, "export", "effects", "--db", db]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_strongest_are_each_place_once_as_measured_last(db: str) -> None:
    rows = json.loads(agent("top", "--metric", "logit_diff", "--json", "--db", db).stdout)
    assert [(r["site"], r["value"], r["id"], r["times"]) for r in rows] == [
        ("L0.H1", 3.0, "E2", 1), ("L0.H0", -1.0, "E2", 2), ("L1.H1", 0.5, "E1", 1)
    ]  # fmt: skip
    assert json.loads(agent("top", "--json", "--db", db).stdout) == rows, "the metric that has most effects"
    assert len(json.loads(agent("top", "--json", "--limit", "1", "--db", db).stdout)) == 1
    shown = agent("top", "--db", db).stdout
    assert "logit_diff" in shown.splitlines()[0]
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("top", "--metric", "los"), "Did you mean loss?"),
        (("top", "--task", "io"), "Did you mean ioi?"),
        (("export",), "Name one table"),
        (("export", "effect"), "effects"),
        (("export", "runs", "--run", "E1"), "R1"),
        (("figure", "E1", "lens"), "It has: heads."),
        (("figure", "R1"), "is not an experiment"),
        (("figure", "E3"), "It has none."),
        (("figure", "E9"), "E9"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_that_helps(db: str, words: tuple[str, ...], says: str) -> None:
    done = agent(*words, "--db", db)
    assert done.exit_code == 2
    assert says in done.stderr.splitlines()[-1]


def test_figures_are_pictures_or_their_data(db: str, tmp_path: Path) -> None:
    done = agent("figure", "E1", "--to", str(tmp_path), "--db", db)
    assert done.stdout == f"{tmp_path / 'E1-heads.png'}\n"
    assert (tmp_path / "E1-heads.png").read_bytes().startswith(b"\x89PNG")
    assert agent("figure", "E1", "heads", "--format", "svg", "--to", str(tmp_path), "--db", db).exit_code == 0
    assert (tmp_path / "E1-heads.svg").read_text().startswith("<svg")
    (data,) = json.loads(agent("figure", "E1", "--json", "--db", db).stdout)
    assert data["data"]["values"] == [[1.0, None], [0.5, -2.0]]


def test_every_table_can_be_read(db: str) -> None:
    from lashley.db.export import rows

    with Reader.open(db) as reader:
        for table in TABLES:
            columns, found = rows(reader, table)
            assert all(len(row) == len(columns) for row in found)


def test_a_figure_goes_into_the_file_that_is_named(db: str, tmp_path: Path) -> None:
    for name, begins in (("one.png", b"\x89PNG"), ("one.SVG", b"<svg")):
        done = agent("figure", "E1", "--to", str(tmp_path / name), "--db", db)
        assert done.stdout == f"{tmp_path / name}\n"
        assert (tmp_path / name).read_bytes().startswith(begins)
    for words, says in (
        (("--to", str(tmp_path / "one.pdf")), "png or svg"),
        (("--to", str(tmp_path / "one.png"), "--format", "svg"), "leave out --format"),
    ):
        done = agent("figure", "E1", *words, "--db", db)
        assert (done.exit_code, says in done.stderr.splitlines()[-1]) == (2, True)
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "one.SVG"}


@pytest.mark.parametrize(
    "words", [("figure", "E1"), ("figure", "E1", "--format", "svg"), ("export",), ("export", "effects"),
              ("export", "runs", "--format", "parquet")]
)  # fmt: skip
def test_what_cannot_be_written_is_one_line(db: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A folder that is not there; a file where a folder is to be; a folder where a file is to be."""
    gone = agent(*words, "--to", str(tmp_path / "gone" / "here"), "--db", db)
    assert gone.exit_code == 2
    assert gone.stderr.splitlines()[-1].startswith(f"Error: The folder {tmp_path / 'gone'} for here does not exist.")
    assert not (tmp_path / "gone").exists()
    (tmp_path / "file").write_text("")
    for name in ("E1-heads.png", "E1-heads.svg", *(f"{table}.{form}" for table in TABLES for form in FORMATS)):
        (tmp_path / name).mkdir()
    for place in ("file", ""):
        done = agent(*words, "--to", str(tmp_path / place), "--db", db)
        (line,) = done.stderr.splitlines()
        assert done.exit_code == 1
        assert line.startswith("Error: ")
        assert "cannot be written (" in line
        assert "--to" in line
