"""The command line as a person meets it: a process, its two streams, its exit code."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lashley.db import schema
from lashley.tests.forked import AGENT, agent, fresh
from lashley.tests.wire import serving


def fault(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a person reads. More than one, or a traceback, is a fault of its own."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert "Traceback" not in done.stderr, done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


STUDIES = {
    "planted": (
        "run",
        "--goal",
        "Which layers and heads does it need?",
        "--model",
        "planted:backup",
        "--task",
        "induction",
    ),
    "smollm2": ("run", "--goal", "Which layers and heads does SmolLM2 need to add small numbers?", "--n", "8"),
}


@pytest.fixture(scope="module", params=["planted", pytest.param("smollm2", marks=pytest.mark.slow)])
def words(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """A whole study by the autopilot."""
    return STUDIES[request.param]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, words: tuple[str, ...]) -> Path:
    folder = tmp_path_factory.mktemp("study")
    done = fresh(folder, *words)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_study_without_a_key_ends_in_a_report(study: Path, words: tuple[str, ...]) -> None:
    html = (study / "reports/R1/report.html").read_text()
    assert "no language model led this study" in html.lower()
    assert "{{" not in html
    assert html.count("<svg") >= 3
    assert html.count("<script") == 1
    run = json.loads(agent(study, "show", "R1", "--json").stdout)
    assert (run["status"], run["driver"], run["task"]) == (
        "finished", "autopilot", "arithmetic" if words == STUDIES["smollm2"] else "induction"
    )  # fmt: skip
    kinds = [e["kind"] for e in run["experiments"]]
    assert list(dict.fromkeys(kinds)) == ["baseline", "layer_program", "head_ablation", "minimal_set"], (
        "layers before heads, heads by themselves before heads that stand in for each other"
    )
    assert {e["split"] for e in run["experiments"]} == {"explore", "confirm"}
    assert {e["config"].get("method") for e in run["experiments"]} >= {"zero", "mean", "resample"}
    assert all(h["status"] != "open" for h in run["hypotheses"])
    zoom = next(e["config"]["layers"] for e in run["experiments"] if e["kind"] == "head_ablation")
    damage = json.loads(agent(study, "show", "E2", "--json").stdout)["effects"]
    worst = max(damage, key=lambda e: abs(e["value"]))["site"]
    assert int(worst.split("L")[-1]) in zoom, "the heads searched are where the damage was"


def test_replay_gives_every_number_again(study: Path) -> None:
    done = agent(study, "replay", "E1", "E4", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(r["same"] and r["compared"] > 10 for r in json.loads(done.stdout))


def test_replay_sees_a_number_that_was_changed(study: Path, tmp_path: Path) -> None:
    shutil.copy(study / "lashley.db", tmp_path / "lashley.db")
    with sqlite3.connect(tmp_path / "lashley.db") as db:
        db.execute("DROP TRIGGER measurements_kept_update")
        db.execute("UPDATE measurements SET value = value + 0.01 WHERE experiment = 1 AND name = 'loss'")
    done = agent(tmp_path, "replay", "E1")
    assert done.returncode == 1
    assert "loss.value" in done.stdout


def test_a_study_is_verified_and_what_was_measured_is_measured_again(study: Path) -> None:
    done = agent(study, "verify", "R1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "R1: holds."), done.stdout + done.stderr
    done = agent(study, "verify", "E1", "--rerun")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "E1 rerun: " in done.stdout


def test_the_same_study_again_measures_only_its_predictions(study: Path, words: tuple[str, ...]) -> None:
    before = json.loads(agent(study, "experiments", "--json").stdout)
    again = agent(study, *words)
    assert again.returncode == 0, again.stderr
    new = json.loads(agent(study, "experiments", "--json").stdout)[len(before) :]
    assert {row["split"] for row in new} == {"confirm"}, (
        "what was explored is found again; a prediction needs new prompts"
    )
    assert {row["run"] for row in new} == {"R2"}
    assert (study / "reports/R2/report.html").is_file()


def test_browsing_and_reporting_what_is_there(study: Path) -> None:
    assert "E1" in agent(study, "experiments").stdout
    assert "heads" in agent(study, "notes", "heads").stdout
    assert "R1" in agent(study, "runs").stdout
    assert "accuracy" in agent(study, "show", "E1").stdout
    assert agent(study, "report", "R1", "--print").stdout.startswith("# ")


def test_an_experiment_by_hand_with_a_task_of_the_users_own(tmp_path: Path) -> None:
    lines = [{"text": f"{a} + 1 =", "answer": f" {a + 1}", "distractor": f" {a}"} for a in range(1, 9)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = "experiment", "baseline", "--task", "mine.jsonl", "--n", "2", "--json"
    first = agent(tmp_path, *words)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["task"] == "mine"
    # The tracker keeps the lines, so a replay needs no file.
    (tmp_path / "mine.jsonl").unlink()
    assert agent(tmp_path, "replay", "E1").returncode == 0
    # ... and so does whoever names the task later.
    assert {"name": "mine", "own": True}.items() <= json.loads(agent(tmp_path, "tasks", "--json").stdout)[-1].items()
    assert "arithmetic_questions: " in agent(tmp_path, "tasks", COLUMNS="40").stdout, "a name is never cut"
    assert "mine: Prompts from mine" in agent(tmp_path, "tasks", "show", "mine").stdout
    assert "E1" in agent(tmp_path, "experiment", "baseline", "--task", "mine", "--n", "2").stdout
    assert "mine" in fault(agent(tmp_path, "experiment", "baseline", "--task", "mines", "--n", "2"))


def test_a_killed_study_is_shown_as_stopped_and_its_report_says_so(tmp_path: Path) -> None:
    words = "run", "--goal", "Which heads add?", "--task", "arithmetic", "--n", "8"
    with subprocess.Popen([*AGENT, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "E1" in line:  # the baseline is done, and there is more to come
                break
        assert json.loads(agent(tmp_path, "runs", "--json").stdout)[0]["status"] == "running"
        process.kill()
    assert json.loads(agent(tmp_path, "runs", "--json").stdout)[0]["status"] == "stopped"
    shown = agent(tmp_path, "show", "R1").stdout
    assert "stopped" in shown
    report = agent(tmp_path, "report", "R1", "--print").stdout
    assert "The run ended before its writer was done: it was stopped, and can be resumed" in report
    assert "E1" in report


FAULTS = [
    (("run", "--goal", "Why is the sky blue?"), 2, "--task"),
    (("run", "--goal", "add", "--model", "smollm3"), 2, "smollm2-135m"),
    (("run", "--goal", "add", "--task", "arithmetik"), 2, "arithmetic"),
    (("run", "--goal", "add", "--driver", "responses"), 2, "OPENAI_API_KEY"),
    (("run", "--goal", "add", "--model", "."), 2, "config.json"),
    (("run", "--goal", "add", "--task", "bad.jsonl"), 2, "line 2"),
    (("run", "--goal", "add", "--task", "none.jsonl"), 2, "none.jsonl"),
    (("run", "--goal", "add", "--task", "few.jsonl"), 2, "add lines"),
    (("run", "--goal", "add", "--task", "capitals", "--n", "200"), 2, "--n 148"),
    (("run", "--goal", "add", "--driver", "chat"), 2, "--base-url"),
    (("run", "--goal", "add", "--base-url", "localhost:8000"), 2, "http://"),
    (("run", "--goal", " "), 2, "empty"),
    (("tasks", "show", "bad.jsonl"), 2, "bad.jsonl, line 2"),
    (("tasks", "show", "few.jsonl", "-n", "2"), 2, "few"),
    (("show", "E99"), 2, "E99"),
    (("show", "H1"), 2, "No hypothesis is recorded yet"),
    (("show", "E1", "--db", "newer.db"), 2, "newer Lashley"),
    (("show", "E1", "--db", "other.db"), 2, "another program"),
    (("experiment", "baseline", "--db", "newer.db", "--n", "2"), 2, "newer Lashley"),
    (("experiments", "--kind", "base_line"), 2, "baseline"),
    (("experiments", "--task", "arithmetics"), 2, "arithmetic"),
    (("experiments", "--model", "smolm2"), 2, "smollm2-135m"),
    (("experiments", "--status", "finished"), 2, "done"),
    (("experiments", "--run", "R5"), 2, "No run is recorded yet"),
    (("runs", "--db", "none.db"), 2, "agent run --goal"),
    (("run", "--goal", "add", "--model", "folder"), 2, "config.json"),
    (("run", "--goal", "add", "--model", "strange"), 2, "strange"),
    (("run", "--goal", "add", "--db", "no/such/lashley.db"), 2, "no/such"),
    (("show", "X1"), 2, "X1"),
    (("replay", "E99"), 2, "E99"),
    (("report", "R99"), 2, "R99"),
    (("experiment", "head_ablations"), 2, "head_ablation"),
    (("experiment", "head_ablation", "--heads", "L0.H99", "--n", "2"), 2, "0 to 8"),
    (("experiment", "layer_program", "--program", "0-40", "--n", "2"), 2, "0 to 29"),
    (("tasks", "show", "iou"), 2, "ioi"),
    (("models", "check", "nope.gguf"), 2, "nope.gguf"),
    (("notes", "--db", "bad.jsonl"), 2, "database"),
    (("rum",), 2, "run"),
]


@pytest.fixture(scope="module")
def one_experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracker with one experiment by hand."""
    folder = tmp_path_factory.mktemp("one")
    assert agent(folder, "experiment", "baseline", "--n", "2").returncode == 0
    return folder / "lashley.db"


