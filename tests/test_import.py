"""A task file with everything that can be wrong in it, JSONL and CSV, through the reader and through the command."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.agent.main import cli
from lashley.experiments.errors import BadTask
from lashley.experiments.tasks.from_file import from_file, read_prompts
from lashley.experiments.tasks.prompt import SPLITS
from lashley.tools.workbench.catalog import named_task
from lashley.tools.workbench.context import Context

from .recorded import older


def agent(*words: str) -> Any:
    return CliRunner().invoke(cli, list(words))


def faults(content: str, form: Any = "csv") -> list[tuple[int, str, str]]:
    return [(fault.line, fault.field, fault.says) for fault in read_prompts(content, form)[1]]


def test_every_fault_of_a_jsonl_file_is_told_with_its_line() -> None:
    lines = [
        '{"text": "Snow is", "answer": " white"}',
        "no json",
        '{"text": "Coal is", "answer": "black", "colour": 1}',
        '{"text": "Grass is", "answer": "green"}',
        '{"text": "Snow is", "answer": " cold"}',
        '{"text": "Blood is ", "answer": "", "corrupted": "x ", "spans": {"s": [3, 1]}}',
        '{"answer": " blue"}',
    ]
    found = faults("\n".join(lines), "jsonl")
    assert [(line, field) for line, field, _ in found if line != 6] == [
        (2, ""), (3, "colour"), (4, "answer"), (5, ""), (7, "text"),
    ]  # fmt: skip
    assert len([one for one in found if one[0] == 6]) == 4, "faults of one line do not hide each other"


def test_a_csv_file_is_a_task(tmp_path: Path) -> None:
    path = tmp_path / "colours.csv"
    rows = (
        'text,answer,distractor,accepted,spans\r\n"Grass, it is said, is", green, red,,\r\n'
        '"Q: ""Snow""?\r\nA:", white,,"["" white"", "" cold""]","{""what"": [4, 8]}"\r\n\r\nCoal is, black,,,\r\n'
    )
    path.write_bytes(b"\xef\xbb\xbf" + rows.encode())
    task = from_file(path)
    got = {p.answer: p for split in SPLITS for p in task.source.stream(split, 0)}
    assert got[" green"].text == "Grass, it is said, is"
    assert got[" green"].distractor == " red"
    assert got[" white"].text == 'Q: "Snow"?\r\nA:'
    assert got[" white"].accepted == (" white", " cold")
    assert got[" white"].spans == {"what": (4, 8)}
    assert got[" black"].distractor is None


@pytest.mark.parametrize(
    ("content", "line", "field", "says"),
    [
        ("", 0, "", "no prompts"),
        ("text,answer\n", 0, "", "no prompts"),
        ("text,anser\nSnow is, white\n", 1, "anser", "did you mean 'answer'"),
        ("prompt,answer\nSnow is, white\n", 1, "prompt", "did you mean 'text'?"),
        ("text,answer,extra\nSnow is, white,x\n", 1, "extra", "known fields: text, answer"),
        ("Snow is, white\nCoal is, black\n", 1, "", "the first line must name the columns, such as text,answer"),
        ("text,answer,text\nSnow is, white,x\n", 1, "text", "two columns have this name"),
        ("text,answer,\nSnow is, white,\n", 1, "", "has no name"),
        ("text;answer\nSnow is; white\n", 1, "", "not separated by commas"),
        ("text,answer\nSnow, fresh, is, white\n", 2, "", "4 cells under a header of 2; put cells with commas"),
        ("text,answer,distractor\nSnow is, white\n", 2, "", "2 cells under a header of 3"),
        ('text,answer\n"one\ntwo is", white\nSnow is,white\n', 4, "answer", "run together as 'iswhite'"),
        ('text,answer\nSnow is, white\n"Coal is, black\n', 3, "", "a quote is not closed"),
        ('text,answer\n"Coal" is, black\nSnow is, white\n', 2, "", "not CSV"),
        ("text,answer,spans\nSnow is, white,here\n", 2, "spans", "is not JSON"),
        ("text\nSnow is\n", 2, "answer", "missing"),
    ],
)
def test_a_fault_of_a_csv_file(content: str, line: int, field: str, says: str) -> None:
    found = [one for one in faults(content) if says in one[2]]
    assert [(one[0], one[1]) for one in found] == [(line, field)], faults(content)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=6))
def test_what_the_csv_writer_writes_is_read_back(cells: list[tuple[str, str]]) -> None:
    named = [(f"{i}{text}:", f" x{answer}") for i, (text, answer) in enumerate(cells)]
    whole = [pair for pair in named if not any(c in "\r\n\0" or 0xD800 <= ord(c) < 0xE000 for c in "".join(pair))]
    out = io.StringIO()
    csv.writer(out).writerows([("text", "answer"), *whole])
    prompts, found, _ = read_prompts(out.getvalue(), "csv")
    assert [(p.text, p.answer) for _, p in prompts] == whole
    assert bool(found) == (not whole)


def test_import_tells_all_faults_and_keeps_nothing(tmp_path: Path) -> None:
    path, db = tmp_path / "bad.jsonl", tmp_path / "t.db"
    path.write_text('{"text": "Snow is", "answer": " white"}\n' + "no json\n" * 23, encoding="utf-8")
    done = agent("tasks", "import", str(path), "--db", str(db))
    told = done.stderr.splitlines()
    assert done.exit_code == 2
    assert [f"line {n}: not JSON" in line for n, line in enumerate(told[:-1], start=2)] == [True] * 20
    assert told[-1] == "Error: 23 faults; nothing was imported. 3 more are not shown."
    assert not db.exists()


def test_what_was_imported_is_used_by_its_name(tmp_path: Path) -> None:
    path, db = tmp_path / "sums.csv", tmp_path / "t.db"
    rows = "".join(f"{a} plus one is, {a + 1}, {a + 2}\n" for a in range(30))
    path.write_text("text,answer,distractor\n" + rows, encoding="utf-8")
    done = agent("tasks", "import", str(path), "--db", str(db))
    assert done.exit_code == 0, done.output
    assert "Imported sums" in done.stdout
    assert "compared as number" in done.stdout
    before = from_file(path).fingerprint()
    path.unlink()
    kept = named_task("sums", db)
    assert (kept.fingerprint(), kept.maker) == (before, "user, from sums.csv")
    shown = agent("tasks", "show", "sums", "--db", str(db)).stdout
    assert "made by user, from sums.csv" in shown
    assert f"chance level: {1 / kept.capacity('explore'):.3f} (always answering" in shown
    assert "sums: Prompts from sums" in agent("tasks", "--db", str(db)).stdout


def test_a_kept_task_that_was_changed_is_refused_in_one_line(tmp_path: Path) -> None:
    path, db = tmp_path / "sums.jsonl", tmp_path / "t.db"
    path.write_text(json.dumps({"text": "1 plus one is", "answer": " 2"}), encoding="utf-8")
    assert agent("tasks", "import", str(path), "--db", str(db)).exit_code == 0
    with closing(connect(db)) as connection:
        connection.execute("DROP TRIGGER task_files_kept_update")  # which a program that means it gets past
        connection.execute("UPDATE task_files SET content = replace(content, ' 2', ' 3')")
        connection.commit()
    done = agent("tasks", "show", "sums", "--db", str(db))
    assert done.exit_code == 2
    assert "is not the one that was saved" in done.stderr


def test_a_task_of_a_tracker_from_before_tasks_were_made_is_still_there(tmp_path: Path) -> None:
    from lashley.db import schema
    from lashley.db.read.reader import Reader
    from lashley.db.write.store import Store
    from lashley.experiments.tasks.from_file import from_jsonl

    db = tmp_path / "old.db"
    task = from_jsonl("old", json.dumps({"text": "1 plus one is", "answer": " 2"}))
    with Store.open(now := tmp_path / "now.db") as store:
        store.save_task_file("old", task.fingerprint(), task.content or "")
    older(now, db)
    with Reader.open(db) as reader:
        row = reader.task_file("old")
    assert row is not None
    assert (row.content, row.card, row.maker) == (task.content, None, None)
    assert schema.version_at(db) == schema.VERSION
    with Context.open(str(db)) as context:
        assert context.find_task("old").fingerprint() == task.fingerprint()


def test_a_field_that_is_like_none_is_not_guessed() -> None:
    says = [one[2] for one in faults("text,answer,extra\nSnow is, white,x\n")]
    assert not [text for text in says if "did you mean" in text or text.endswith("?")]


def test_a_file_that_is_not_there_has_near_names(tmp_path: Path) -> None:
    (tmp_path / "animals.csv").write_text("text,answer\nA cow says, moo\n")
    (tmp_path / "animals.txt").write_text("")
    with pytest.raises(BadTask) as caught:
        from_file(tmp_path / "anmals.csv")
    assert str(caught.value).endswith(f"Did you mean {tmp_path / 'animals.csv'}?")
