"""No behaviour hangs on the wording of a message: with every text of every catalogue made unreadable, all that changes
is text. And nobody looks for a sentence that stands in a catalogue.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import pytest
from click.testing import CliRunner

from lashley import prompts
from lashley.agent.drivers.conversation import DriverError
from lashley.agent.drivers.server_faults import FAULTS
from lashley.agent.main import cli
from lashley.agent.study.endings import ENDINGS, LIMITS
from lashley.db.errors import TrackerError
from lashley.experiments.errors import ExperimentError
from lashley.experiments.notes import NOTES
from lashley.tests.test_doctor import listing, refusal
from lashley.tests.wire import chat, serving
from lashley.tools.errors import CannotWrite, ToolError
from lashley.tools.refusals import REFUSALS
from lashley.tools.replay.experiments_of_run import Diverged

ROOT = Path(prompts.__file__).parents[1]
CATALOGUES = (NOTES, REFUSALS, ENDINGS, LIMITS, FAULTS)
# The texts of prompts/ that the loop says as the user.
SAID = ("spent", "stopping", "nudge", "repeated", "going_on", "narrowed")
BASES = (TrackerError, ExperimentError, ToolError, DriverError)
ON = ["--task", "induction", "--n", "8", "--db", "t.db"]
Script = Callable[[dict[str, Any]], object]
OTHER = {
    ord(c): alphabet[(i + 5) % 26] for alphabet in (ascii_lowercase, ascii_uppercase) for i, c in enumerate(alphabet)
}


def scrambled(template: str) -> str:
    """Every letter the fifth one after it, but for the fields. Twice is no way back."""
    return "".join(
        part if part.startswith(("{", "$")) else part.translate(OTHER)
        for part in re.split(r"(\{[^}]*\}|\$\{?\w+\}?)", template)
    )


def scramble(patch: pytest.MonkeyPatch) -> None:
    for catalogue in CATALOGUES:
        for code, template in catalogue.items():
            patch.setitem(catalogue, code, scrambled(template))
    fill = prompts.fill
    patch.setattr(
        prompts,
        "fill",
        lambda name, **v: f"{name.upper()} {scrambled(fill(name, **v))}" if name in SAID else fill(name, **v),
    )
    # What stands in no catalogue is known by its class.
    for base in BASES:
        patch.setattr(base, "__str__", lambda self: scrambled(Exception.__str__(self)), raising=False)


# --- a study, its report and its replays, a refusal, a doctor, an interrupted study ---------------------------------


def acting(*steps: list[tuple[str, dict[str, Any]]], before: Callable[[int], None] = lambda step: None) -> Script:
    """A language model that does one step after the other, and then writes a report; it reads nothing."""

    def answer(body: dict[str, Any]) -> object:
        if "messages" not in body:
            return {"data": [{"id": "m"}]}
        step = sum(m["role"] == "assistant" for m in body["messages"])
        before(step)
        report = [("write_report", {"title": "T", "claims": [], "interpretation": "Nothing."})]
        named = steps[step] if step < len(steps) else report
        return chat("Now.", *((f"c{step}.{i}", name, json.dumps(a)) for i, (name, a) in enumerate(named)))

    return answer


BASELINE = ("baseline", {"n": 8, "reason": "Again."})
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("no_such_tool", {}),
    ("baseline", {"n": 8, "split": "confirm", "reason": "Peek."}),
    ("baseline", {"n": 0, "reason": "None."}),
    ("baseline", {"n": 8, "model": "gpt2", "reason": "Another."}),
    ("head_ablation", {"n": 8, "heads": ["L90.H1"], "reason": "Far."}),
    ("test_hypothesis", {"hypothesis": "H9"}),
    ("test_hypothesis", {"hypothesis": "E9"}),
    ("query_tracker", {"sql": "DROP TABLE runs"}),
    ("write_report", {"title": "T", "claims": [], "interpretation": "It is 0.93."}),
]


def interrupts(step: int) -> None:
    if step == 1:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)  # for this process to be told before it is answered


def lived(folder: Path) -> tuple[dict[str, Any], str]:
    """What happened in a tracker of its own: exit codes, data and rows; and all that was said, apart."""
    said: list[str] = []
    codes: list[int] = []
    data: list[Any] = []

    def agent(*words: str) -> Any:
        result = CliRunner().invoke(cli, words)
        said.append(result.output)
        codes.append(result.exit_code)
        return result

    with serving() as wire:
        model = ["--driver", "chat", "--llm", "m", "--base-url", wire.url, "--display", "none", *ON]
        goal = ["run", "--goal", "Which heads continue a repeated list?", "--model", "planted:induction"]
        agent(*goal, "--driver", "autopilot", "--display", "none", *ON)
        agent("experiment", "head_ablation", "--heads", "L0.H0", "--together", "--model", "planted:null", *ON)
        wire.by(acting(WRONG, [BASELINE]))
        agent(*goal, *model)
        wire.by(acting([BASELINE]))
        agent(*goal, *model, "--minutes", "0.000001")
        wire.by(acting([BASELINE], [BASELINE], before=interrupts))
        agent(*goal, *model)
        wire.by(lambda body: refusal("Your account: insufficient_quota", 429) if body else {"data": [{"id": "m"}]})
        agent(*goal, *model)
        wire.by(listing(lambda body: refusal("The model `m` does not exist", 404)))
        health = agent("doctor", "--driver", "chat", "--llm", "m", "--base-url", wire.url, "--json")
        checks = json.loads(health.stdout)["checks"]
        data.append([(one["name"], one["found"], one["fatal"], one["code"]) for one in checks])
    for run in ("R1", "R2", "R3", "R4"):
        found = json.loads(agent("replay", run, "--fast", "--json", "--db", "t.db").stdout)
        data.append(found)
        agent("report", run, "--db", "t.db", "--to", "written")
        page = (folder / "written" / run / "report.md").read_text()
        data.append(["Controls failed" in page, "The intact subject is not shown to do the task" in page])
        said.append(page)
    agent("verify", "R1", "--db", "t.db")
    agent("show", "E99", "--db", "t.db")
    return {"exit": codes, "data": data, **rows(folder / "t.db", said)}, "\n".join(said)


def rows(path: Path, said: list[str]) -> dict[str, Any]:
    """What stands in the tracker but for texts, times and hashes of them; the texts are added to what was said."""
    queries = {
        "runs": "SELECT id, driver, status, error_code FROM runs ORDER BY id",
        "experiments": "SELECT id, run, kind, config, status, error_type, note_codes, found FROM experiments "
        "ORDER BY id",
        "doubts": "SELECT e.id, json_extract(d.value, '$.code') FROM experiments AS e, json_each(e.doubts) AS d",
        "measurements": "SELECT experiment, name, value, low, high, n, unit FROM measurements ORDER BY id",
        "effects": "SELECT experiment, site, metric, value, low, high, n, p, q, percentile FROM effects ORDER BY id",
        "samples": "SELECT experiment, prompt, said, changed, correct, failure FROM samples ORDER BY id",
        "hypotheses": "SELECT id, run, statement, status FROM hypotheses ORDER BY id",
        "judgements": "SELECT prediction, experiment, value, p, side FROM judgements ORDER BY prediction",
        "reports": "SELECT run, claims FROM reports ORDER BY id",
        "turns": "SELECT run, step, role, json_extract(content, '$.calls'), json_extract(content, '$.call_id'), "
        "json_extract(content, '$.code'), json_extract(content, '$.data.refused'), json_extract(content, '$.data.id') "
        "FROM turns ORDER BY id",
    }
    with closing(sqlite3.connect(path)) as connection:
        said += [text for (text,) in connection.execute("SELECT json_extract(content, '$.text') FROM turns")]
        said += [text for (text,) in connection.execute("SELECT notes || coalesce(error, '') FROM experiments")]
        said += [text or "" for (text,) in connection.execute("SELECT error FROM runs")]
        return {name: connection.execute(sql).fetchall() for name, sql in queries.items()}


def test_with_every_message_reworded_only_text_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plain", "reworded"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    plain, words = lived(tmp_path / "plain")
    with monkeypatch.context() as patch:
        scramble(patch)
        patch.chdir(tmp_path / "reworded")
        reworded, other_words = lived(tmp_path / "reworded")
    for part, was in plain.items():
        assert reworded[part] == was, part
    # The scenario is one in which there is something to get wrong, and the words were indeed others.
    assert [row[2:] for row in plain["runs"]] == [
        ("finished", None), ("finished", None), ("budget", "minutes"), ("interrupted", "stopped_by_user"),
        ("failed", "quota_spent"),
    ]  # fmt: skip
    codes = {row[5] for row in plain["turns"]} - {None}
    assert codes == {
        "unknown_tool", "confirm_closed", "bad_arguments", "other_model", "bad_configuration", "no_such_id", "wrong_id",
        "query_refused", "report_faults", "budget_spent", "minutes", "stopping", "stopped_by_user",
    }  # fmt: skip
    assert "unable" in {row[1] for row in plain["doubts"]}
    assert all(one["same"] for found in plain["data"][1::2] for one in found)
    for text in ("There is no tool ", "The user wants to stop", "The budget is spent", "Stopped by the user."):
        assert text in words
        assert text not in other_words


# --- laws -----------------------------------------------------------------------------------------------------------

SEARCHES = {"startswith", "endswith", "find", "index", "count", "partition", "rpartition", "removeprefix",
            "removesuffix", "split", "search", "match", "fullmatch", "replace", "sub"}  # fmt: skip
# Words that stand in files of before there were codes, and never change.
OLDER = {Path("db/older.py")}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("agent", "tools", "db", "experiments", "prompts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def sentences() -> list[str]:
    """What stands in the catalogues, between the fields."""
    texts = [*(text for one in CATALOGUES for text in one.values()), *map(prompts.read, SAID)]
    parts = [part for text in texts for part in re.split(r"\{[^}]*\}|\$\{?\w+\}?", text)]
    return [part for part in parts if " " in part.strip()]


def looked_for(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text that a module compares with or searches for, written there or under a name of the module's."""
    named = {
        target.id: node.value.value
        for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            given = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SEARCHES:
            given = [*node.args, node.func.value]
        elif isinstance(node, ast.MatchValue):
            given = [node.value]
        else:
            continue
        inside = [
            part for one in given for part in (one.elts if isinstance(one, (ast.Tuple, ast.List, ast.Set)) else [one])
        ]
        inside += [part for one in inside if isinstance(one, ast.JoinedStr) for part in one.values]
        for one in inside:
            text = named.get(one.id) if isinstance(one, ast.Name) else getattr(one, "value", None)
            if isinstance(text, str):
                yield node.lineno, text


def hits(tree: ast.Module, known: list[str]) -> list[tuple[int, str]]:
    return [
        (line, text) for line, text in looked_for(tree)
        if len(text.strip()) >= 6 and " " in text.strip() and any(text.strip() in one for one in known)
    ]  # fmt: skip


def test_nobody_looks_for_a_sentence_that_stands_in_a_catalogue() -> None:
    known = sentences()
    found = {str(path): hits(tree, known) for path, tree in modules() if path not in OLDER}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "text.startswith('The user wants to stop')",
        "'has no model' in str(fault)",
        "found = [one for one in notes if one == 'Stopped by the user.']",
        "BEGINS = 'The budget is spent'\nif text.startswith(BEGINS): ...",
        "if text.startswith(f'{of}The budget is spent'): ...",
    ],
)
def test_whoever_did_would_be_found(line: str) -> None:
    assert hits(ast.parse(line), sentences())


