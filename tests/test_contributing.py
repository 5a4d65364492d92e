"""What CONTRIBUTING shows is done: its examples are installed as a package, or put into a copy of this one, and used.

The processes are other ones, so that entry points are found as they are found for anybody.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.write.store import Store
from lashley.experiments.experiment import Experiment
from lashley.experiments.lab import Lab
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.tests.installed import agent, install, python
from lashley.tests.studies import Scripted
from lashley.tests.tiny import tiny_subject
from lashley.tools.json_schema import lint_strict
from lashley.tools.registry import experiment_tool
from lashley.tools.report.study import read_study
from lashley.tools.workbench.context import Context

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = {
    found[1]: (int(found[2]), found[3])
    for found in re.finditer(r"^### An? ([\w ]+): (\d+) lines\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
}
MODULES = {
    "my_kind": "kind of experiment",
    "my_metric": "metric",
    "my_driver": "driver",
    "my_task": "task",
    "my_claim": "type of claim",
}
GOAL = "Can it continue a list?"


def code(of: str) -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```", SECTIONS[of][1], re.MULTILINE | re.DOTALL)
    return found


def line(of: str, ends: str) -> str:
    """The line of a registry that the text quotes."""
    (found,) = re.findall(rf"`([^`\n]*{re.escape(ends)})`", SECTIONS[of][1])
    return found


def test_there_is_an_example_of_everything_that_can_be_added() -> None:
    assert set(SECTIONS) == {*MODULES.values(), "table", "page"}


@pytest.mark.parametrize("of", SECTIONS)
def test_the_lines_of_an_example_are_counted_rightly(of: str) -> None:
    assert SECTIONS[of][0] == sum(bool(each.strip()) for each in code(of).splitlines())


# --- the kind, here -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> type[Experiment]:
    made = ModuleType("my_kind_here")
    sys.modules[made.__name__] = made
    exec(compile(code("kind of experiment"), "CONTRIBUTING.md", "exec", dont_inherit=True), made.__dict__)
    return made.AttentionAblation


def test_the_kind_measures_each_layer(example: type[Experiment]) -> None:
    lines = [
        {"text": f"w{i} w{i + 1} w{i + 2}", "answer": f" w{i + 3}", "distractor": f" w{i + 4}"} for i in range(3, 60)
    ]
    lab = Lab(tiny_subject("llama"), from_jsonl("counting", "\n".join(map(json.dumps, lines))))
    result = example(n=8).run(lab)
    assert [e.site for e in result.effects] == ["L0.attn", "L1.attn", "L2.attn"]
    assert all(e.low <= e.value <= e.high for e in result.effects)
    assert any(abs(e.value) > 1e-3 for e in result.effects)
    alone = example.model_validate({"n": 8, "layers": [1]}).run(lab)
    assert alone.effects[0].value == pytest.approx(result.effects[1].value, abs=1e-5)


def test_the_kind_is_a_tool(example: type[Experiment]) -> None:
    tool = experiment_tool(example)
    assert not lint_strict(tool.schema)
    assert "layers" in tool.schema["properties"]


# --- a package of somebody else -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    points: dict[str, Any] = tomllib.loads(toml)["project"]["entry-points"]
    install(folder, {module: code(of) for module, of in MODULES.items()}, points)
    return folder


LISTS = """
import json
from lashley.agent.drivers import registry
from lashley.agent.instruments import instruments
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.metrics import metrics
from lashley.tools.workbench.catalog import kind_cards, match_goal, task_cards
from lashley.tools.registry import all_tools
tools = all_tools()
print(json.dumps({
    "drivers": [registry.names(), registry.help_text()],
    "claims": tools["write_report"].schema["properties"]["findings"],
    "map": instruments(kinds()).splitlines(),
    "kind": [card for card in kind_cards() if card["origin"]],
    "tool": tools["attention_ablation"].schema,
    "task": [card for card in task_cards() if "origin" in card],
    "goal": [one["task"] for one in match_goal("Which heads know the colours of things?", None)],
    "enums": {name: tools[name].schema["properties"]["metric"]["enum"] for name in
              ("head_ablation", "saliency", "minimal_set")},
}))
"""


def test_what_is_installed_stands_in_every_list(package: Path) -> None:
    found = json.loads(python(package, LISTS).stdout)
    names, told = found["drivers"]
    assert names == ["auto", "responses", "chat", "autopilot", "one_look"]
    assert told.endswith("one_look: from my-package 1")
    (which,) = (each for each in found["map"] if each.startswith("- Which layers does the model need"))
    assert which.endswith("linear_shortcut, attention_ablation")
    assert [(card["name"], card["origin"]) for card in found["kind"]] == [("attention_ablation", "my-package 1")]
    assert "layers" in found["tool"]["properties"]
    assert "predicted, behaves, unnoticed" in json.dumps(found["claims"])
    assert [(card["name"], card["origin"]) for card in found["task"]] == [("colours", "my-package 1")]
    assert found["goal"][0] == "colours"
    assert found["enums"]["head_ablation"] == ["logit_diff", "loss", "prob", "kl", "entropy", None]
    assert found["enums"]["saliency"] == ["logit_diff", "loss", "prob", "entropy", None]
    assert found["enums"]["minimal_set"] == ["logit_diff", "prob", None]


# Each of them in one process: what it costs is mostly that torch is imported.
USE = """
import json, sys
from click.testing import CliRunner
from lashley.agent.main import cli
done = [CliRunner().invoke(cli, words) for words in json.loads(sys.argv[1])]
print(json.dumps([[one.exit_code, one.stdout, one.stderr] for one in done]))
"""
ON = ["--model", "planted:induction", "--task", "induction"]
HEAD = ["experiment", "head_ablation", *ON, "--n", "8", "--heads", "L1.H0", "--metric", "entropy"]


@pytest.fixture(scope="module")
def used(package: Path) -> list[tuple[int, str, str]]:
    words = [
        ["run", "--driver", "one_look", *ON, "--n", "4", "--goal", GOAL, "--display", "none"],
        ["experiment", "attention_ablation", *ON, "--n", "4", "--json"],
        [*HEAD, "--json"],
        [*HEAD, "--predict", "entropy_change > 0"],
        ["experiment", "head_ablation", *ON, "--metric", "accuracy"],
        ["doctor", "--driver", "one_look"],
        ["tasks"],
        ["tasks", "show", "colours", "-n", "1"],
        ["experiment", "baseline", "--task", "colours", "--n", "4", "--json"],
        ["replay", "R1"],
        ["fork", "R1", "--at", "1", "--driver", "autopilot"],
        ["findings", "R1", "unnoticed", "L1.H0", "--json"],
        ["findings", "R1", "unnoticed", "--json"],
    ]
    return json.loads(python(package, USE, json.dumps(words)).stdout)


def test_the_driver_leads_a_study_to_its_report(package: Path, used: list[tuple[int, str, str]]) -> None:
    code, _, said = used[0]
    assert code == 0, said
    assert "The protocol one_look chooses the experiments, as you asked. No language model is used." in said
    report = (package / "reports" / "R1" / "report.md").read_text(encoding="utf-8").replace("\\_", "_")
    assert re.search(r"Its accuracy is \*{0,2}[01]\.\d+", report), report
    assert "No language model led this study. The driver one_look, a fixed protocol" in report
    code, out, said = used[9]
    assert code == 0, out + said
    assert "R1: the same" in out
    code, _, said = used[10]
    assert code == 2
    assert "The one_look drove R1, and the autopilot can only continue its own steps" in said
    code, out, said = used[5]
    assert code == 0, said
    assert 'agent run --driver one_look --goal "..."' in out


def test_the_kind_measures(used: list[tuple[int, str, str]]) -> None:
    code, out, said = used[1]
    assert code == 0, said
    found = {effect["site"]: effect["value"] for effect in json.loads(out)["effects"]}
    assert len(found) > 1
    assert max(found.values()) > 1, "an induction head has to be missed"


def test_the_metric_is_measured_predicted_and_refused_by_name(used: list[tuple[int, str, str]]) -> None:
    code, out, said = used[2]
    assert code == 0, said
    logged = json.loads(out)
    assert {(effect["site"], effect["metric"]) for effect in logged["effects"]} >= {("L1.H0", "entropy")}
    units = {one["name"]: one["unit"] for one in logged["measurements"]}
    assert units["intact_entropy"] == units["entropy_change"] == units["excess"] == "nats"
    code, out, said = used[3]
    assert code in (0, 1), said
    assert "entropy_change" in out
    code, _, said = used[4]
    assert code == 2
    assert "entropy" in said


def test_the_claim_is_judged(used: list[tuple[int, str, str]], tmp_path: Path) -> None:
    code_, out, said = used[11]
    assert code_ == 0, said
    (found,) = json.loads(out)["findings"]
    assert found["verdict"] == "untested"
    assert found["question"] == "Does the model predict the same on induction without L1.H0?"
    code_, _, said = used[12]
    assert code_ == 2
    assert "name the parts" in said

    def protocol(data: Data) -> Protocol:
        yield "", "head_ablation", {"n": 8, "metric": "kl", "reason": "Look."}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    with Context.open(str(tmp_path / "t.db"), model="planted:induction", task="induction") as context:
        study(context, Scripted(protocol), GOAL, Budget(), View(None), n=8)
        measured = read_study(context.reader, 1)
    made = ModuleType("my_claim_here")
    sys.modules[made.__name__] = made
    exec(compile(code("type of claim"), "CONTRIBUTING.md", "exec", dont_inherit=True), made.__dict__)
    verdicts = {head: made.Unnoticed(task="induction", parts=(head,)).judge(measured) for head in ("L1.H0", "L1.H2")}
    assert verdicts["L1.H0"].verdict == "seen"
    assert verdicts["L1.H2"].sentence.startswith("It does not predict the same on induction without L1.H2")


def test_the_task_is_listed_with_its_origin_and_asked(used: list[tuple[int, str, str]]) -> None:
    assert "colours: Colours of things. (from my-package 1)" in " ".join(used[6][1].split())
    code, out, said = used[7]
    assert code == 0, said
    assert "from the installed package my-package 1" in out
    code, out, said = used[8]
    assert code == 0, said
    names = {one["name"]: one for one in json.loads(out)["measurements"]}
    assert names["entropy"]["n"] == 4
    assert names["entropy"]["value"] > 0


@pytest.mark.parametrize(
    ("group", "broken", "words", "says"),
    [
        ("experiments", "import nothing_there", ["experiment"], "The installed kind broken:THING cannot be loaded"),
        (
            "metrics",
            "THING = 3",
            ["experiment", "baseline", "--task", "induction"],
            "broken:THING of lashley.metrics must be a Metric",
        ),
        ("drivers", "THING = 3", ["doctor", "--driver", "it"], "must be a DriverRow named 'it'"),
        ("tasks", "1 / 0", ["tasks"], "The installed task broken:THING cannot be loaded (division by zero)"),
    ],
)
def test_a_broken_package_is_one_line(group: str, broken: str, words: list[str], says: str, tmp_path: Path) -> None:
    install(tmp_path, {"broken": broken}, {f"lashley.{group}": {"it": "broken:THING"}})
    done = agent(tmp_path, *words, code=2)
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_broken_driver_stops_nobody_who_does_not_take_it(tmp_path: Path) -> None:
    install(tmp_path, {"broken": "1 / 0"}, {"lashley.drivers": {"it": "broken:THING"}})
    assert "it: from my-package 1" in " ".join(agent(tmp_path, "run", "--help").stdout.split())
    agent(tmp_path, "doctor", "--driver", "autopilot")


# --- in this repository ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the table and the page of the examples."""
    folder = tmp_path_factory.mktemp("copy")
    for name in {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "docs", "benchmarks"}:
        shutil.copytree(ROOT / name, folder / "lashley" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "__init__.py", folder / "lashley")
    (folder / "lashley" / "db" / "migrations" / "012_stars.py").write_text(code("table"), encoding="utf-8")
    (folder / "lashley" / "agent" / "commands" / "hours.py").write_text(code("page"), encoding="utf-8")
    last(folder / "lashley" / "db" / "migrations" / "__init__.py", "NAMES", line("table", '"012_stars",'))
    last(folder / "lashley" / "agent" / "main.py", "COMMANDS", line("page", '."),'))
    return folder


