"""The tracker and the experiments in Python: the same numbers, as frames and pictures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lashley
from lashley.db.errors import TrackerError
from lashley.experiments.errors import ExperimentError, UnknownName
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.model.loading import load
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Measurement, Note, Result
from lashley.experiments.tasks.induction import INDUCTION
from lashley.tools.errors import ToolError
from lashley.tools.python_api.found import Found
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

from .recorded import recorded
from .tiny import tiny_model, tiny_tokenizer

ABLATION = HeadAblation(model="planted:induction", task="induction", n=4)
PAGE = Path(__file__).parent.parent / "docs/python.md"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("python") / "lashley.db")
    with Context.open(path) as context:
        assert run_experiment(context, ABLATION).error is None
    return path


def test_without_a_tracker_the_numbers_are_those_that_are_logged(db: str) -> None:
    found = lashley.run(ABLATION)
    with lashley.open(db) as tracker:
        logged = tracker["E1"]
        for name in ("effects", "measurements", "samples", "top"):
            assert getattr(found, name)().equals(getattr(logged, name)()), name
        assert found.top(2, "logit_diff")["site"].tolist() == logged.top(2)["site"].tolist()
        assert (found.found, found.notes, found.picture().data) == (logged.found, logged.notes, logged.picture().data)
        assert found.result.model_dump() == logged.result.model_dump()
        assert np.array_equal(found.array("logit_diff"), logged.result.arrays["logit_diff"])
        values = logged.array("logit_diff")
        means = values[1:].mean(-1) - values[0].mean()
        assert np.allclose(means, logged.effects()["value"], atol=1e-6)


def test_frames_are_filtered_as_the_commands_are(db: str) -> None:
    with lashley.open(db) as tracker:
        assert tracker.experiments(kind="head_ablation")["id"].tolist() == ["E1"]
        assert tracker.experiments(kind="baseline").empty
        assert tracker.table("effects")["site"].tolist() == tracker["E1"].effects()["site"].tolist()
        assert tracker.sql("SELECT count(*) AS n FROM effects")["n"].tolist() == [len(tracker.table("effects"))]
        assert tracker.runs().empty
        for wrong in (lambda: tracker["R1"], lambda: tracker["E2"], lambda: tracker.table("effect"),
                      lambda: tracker.sql("DELETE FROM effects"), lambda: tracker.sql("SELECT * FROM effects", 1),
                      lambda: tracker["E1"].array("nothing"), lambda: tracker.experiments(run="E1")):  # fmt: skip
            with pytest.raises(TrackerError):
                wrong()
        for one in (tracker["E1"], lashley.run(ABLATION)):
            with pytest.raises(UnknownName, match=r"no figure 'lens'\. Known: heads"):
                one.picture("lens")
            with pytest.raises(UnknownName, match="no metric here 'los'"):
                one.top(3, "los")
        with pytest.raises(UnknownName, match="no array 'nothing'"):
            lashley.run(ABLATION).array("nothing")


def test_a_frame_without_rows_has_its_columns() -> None:
    found, full = lashley.run(lashley.Baseline(model="planted:induction", task="induction", n=4)), lashley.run(ABLATION)
    assert found.effects().empty
    assert found.top().empty
    assert found.effects().columns.tolist() == full.effects().columns.tolist() == full.top().columns.tolist()
    assert full.samples().columns.tolist() == found.samples().columns.tolist()


def own_file(folder: Path) -> Path:
    fitted = INDUCTION.for_tokenizer(load("planted:induction").tokenizer)
    lines = [{"text": p.text, "answer": p.answer, "distractor": p.distractor} for p in fitted.prompts(32, "explore")]
    (folder / "after.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder / "after.jsonl"


def test_tasks_are_known_as_the_commands_know_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shuffled, kept in the tracker, or a file; by the experiment's own field or in its place."""
    monkeypatch.setenv("LASHLEY_DB", str(tmp_path / "lashley.db"))
    monkeypatch.chdir(tmp_path)
    shuffled = ABLATION.model_copy(update={"task": "induction~shuffled7"})
    own, file = ABLATION.model_copy(update={"task": "after"}), own_file(tmp_path)
    with pytest.raises(ExperimentError, match="after"):
        lashley.run(own)
    with Context.open() as context:
        context.add_task_file(str(file))
        for number, one in enumerate((shuffled, own, own.model_copy(update={"task": "after~shuffled"})), 1):
            outcome = run_experiment(context, one)
            assert (outcome.number, outcome.error) == (number, None)
            logged = [effect.value for effect in context.reader.experiment(number).effects]
            assert lashley.run(one).effects()["value"].tolist() == logged
            assert lashley.run(ABLATION, one.task).effects()["value"].tolist() == logged
    assert lashley.run(ABLATION, "./after.jsonl").effects().equals(lashley.run(own).effects())
    with pytest.raises(ToolError, match="no task file"):
        lashley.run(ABLATION, "gone.csv")
    with pytest.raises(ExperimentError, match="afte"):
        lashley.run(ABLATION, "afte")


