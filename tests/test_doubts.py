"""What was doubted is a code that reports act on; that a subject cannot do a task is a finding, no failed control."""

from __future__ import annotations

from pathlib import Path

import pytest

from lashley.db import records
from lashley.db.read.reader import Reader
from lashley.db.records import Experiment
from lashley.db.write.store import Store
from lashley.experiments.result import Doubt, Effect, Measurement, Note, Result
from lashley.experiments.statistics import VERSION
from lashley.tools.replay.experiment import compare
from lashley.tools.report.render import render

from .recorded import made
from .reported import add, study

# What a note said in those days.
OLDER = "On these prompts the intact model is not shown to do the task"
HARM = (Effect(site="L0.H1", metric="logit_diff", value=-1.0, low=-2.0, high=-0.5, n=32, p=0.01, q=0.01),)


def doubted(code: str) -> tuple[Doubt, ...]:
    return (Doubt.model_validate({"code": code, "text": f"A sentence about {code}."}),)


@pytest.mark.parametrize(
    ("kind", "result", "opens"),
    [
        ("baseline", Result(doubts=doubted("unable"), found="It cannot."), False),
        ("head_ablation", Result(doubts=doubted("unable"), effects=HARM), True),
        ("head_ablation", Result(doubts=doubted("not_said"), effects=HARM), False),
        ("head_ablation", Result(notes=(Note(code="mine", text="A note that says unable."),), effects=HARM), False),
        ("head_ablation", Result(notes=(Note(code="mine", text=f"{OLDER}: so."),), effects=HARM), False),
    ],
    ids=["baseline", "damage", "preference", "note", "wording"],
)  # fmt: skip
def test_a_report_opens_with_damage_to_a_subject_that_cannot(
    tmp_path: Path, kind: str, result: Result, opens: bool
) -> None:
    path = study(tmp_path / "t.db")
    with Store.open(path) as store:
        number = add(store, 1, kind, result)
    with Reader.open(path) as reader:
        row, report = reader.experiment(number), render("", reader, 1)
    assert [one.code for one in row.doubts] == [one.code for one in result.doubts]
    assert list(row.notes) == [note.text for note in result.notes]
    assert list(row.note_codes) == [note.code for note in result.notes]
    for page in (report.html, report.markdown):
        assert ("The intact subject is not shown to do the task" in page) is opens
        assert "Controls failed" not in page
        for note in result.notes:
            assert note.text in page.replace("\\", "")


def test_an_experiment_from_before_there_were_codes_is_doubted_all_the_same(tmp_path: Path) -> None:
    path = study(tmp_path / "t.db")
    with Store.open(path) as store:
        number = add(store, 1, "head_ablation", None)
        # As a result was that waited beside the tracker: its notes are sentences alone.
        store.finish_experiment(number, {**Result(effects=HARM).model_dump(), "notes": [f"{OLDER}: so."]}, 1.0)
    with Reader.open(path) as reader:
        row, report = reader.experiment(number), render("", reader, 1)
    assert [one.code for one in row.doubts] == ["unable"]
    assert list(row.note_codes) == []
    assert "The intact subject is not shown to do the task" in report.markdown


def test_what_newer_code_measures_besides_is_no_difference() -> None:
    one = Measurement(name="accuracy", value=0.5, low=0.4, high=0.6, n=8)
    few, more = Result(measurements=(one,)), Result(measurements=(one, one.model_copy(update={"name": "accuracy_p"})))
    logged, since = (
        made(Experiment, measurements=[records.Measurement(**m.model_dump()) for m in result.measurements], effects=[],
             samples=[], environment={"statistics": VERSION})
        for result in (few, more)
    )  # fmt: skip
    assert not compare(logged, more, 1e-4)["same"]
    found = compare(logged, more, 1e-4, newer=True)
    assert found["same"]
    assert found["more"] == ["accuracy_p"]
    assert not compare(since, few, 1e-4, newer=True)["same"]