@pytest.mark.parametrize(("words", "code", "says"), FAULTS, ids=[" ".join(f[0]) for f in FAULTS])
def test_bad_input_gets_one_line_with_the_way_out(
    tmp_path: Path, one_experiment: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "1 + 1 =", "answer": " 2"}\n{"text": "1 + 2 ="\n')
    (tmp_path / "few.jsonl").write_text('{"text": "1 + 1 =", "answer": " 2"}\n')
    (tmp_path / "folder").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange/config.json").write_text('{"model_type": "abacus"}')
    (tmp_path / "strange/model.safetensors").write_bytes(b"")
    for name, application, version in (("newer.db", schema.APPLICATION_ID, 99), ("other.db", 7, 1)):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.execute(f"PRAGMA application_id = {application}")
            db.execute(f"PRAGMA user_version = {version}")
    before = {name: (tmp_path / name).read_bytes() for name in ("newer.db", "other.db")}
    if words[0] in ("show", "replay", "report", "experiments") and "--db" not in words:
        shutil.copy(one_experiment, tmp_path / "lashley.db")
    done = agent(tmp_path, *words)
    assert done.returncode == code, done.stderr
    assert says in fault(done)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}, "left untouched"


def test_nothing_recorded_says_how_to_begin(tmp_path: Path) -> None:
    agent(tmp_path, "experiment", "baseline", "--n", "0.5")  # refused, so nothing is there
    assert not list(tmp_path.iterdir())
    agent(tmp_path, "run", "--goal", "Why is the sky blue?")  # refused after the tracker was opened
    for command in ("runs", "experiments", "notes"):
        done = agent(tmp_path, command)
        assert (done.returncode, done.stdout) == (0, "")
        assert "agent run --goal" in done.stderr


