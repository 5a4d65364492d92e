"""The reader: what it finds, how notes are searched, and what a query may not do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.db.errors import NoSuchId, QueryRefused, TrackerError
from lashley.db.query import CELL
from lashley.db.read.reader import Reader
from lashley.db.records import ExperimentSummary, Note
from lashley.db.write.store import Store
from lashley.experiments.result import Effect, Measurement, Result

NOTES = {
    "Head L7.H3 writes the sum": ("Its removal breaks addition.", ["addition", "Heads"]),
    "Multiplication is untouched": ("No head matters; see L0.H0.", ["multiplication"]),
    "Café, déjà vu": ("naïve 100% of NOT a AND b* (c)", []),
}


def experiment(store: Store, run: int | None, kind: str, config_hash: str, result: Result) -> int:
    number = store.begin_experiment(
        run=run,
        kind=kind,
        model="tiny",
        task="arithmetic" if kind != "baseline" else "capitals",
        split="explore",
        n=8,
        config={"kind": kind},
        config_hash=config_hash,
        subject={"name": "tiny", "fingerprint": "f", "architecture": "gpt2", "anatomy": {}},
        task_fingerprint="t",
        code_version="1",
        environment={},
    )
    store.finish_experiment(number, result.model_dump(), 0.1)
    return number


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A name full of what a URI would take for its own.
    path = tmp_path_factory.mktemp("study") / "100% of it? yes #1.db"
    sweep = Result(
        measurements=(Measurement(name="accuracy", value=0.25, low=0.1, high=0.4, n=8),),
        effects=tuple(
            Effect(site=f"L0.H{head}", metric="logit_diff", value=value, low=value, high=value, n=8)
            for head, value in enumerate((0.1, -3.0, 2.0))
        ),
        found="L0.H1 matters",
    )
    with Store.open(path) as store:
        asked = {"goal": "g", "llm": None, "model": "tiny", "task": None, "seed": None, "budget": {}, "environment": {}}
        one = store.begin_run(driver="autopilot", **asked)
        two = store.begin_run(driver="chat", **asked)
        experiment(store, one, "baseline", "a", Result())
        experiment(store, one, "head_ablation", "b", sweep)
        experiment(store, two, "head_ablation", "c", Result())
        experiment(store, None, "layer_program", "d", Result())
        for title, (text, tags) in NOTES.items():
            store.add_note(one if tags else two, title, text, tags, [2] if tags else [])
        store.set_hypothesis_status(store.add_hypothesis(one, "H1 adds", "r", "it does not"), "supported", "yes", [2])
        store.add_turn(two, 1, "assistant", {"text": "I measure. " * 1000, "calls": [{"name": "baseline"}]})
        store.add_report(one, "first")
        store.add_report(one, "second {{E2.accuracy}}")
        store.finish_run(one, status="finished", spent={"experiments": 2})
    return path


@pytest.fixture(scope="module")
def reader(path: Path) -> Iterator[Reader]:
    with Reader.open(path) as reader:
        yield reader


def ids(rows: Sequence[ExperimentSummary] | Sequence[Note]) -> list[str]:
    return [row.id for row in rows]


def test_a_missing_file_is_said_with_its_path_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"no tracker at .*none\.db.*agent run"):
        Reader.open(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_experiments_are_filtered_and_the_limit_keeps_the_latest(reader: Reader) -> None:
    assert ids(reader.experiments()) == ["E1", "E2", "E3", "E4"]
    assert ids(reader.experiments(kind="head_ablation")) == ["E2", "E3"]
    assert ids(reader.experiments(kind="head_ablation", run=2)) == ["E3"]
    assert ids(reader.experiments(task="capitals")) == ["E1"]
    assert ids(reader.experiments(model="tiny", status="done", limit=2)) == ["E3", "E4"]
    assert ids(reader.experiments(status="failed")) == []


def test_a_run_tells_its_story_in_order(reader: Reader) -> None:
    run = reader.run(1)
    story = [(row.what, row.id) for row in run.timeline]
    assert story == [
        ("run", "R1"),
        ("experiment", "E1"),
        ("experiment", "E2"),
        ("note", "N1"),
        ("note", "N2"),
        ("hypothesis", "H1"),
        ("hypothesis", "H1"),
        ("report", "R1"),
        ("report", "R1"),
        ("run", "R1"),
    ]
    assert ids(run.experiments) == ["E1", "E2"]
    assert ids(run.notes) == ["N1", "N2"]
    assert [len(one.events) for one in run.hypotheses] == [2]
    assert run.report == "second {{E2.accuracy}}"
    assert reader.report(2) is None
    assert (run.status, run.spent) == ("finished", {"experiments": 2})
    assert "-> baseline" in reader.run(2).timeline[-1].text


def test_an_experiment_knows_who_cites_it(reader: Reader) -> None:
    assert reader.experiment(2).cited_by == ["N1", "N2", "H1"]
    assert reader.experiment(1).cited_by == []
    with pytest.raises(TrackerError, match="E2 has no artifact 'z'"):
        reader.artifact(2, "z")


@pytest.mark.parametrize("what", ["run", "experiment", "note", "hypothesis", "turns", "report"])
def test_a_row_that_is_not_there_is_an_error(reader: Reader, what: str) -> None:
    with pytest.raises(NoSuchId, match="99"):
        getattr(reader, what)(99)


def test_the_views_are_for_people(reader: Reader) -> None:
    columns, rows, _ = reader.query("SELECT site, place FROM top_effects WHERE experiment = 'E2' ORDER BY place")
    assert columns == ["site", "place"]
    assert rows == [["L0.H1", 1], ["L0.H2", 2], ["L0.H0", 3]]
    _, rows, _ = reader.query(
        "SELECT experiment, measured, effects FROM experiment_summary WHERE experiment IN ('E2', 'E4') ORDER BY 1"
    )
    assert rows == [["E2", "accuracy=0.25", 3], ["E4", None, 0]]


# --- searching notes


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("addition", ["N1"]),
        ("additions breaking", ["N1"]),
        ("addi", ["N1"]),
        ("L7.H3", ["N1"]),
        ("cafe DEJA", ["N3"]),
        ("which heads matter for multiplication", ["N2", "N1"]),
        ("quantum", []),
        ("AND", ["N3"]),
        ('"', []),
        ("\0", []),
    ],
)
def test_notes_are_found_by_their_words_best_first(reader: Reader, words: str, found: list[str]) -> None:
    assert ids(reader.notes(words))[: len(found) or None] == found


def test_no_words_and_tags_and_runs(reader: Reader) -> None:
    assert ids(reader.notes()) == ids(reader.notes(" ")) == ["N1", "N2", "N3"]
    assert ids(reader.notes(tag="heads")) == ["N1"]
    assert ids(reader.notes("head", tag="multiplication")) == ["N2"]
    assert ids(reader.notes(run=2)) == ["N3"]
    assert reader.notes("sum", run=2) == []


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet='ab"*()^-+:.{}\0\ud800 ANDORTNEAR', max_size=20))
def test_any_text_is_a_fair_search(reader: Reader, words: str) -> None:
    assert set(ids(reader.notes(words))) <= {"N1", "N2", "N3"}


@given(st.sampled_from(sorted(NOTES)), st.data())
def test_a_note_is_found_by_any_of_its_words(reader: Reader, title: str, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(f"{title} {NOTES[title][0]}".split()), min_size=1))
    assert title in [note.title for note in reader.notes(" ".join(words))]


# --- queries


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{other}' AS other",
        "VACUUM INTO '{other}'",
        "PRAGMA user_version",
        "PRAGMA query_only = 0",
        "SELECT * FROM pragma_table_info('runs')",
        "INSERT INTO runs (goal) VALUES ('x')",
        "UPDATE runs SET goal = 'x'",
        "DELETE FROM notes",
        "REPLACE INTO notes (id) VALUES (1)",
        "WITH x AS (SELECT 1) DELETE FROM notes",
        "INSERT INTO notes_fts (notes_fts) VALUES ('rebuild')",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "DROP TABLE runs",
        "BEGIN",
        "SELECT load_extension('{other}')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT 1; DROP TABLE runs",
        "SELECT 1; SELECT 2",
        "SELECT zeroblob(1000000000)",
        "SELEC",
        "SELECT nothing FROM runs",
        "SELECT ?",
        "SELECT '\0'",
        "SELECT '\ud800'",
        "",
        "-- only a comment",
    ],
)
def test_what_is_not_one_harmless_select_is_refused_in_one_line(
    reader: Reader, path: Path, tmp_path: Path, sql: str
) -> None:
    other = tmp_path / "other.db"
    before = path.read_bytes()
    with pytest.raises(QueryRefused) as error:
        reader.query(sql.format(other=other))
    assert "\n" not in str(error.value)
    assert not other.exists()
    assert path.read_bytes() == before


def test_a_query_without_end_is_stopped(reader: Reader) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
    with pytest.raises(QueryRefused, match=r"longer than 0\.1 s"):
        reader.query(endless, seconds=0.1)


def test_a_wrong_table_is_answered_with_those_that_there_are(reader: Reader) -> None:
    with pytest.raises(QueryRefused, match=r"Tables: .*experiment_summary.*hypothesis_events.*turns"):
        reader.query("SELECT * FROM experiment")


def test_answers_are_cut_to_a_sane_size(reader: Reader) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    assert reader.query(endless, limit=3) == (["x"], [[1], [2], [3]], True)
    assert reader.query("SELECT id FROM runs", limit=2) == (["id"], [[1], [2]], False)
    _, [[content, blob, broken]], _ = reader.query("SELECT content, zeroblob(9), CAST(x'ff' AS TEXT) FROM turns")
    assert CELL < len(content) < CELL + 50
    assert (blob, broken) == ("<9 bytes>", "�")


def test_full_text_search_and_json_work_in_a_query(reader: Reader) -> None:
    _, rows, _ = reader.query(
        "SELECT n.id, j.value FROM notes_fts f JOIN notes n ON n.id = f.rowid, json_each(n.tags) j "
        "WHERE notes_fts MATCH 'sum' ORDER BY bm25(notes_fts)"
    )
    assert rows == [[1, "addition"], [1, "Heads"]]


def test_reading_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'openai', 'pydantic', 'sqlite_utils', 'rich', 'click', 'numpy'}"
    program = f"import sys, lashley.db.read.reader; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