def subclasses(of: type[BaseException]) -> Iterator[type[BaseException]]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


# These leave a piece of code early, within one module, and nobody is told of them.
INNER = {"Embedded", "LogEnds", "_Left", "_NoCall"}


def test_every_error_of_ours_has_a_code_of_its_own() -> None:
    for path, _ in modules():
        importlib.import_module("lashley." + ".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    ours = {
        one
        for one in subclasses(BaseException)
        if one.__module__.startswith("lashley.") and one.__module__.split(".")[1] not in ("tests", "benchmarks")
    }
    assert {CannotWrite, Diverged, *BASES} <= ours
    codes = {one.__name__: one.__dict__.get("code") for one in ours if one.__name__ not in INNER}
    assert not [name for name, code in codes.items() if not isinstance(code, str)]
    assert len(set(codes.values())) == len(codes)


def test_every_code_is_used() -> None:
    """A catalogue holds what is said, and nothing else."""
    sources = "\n".join((ROOT / path).read_text(encoding="utf-8") for path, _ in modules())
    named = {"stopping", "budget_spent", "stopped_by_user", "minutes", "no_such_model"}
    unused = [
        code for catalogue in CATALOGUES for code in catalogue
        if code not in named and len(re.findall(rf'"{code}"', sources)) < 2
    ]  # fmt: skip
    assert unused == []