def test_a_dead_server_is_said_before_anything_is_loaded_or_written(tmp_path: Path) -> None:
    done = agent(tmp_path, "run", "--goal", "add", "--base-url", "http://127.0.0.1:9/v1", "--llm", "x")
    assert done.returncode == 1
    assert "127.0.0.1:9" in fault(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "code", "says"), [(401, 2, "OPENAI_API_KEY"), (200, 2, "--task")])
def test_a_server_is_asked_once_before_the_study(tmp_path: Path, status: int, code: int, says: str) -> None:
    """A key that it does not take is said at once; with a good one, the next complaint is about something else."""
    with serving() as wire:
        wire.then({"error": {"message": "no"}} if status == 401 else {"data": []}, status)
        words = "run", "--goal", "add", "--task", "none.jsonl", "--base-url", wire.url, "--llm", "x"
        done = agent(tmp_path, *words, OPENAI_API_KEY="sk-something")
        assert [one.path for one in wire.received] == ["/v1/models"]
    assert done.returncode == code
    assert (says if status == 401 else "none.jsonl") in fault(done)
    assert "sk-something" not in done.stderr


@pytest.mark.parametrize(("status", "says"), [(404, "not found on the Hub"), (None, "cannot be reached")])
def test_a_mistyped_hub_id_costs_one_question(tmp_path: Path, status: int | None, says: str) -> None:
    with serving() as wire:
        wire.then({"error": "Repository not found"}, status or 503)
        endpoint = wire.url.removesuffix("/v1") if status else "http://127.0.0.1:9"
        done = fresh(tmp_path, "models", "check", "nobody/pythia", HF_HUB_OFFLINE="0", HF_ENDPOINT=endpoint)
        assert sum("nobody/pythia" in one.path for one in wire.received) == (1 if status else 0)
    assert done.returncode == 2
    assert says in fault(done)