def last(path: Path, registry: str, entry: str) -> None:
    """Write a line as the last one of a registry."""
    begun = False
    lines: list[str] = []
    for each in path.read_text(encoding="utf-8").splitlines():
        begun = begun or each.startswith(registry)
        if begun and each in (")", "}"):
            lines.append(f"    {entry}")
            begun = False
        lines.append(each)
    assert f"    {entry}" in lines
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


STARS = """
import sqlite3, sys
from pathlib import Path
import lashley
from lashley.db.errors import QueryRefused
from lashley.db.read.reader import Reader
from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.write.store import Store
path = Path(sys.argv[1])
assert Path(lashley.__file__).is_relative_to(Path.cwd()), lashley.__file__
with Store.open(path) as store:
    run = store.begin_run(goal="g", driver="autopilot", llm=None, model="tiny", task="t", seed=0, budget={},
                          environment={})
    number = store.begin_experiment(
        run=run, kind="baseline", model="tiny", task="t", split="explore", n=2, config={}, config_hash="c",
        subject={"name": "tiny", "fingerprint": "f", "architecture": "llama", "anatomy": {}}, task_fingerprint="t",
        code_version="1", environment={},
    )
    store.fail_experiment(number, "BadTask", "there is no such task", 7200.0)
    store.finish_run(run, status="finished", spent={})
with sqlite3.connect(path) as connection:
    connection.execute("INSERT INTO stars (experiment, created) VALUES (?, 'now')", [number])
    try:
        connection.execute("DELETE FROM stars")
        print("removed")
    except sqlite3.Error as refused:
        print(refused)
with Reader.open(path) as reader:
    print(reader.query("SELECT count(*) FROM stars")[1])
    try:
        print(reader.query("SELECT * FROM stars", runs=[run]))
    except QueryRefused as refused:
        print(refused)
"""


def test_the_table_is_there_kept_and_closed_to_a_study(copied: Path, tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    Store.open(path).close()  # by this version, which does not know the table
    kept, counted, closed = python(copied, STARS, str(path)).stdout.splitlines()
    assert kept == "a mark stays as it was made"
    assert counted == "[[1]]"
    assert closed.startswith("A study cannot read stars")


def test_the_page_is_a_command(copied: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    python(copied, STARS, str(path))
    assert "hours" in agent(copied, "--help").stdout
    assert "2.00 h  baseline" in agent(copied, "hours", "--db", str(path)).stdout
    assert json.loads(agent(copied, "hours", "--db", str(path), "--json").stdout) == [{"kind": "baseline", "hours": 2}]
    assert "--json" in agent(copied, "hours", "--help").stdout
