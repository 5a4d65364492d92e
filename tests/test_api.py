"""What a notebook begins with: a model, a task, an experiment, a study; and one line for whatever is wrong."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import lashley
from lashley.agent.main import cli
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.model import loading
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.tasks.from_file import from_file
from lashley.tests.prompts import repeated_words
from lashley.tests.tiny import tiny_model, tiny_tokenizer
from lashley.tools.replay.experiment import replay
from lashley.tools.workbench.context import Context

PROMPTS = repeated_words()
ABLATION = lashley.HeadAblation(n=4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LASHLEY_DB", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- names ---------------------------------------------------------------------------------------------------


def test_every_name_is_there_and_completion_shows_it() -> None:
    assert set(dir(lashley)) == {*lashley.PUBLIC, *(kind.__name__ for kind in kinds().values()), "__version__"}
    assert all(getattr(lashley, name) is not None for name in dir(lashley))
    assert lashley.Task is importlib.import_module("lashley.experiments.tasks.own").Task
    with pytest.raises(AttributeError, match="'HeadAblatio'"):
        lashley.HeadAblatio  # noqa: B018


def test_a_star_import_takes_nothing_of_pythons_own() -> None:
    scope: dict[str, Any] = {}
    exec("from lashley import *", scope)
    assert {*dir(lashley)} - {*scope} == {"open"}


@pytest.mark.parametrize("line", ["import lashley", "import lashley; lashley.PUBLIC; lashley.__version__"])
def test_importing_it_loads_nothing(line: str) -> None:
    slow = "('torch', 'transformers', 'openai', 'pandas', 'pydantic', 'click')"
    program = f"{line}; import sys; sys.exit(any(m in sys.modules for m in {slow}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_kinds_prompts_and_errors_need_no_torch() -> None:
    program = (
        "import sys, lashley; lashley.HeadAblation(n=8); lashley.errors.BadTask; dir(lashley); lashley.run; "
        "lashley.study; lashley.Task([lashley.Prompt('a b', ' c'), lashley.Prompt('d e', ' f')]); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'openai', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- tasks ---------------------------------------------------------------------------------------------------


def test_a_list_a_frame_and_a_file_are_the_same_task(here: Path) -> None:
    lines = [{"text": p.text, "answer": p.answer, "distractor": p.distractor} for p in PROMPTS]
    (here / "counting.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    pd.DataFrame(lines).to_csv(here / "counting.csv", index=False)
    gaps = pd.DataFrame(lines).assign(corrupted=np.nan, template=None, operands=[[p] for p in range(32)])
    wanted = from_file(here / "counting.jsonl")
    same = (
        lashley.Task(PROMPTS, "counting"), lashley.Task(lines, "counting"), lashley.Task(iter(PROMPTS), "counting"),
        lashley.Task(pd.DataFrame(lines), "counting"), lashley.Task("counting.jsonl"), lashley.Task("counting.csv"),
        lashley.Task.from_file(here / "counting.jsonl"),
        lashley.Task(gaps.drop(columns="operands"), "counting"),
    )  # fmt: skip
    for task in same:
        assert task.fingerprint() == wanted.fingerprint()
        assert task.answer_kind == wanted.answer_kind == "word"
        assert task.prompts(5) == wanted.prompts(5)
    assert lashley.Task(gaps, "counting").prompts(1)[0].operands is not None
    assert lashley.Task(PROMPTS).name == "prompts"
    assert lashley.Task(PROMPTS, answer_kind="text").answer_kind == "text"


def test_a_prompt_is_short_to_write_and_whole() -> None:
    prompt = lashley.Prompt("The sky is", " blue", distractor=" green", spans={"noun": (4, 7)}, accepted=(" blue",))
    assert (prompt.key, prompt.spans, prompt.split) == (prompt.text, {"noun": (4, 7)}, prompt.split)
    assert lashley.Prompt("a b", " c", key="x", distractor=None) == lashley.Prompt("a b", " c", key="x")


# --- experiments ---------------------------------------------------------------------------------------------


def test_an_experiment_is_run_on_what_is_passed(here: Path) -> None:
    task, model = lashley.Task(PROMPTS), lashley.load("planted:null")
    found = lashley.run(ABLATION, model=model, task=task)
    assert found.top(2)["value"].abs().is_monotonic_decreasing
    assert found.top(5).iloc[0]["value"] == max(found.effects()["value"], key=abs)
    assert len(found.top(3)) == 3
    assert repr(found).startswith("<found: ")
    assert found.effects().equals(lashley.run(ABLATION, task, "planted:null").effects())
    assert not (here / "lashley.db").exists()


def test_it_is_logged_found_again_and_replayed(here: Path) -> None:
    task, model = lashley.Task(PROMPTS), lashley.load("planted:null")
    found = lashley.run(ABLATION, model=model, task=task)
    logged = lashley.run(ABLATION, model=model, task=task, log=True, reason="to see")
    assert isinstance(logged, lashley.Logged)
    assert (logged.id, logged.status, logged.row.reason) == ("E1", "done", "to see")
    assert logged.result.model_dump() == found.result.model_dump()
    again = [lashley.run(ABLATION, task, "planted:null", db="lashley.db", fresh=fresh).id for fresh in (False, True)]
    assert again == ["E1", "E2"]
    assert lashley.run(ABLATION, "prompts", "planted:null", log=True).id == "E1", "the tracker keeps the task"
    with lashley.open() as tracker:
        assert tracker.experiment("E1").top(3).equals(tracker["E1"].top(3))
        assert tracker.experiment("E1").effects().equals(found.effects())
    with Context.open() as context:
        assert replay(context, 1)["same"]


# --- studies -------------------------------------------------------------------------------------------------


def test_a_study_is_that_of_the_command(here: Path) -> None:
    """The same calls, answers and report as `agent run` makes, as objects."""
    goal = "Which heads continue a sequence that came before?"
    study = lashley.study(goal, model="planted:induction", task="induction", driver="autopilot", n=8, display="none")
    words = ["run", "--goal", goal, "--model", "planted:induction", "--task", "induction", "--driver", "autopilot"]
    done = CliRunner().invoke(cli, [*words, "--n", "8", "--db", "b.db", "--display", "none"])
    assert done.exit_code == 0, done.output
    assert (study.id, study.goal, study.status, study.why) == ("R1", goal, "finished", None)
    with lashley.open("b.db") as other:
        there = other.study("R1")
        assert [(e.id, e.config, e.status) for e in study.experiments] == [
            (e.id, e.config, e.status) for e in there.experiments
        ]
        assert study.hypotheses == there.hypotheses
        for one, two in zip(study.experiments, there.experiments, strict=True):
            assert one.effects().equals(two.effects())
    assert {"supported"} <= {h.status for h in study.hypotheses}
    tested = [p for h in study.hypotheses for p in h.predictions]
    assert any(p.experiment in {e.id for e in study.experiments} and p.value is not None for p in tested)
    assert all(site in study.report.markdown for site in TRUTHS["planted:induction"].needed)
    assert study.report.html.startswith("<!")
    assert "<script" not in study._repr_html_(), "it stands in a frame, as text"
    with lashley.open() as tracker:
        assert tracker.study("R1").report.markdown == study.report.markdown


def test_a_study_takes_a_model_and_a_task_of_ones_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made in Python is kept in the tracker, and every experiment of the study is of it: of this model by its
    weights, which are not loaded again, and of this task by its prompts."""
    model, task = lashley.load("planted:induction"), lashley.Task(PROMPTS, "counting")
    with monkeypatch.context() as patch:
        patch.setattr(loading, "load", None)
        study = lashley.study(
            "Which heads count?", model=model, task=task, driver="autopilot", n=4, experiments=3, db=here / "s.db",
            display="none",
        )  # fmt: skip
    assert (study.model, study.task, study.status) == ("planted:induction", "counting", "budget")
    assert {(e.config["model"], e.config["task"]) for e in study.experiments} == {("planted:induction", "counting")}
    asked = {p.text for p in PROMPTS}
    assert {sample for e in study.experiments for sample in e.samples()["prompt"]} <= asked
    with lashley.open(here / "s.db") as tracker:
        rows = tracker.sql(
            "SELECT subjects.fingerprint AS model, task_fingerprint AS task FROM experiments "
            "JOIN subjects ON subjects.id = experiments.subject"
        )
        assert len(rows) == len(study.experiments) == 3
        assert set(rows["model"]) == {model.fingerprint}
        assert set(rows["task"]) == {task.fingerprint()}
        kept = tracker.sql("SELECT name, fingerprint FROM task_files")
        assert kept.to_numpy().tolist() == [["counting", task.fingerprint()]]
    first = study.experiments[0]
    own = kinds()[first.row.kind](**first.config)
    again = lashley.run(own, task, model)
    assert again.measurements().equals(first.measurements()), "what it measured is what these two give"