def test_what_cannot_be_asked_leaves_no_row(tmp_path: Path) -> None:
    for words in (
        ["head_ablation", "--heads", "L0.H99"],
        ["layer_program", "--program", "0-30"],
        ["baseline", "--n", "0"],
    ):
        assert agent(tmp_path, "experiment", *words).returncode == 2
    assert agent(tmp_path, "experiment", "baseline", "--task", "capitals", "--n", "400").returncode == 2
    assert json.loads(agent(tmp_path, "experiments", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["experiment", "baseline", "--model", "./gone"], "There is no model './gone'."),
        (["experiment", "baseline", "--model", "gone.gguf"], "There is no file gone.gguf."),
        (["experiment", "baseline", "--n", "100", "--task", "small_capitals"], "small_capitals"),
        (["experiment", "head_ablation", "--heads", "20.8"], "'20.8' is not a site. Write L20.H8."),
        (["experiment", "neuron_ablation", "--neurons", "20.8"], "'20.8' is not a site. Write L20.mlp.n8."),
        (["models", "check", "./gone"], "There is no model './gone'."),
        (["tasks", "show", "ioi", "--model", "./gone"], "There is no model './gone'."),
        (["run", "--goal", "g", "--task", "ioi", "--driver", "autopilot", "--model", "./gone"], "There is no model"),
        (["experiment", "baseline", "--split", "test"], "--predict tests a prediction on held-out prompts"),
    ],
    ids=lambda of: of if isinstance(of, str) else " ".join(of[:2]),
)
def test_what_needs_no_model_is_refused_before_torch_is_imported(
    tmp_path: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import sys\nfrom lashley.agent.main import main\n"
    code += "try:\n    main()\nfinally:\n    print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in fault(done)
    assert done.stdout == "set()\n"


def test_resume_without_a_run_names_the_last_that_was_stopped(tmp_path: Path) -> None:
    from lashley.db.write.store import Store

    path = tmp_path / "lashley.db"
    with Store.open(path) as store:
        for _ in range(2):
            store.begin_run(goal="g", driver="autopilot", llm=None, model="m", task="t", seed=0, budget={},
                            environment={})  # fmt: skip
    done = agent(tmp_path, "resume", "--db", str(path))
    assert done.returncode == 2
    assert fault(done).endswith("agent resume R2, or agent run --continue")