def test_models_are_known_as_the_commands_know_them(tmp_path: Path) -> None:
    """By other letters, and by a folder."""
    tiny_model("llama").save_pretrained(tmp_path / "tiny")
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    lines = [{"text": f"w{n} w{n + 1} w{n + 2}", "answer": f" w{n + 3}", "distractor": " w9"} for n in range(10, 26)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    task = HeadAblation(model=str(tmp_path / "tiny"), task="own", n=4)
    with Context.open(str(tmp_path / "t.db")) as context:
        context.add_task_file(str(tmp_path / "own.jsonl"))
        assert run_experiment(context, task).error is None
        logged = [effect.value for effect in context.reader.experiment(1).effects]
    assert lashley.run(task, str(tmp_path / "own.jsonl")).effects()["value"].tolist() == logged
    other = ABLATION.model_copy(update={"model": "Planted:Induction"})
    assert lashley.run(other).effects().equals(lashley.run(ABLATION).effects())
    with pytest.raises(ExperimentError, match="planted:induction"):
        lashley.run(ABLATION.model_copy(update={"model": "planted:inductio"}))


def test_what_a_model_wrote_is_only_text_in_a_notebook(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    notes, measured = (Note(code="mine", text=evil),), (Measurement(name=evil, value=1.0, unit=evil),)
    html = Found(Result(found=evil, notes=notes, measurements=measured))._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 4


def test_a_result_shows_its_figures() -> None:
    html = lashley.run(ABLATION)._repr_html_()
    assert html.count("<svg") == 1
    assert "identity" in html
    assert lashley.run(ABLATION).picture()._repr_svg_().startswith("<svg")


def test_what_cannot_be_done_is_an_error_of_ours() -> None:
    with pytest.raises(ExperimentError, match="no layer 99"):
        lashley.run(ABLATION.model_copy(update={"heads": ["L99.H0"]}))
    with pytest.raises(AttributeError, match="HeadAblatio"):
        lashley.HeadAblatio  # noqa: B018


def test_importing_the_package_loads_none_of_it() -> None:
    program = "import lashley, sys; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'pydantic', 'click')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_page_about_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every block of it, one after the other, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```") // 2, "no block is left out"
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), scope)
    said, complained = capfd.readouterr()
    needed = set(TRUTHS["planted:induction"].needed)
    assert set(scope["strongest"]["site"]) == needed
    assert "logits 2 layers" in said
    assert scope["first"].id == scope["again"].id == scope["logged"].id == "E1"
    assert scope["first"].effects().equals(lashley.run(ABLATION).effects()), "what was logged is what is measured"
    assert scope["baseline"].measurements().set_index("name").value["accuracy"] == 0.0, "a needed head is gone"
    assert scope["study"].status == "finished"
    assert all(head in scope["study"].report.markdown for head in needed)
    assert {h.status for h in scope["study"].hypotheses} == {"supported"}
    counted = scope["tracker"].sql("SELECT count(*) AS n FROM experiments")["n"].tolist()
    assert counted == [1 + len(scope["study"].experiments)], "the two that were logged are one, and those of the study"
    assert not complained
    for kind in ("study", "Task", "load", "run", "errors", "Edit", "Prompt", "open"):
        assert f"lashley.{kind}" in "".join(blocks)


def test_a_report_as_a_notebook_opens_the_tracker_and_draws_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path / "a study.db")
    words = [sys.executable, "-c", "from lashley.agent.main import main; main()", "report", "R1", "--db", str(path)]
    subprocess.run([*words, "--to", str(tmp_path / "reports")], check=True, cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "reports/R1")
    page = json.loads(Path("report.ipynb").read_text(encoding="utf-8"))
    text, _, *codes = ("".join(cell["source"]) for cell in page["cells"])
    assert text.startswith("# Which heads add")
    assert "## Rerun" in text
    assert "### E1" not in text, "what the cells below show"
    named: dict[str, Any] = {}
    shown = []
    for code in codes:
        *before, last = code.splitlines()
        exec("\n".join(before), named)
        shown.append(eval(last, named) if not last.startswith("tracker =") else exec(last, named))
    _, one, effects = shown
    assert one.row.id == "E1"
    assert "<svg" in one._repr_html_()
    assert effects["site"].tolist() == ["L7.H3", "L0.H1"]