@pytest.mark.parametrize("display", ["none", "plain"])
def test_a_study_says_what_it_does_only_where_it_may(
    display: Any, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study(task="induction", model="planted:null", n=4, experiments=2, display=display)
    out, err = capfd.readouterr()
    assert out == ""
    assert ("Subject: planted:null (model=...)." in err) == ("Task: induction" in err) == (display == "plain")
    assert display == "plain" or err == ""


# --- what is wrong -------------------------------------------------------------------------------------------


def study(**given: Any) -> Any:
    return lashley.study(**{"goal": "Which heads add?", "driver": "autopilot", "display": "none", **given})


def planted() -> lashley.Found:
    return lashley.run(ABLATION, "induction", "planted:induction")


def in_memory() -> lashley.Model:
    return lashley.load(tiny_model("llama"), tiny_tokenizer())


E = lashley.errors
WRONG: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("field", lambda: lashley.HeadAblation(n=0), E.BadConfiguration, "HeadAblation: n: should be greater"),
    ("no field", lambda: lashley.HeadAblation(head=["L0.H0"]), E.BadConfiguration, "head: there is no such field"),
    ("choice", lambda: lashley.HeadAblation(method="meen"), E.BadConfiguration, "method: should be 'zero'"),
    ("two", lambda: lashley.HeadAblation(n=0, seed=-1), E.BadConfiguration, "n: .* seed: "),
    ("system", lambda: lashley.Baseline(system="x"), E.BadConfiguration, "a system prompt needs a chat"),
    ("head", lambda: lashley.run(lashley.HeadAblation(heads=["L99.H0"], model="planted:null", task="induction")),
     E.BadConfiguration, "no layer 99"),
    ("model name", lambda: lashley.load("planted:nul"), E.UnknownName, "planted:null"),
    ("no folder", lambda: lashley.load("./gone"), E.UnknownName, "There is no model"),
    ("device", lambda: lashley.load("planted:null", device="tpu"), E.BadConfiguration, "no device 'tpu'"),
    ("two names", lambda: lashley.load("planted:null", tiny_tokenizer()), E.ToolError, "its own tokenizer"),
    ("moved", lambda: lashley.load(tiny_model("llama"), tiny_tokenizer(), device="cpu"), E.ToolError, "out device"),
    ("no tokenizer", lambda: lashley.load(tiny_model("llama")), E.UnsupportedModel, "needs its tokenizer"),
    ("no model", lambda: lashley.load(7), E.UnsupportedModel, "Not a model: int"),
    ("no experiment", lambda: lashley.run("head_ablation"), E.ToolError, "A str is not an experiment"),  # type: ignore[arg-type]
    ("hf model", lambda: lashley.run(ABLATION, model=tiny_model("llama")), E.ToolError, r"what lashley\.load"),  # type: ignore[arg-type]
    ("task name", lambda: lashley.run(ABLATION, "inducton"), E.UnknownName, "induction"),
    ("task file", lambda: lashley.run(ABLATION, "gone.csv"), E.ToolError, "no task file gone.csv"),
    ("task", lambda: lashley.run(ABLATION, 7), E.ToolError, "task must be"),  # type: ignore[arg-type]
    ("list as task", lambda: lashley.run(ABLATION, PROMPTS), E.ToolError, r"lashley\.Task"),  # type: ignore[arg-type]
    ("not logged", lambda: lashley.run(ABLATION, reason="x"), E.ToolError, "set log=True"),
    ("folder as db", lambda: lashley.run(ABLATION, "induction", "planted:null", db="."), E.TrackerError, "."),
    ("too many", lambda: lashley.run(lashley.Baseline(n=400), lashley.Task(PROMPTS), "planted:null"), E.BadTask,
     "prompts in its explore split"),
    ("prompt", lambda: lashley.Prompt("2 + 3 = ", "5"), E.BadTask, "The prompt: text is blank or ends with a blank"),
    ("together", lambda: lashley.Prompt("Grass is", "green"), E.BadTask, "run together as 'isgreen'"),
    ("answer", lambda: lashley.Prompt("Grass is", 3), E.BadTask, "field 'answer': Input should be a valid string"),  # type: ignore[arg-type]
    ("prompt field", lambda: lashley.Prompt("a b", " c", distracter=" d"), E.BadTask, "did you mean 'distractor'"),  # type: ignore[call-arg]
    ("no prompts", lambda: lashley.Task([]), E.BadTask, "it has no prompts"),
    ("one prompt", lambda: lashley.Task(PROMPTS[0]), E.BadTask, "is not a set of prompts|is not a prompt"),  # type: ignore[arg-type]
    ("number", lambda: lashley.Task(5), E.BadTask, "A int is not a set of prompts"),  # type: ignore[arg-type]
    ("texts", lambda: lashley.Task(["a", "b"]), E.BadTask, "line 1: a str is not a prompt"),  # type: ignore[list-item]
    ("twice", lambda: lashley.Task([PROMPTS[0], PROMPTS[0]]), E.BadTask, "line 2: the same text as in line 1"),
    ("columns", lambda: lashley.Task(pd.DataFrame({"text": ["a b"], "anser": [" c"]})), E.BadTask, "mean 'answer'"),
    ("cells", lambda: lashley.Task(pd.DataFrame({"text": ["a b"], "answer": [3]})), E.BadTask, "line 1, field 'answ"),
    ("objects", lambda: lashley.Task([{"text": "a b", "answer": object()}]), E.BadTask, "line 1: .*not JSON"),
    ("built in", lambda: lashley.Task(PROMPTS, "ioi"), E.BadTask, "there is already a task 'ioi'"),
    ("name", lambda: lashley.Task(PROMPTS, "my task"), E.BadTask, "is not a valid task name"),
    ("file", lambda: lashley.Task("gone.jsonl"), E.BadTask, "There is no task file gone.jsonl"),
    ("no tracker", lambda: lashley.open("gone.db"), E.TrackerError, "gone.db"),
    ("task called 5", lambda: lashley.Task(PROMPTS, 5), E.BadTask, "name must be a text such as"),  # type: ignore[arg-type]
    ("taken", lambda: lashley.Task(PROMPTS, "capitals"), E.BadTask, "Use another name"),
    ("kind", lambda: lashley.Task(PROMPTS, answer_kind="words"), E.BadTask, "There is no answer_kind 'words'\\. Use"),  # type: ignore[arg-type]
    ("wrong columns", lambda: lashley.Task(pd.DataFrame({"prompt": ["a b"], "target": [" c"]})), E.BadLines,
     "'prompt': there is no such field; did you mean 'text'"),
    ("no JSON", lambda: lashley.Prompt("a b", " c", key=object()), E.BadTask, "field 'key': .*not JSON"),  # type: ignore[arg-type]
    ("near field", lambda: lashley.HeadAblation(metrics="loss"), E.BadConfiguration, "no such field; .* use metric"),
    ("metric", lambda: lashley.HeadAblation(metric="logits"), E.BadConfiguration, "metric: should be 'logit_diff'"),
    ("path as db", lambda: lashley.run(ABLATION, "induction", db=5), E.ToolError, "db must be .* a whole number"),  # type: ignore[arg-type]
    ("reason", lambda: lashley.run(ABLATION, log=True, reason=5), E.ToolError, "reason must be a text"),  # type: ignore[arg-type]
    ("top", lambda: planted().top("loss"), E.ToolError, r"n must be the number of effects .* \.top\(5"),  # type: ignore[arg-type]
    ("top of less", lambda: planted().top(-1), E.ToolError, "n must be the number of effects"),
    ("metric of top", lambda: planted().top(3, "logitdiff"), E.UnknownName, "Did you mean logit_diff"),
    ("no cuda", lambda: lashley.load("planted:null", device="cuda:77"), E.BadConfiguration, "no device 'cuda:77'"),
    ("number of a device", lambda: lashley.load("planted:null", device=0), E.ToolError, "device must be a text"),  # type: ignore[arg-type]
    ("gone folder", lambda: lashley.load(Path("./gone")), E.UnknownName, "There is no model"),
    ("model called 5", lambda: lashley.load(tiny_model("llama"), tiny_tokenizer(), name=5), E.ToolError, "name must"),  # type: ignore[arg-type]
    ("open", lambda: lashley.open(5), E.ToolError, "path must be a text or a path"),  # type: ignore[arg-type]
    ("goal", lambda: study(goal=5), E.ToolError, "goal must be a text, not a whole number"),
    ("goal of none", lambda: study(goal=None), E.ToolError, "The goal is empty"),
    ("float n", lambda: study(n=8.5), E.ToolError, "n must be a whole number, not a float"),
    ("task of a study", lambda: study(task=PROMPTS), E.ToolError, "task must be a text or a Task, not a list"),
    ("list of tools", lambda: study(tools=["baseline"]), E.ToolError, "tools must be a text"),
    ("display", lambda: study(display="off"), E.ToolError, "There is no display 'off'"),
    ("no goal", lambda: study(goal=" "), E.ToolError, "The goal is empty"),
    ("no task in it", lambda: study(goal="What?", model="planted:null"), E.ToolError, "names no known task"),
    ("driver", lambda: study(driver="gpt"), E.ToolError, "There is no driver 'gpt'"),
    ("no key", lambda: study(driver="responses"), E.NoKey, "OPENAI_API_KEY"),
    ("n", lambda: study(n=1), E.ToolError, "n must be from 2 to 512"),
    ("budget", lambda: study(minutes=-1), E.ToolError, "minutes: should be greater than 0"),
    ("tools", lambda: study(tools="core"), E.ToolError, "(?i)leave out tools"),
    ("study in memory", lambda: study(model=in_memory()), E.ToolError, r"memory of this process: save it"),
    ("small task", lambda: study(model="planted:null", task=lashley.Task(PROMPTS)), E.ToolError, "prompts to explore"),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "error", "says"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_one_line_of_ours(ask: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as raised:
        ask()
    assert isinstance(raised.value, lashley.errors.OURS)
    assert "\n" not in str(raised.value)
    assert type(raised.value).__name__ in lashley.errors.__all__


def test_the_page_of_errors_names_them_all() -> None:
    for name in lashley.errors.__all__:
        assert name in (lashley.errors.__doc__ or ""), name
        assert getattr(lashley.errors, name)


def test_the_faults_of_prompts_are_all_there() -> None:
    with pytest.raises(lashley.errors.BadTask, match=r"And 1 more; they are in the error's faults\.") as raised:
        lashley.Task([{"text": "a b", "answer": " c", "x": 1}, {"text": "c d"}])
    faults = raised.value.faults  # type: ignore[attr-defined]
    assert [fault.split(":")[0] for fault in faults] == [
        "The prompts, line 1, field 'x'", "The prompts, line 2, field 'answer'",
    ]  # fmt: skip
