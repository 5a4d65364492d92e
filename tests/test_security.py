"""Nothing that a language model writes into a call runs, or opens a path or an address; nothing that comes with weights
runs; no query gets past its limits.

What a process does is heard from the interpreter's own audit events, which nothing in it can suppress.
"""

from __future__ import annotations

import json
import pickle
import re
import sqlite3
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.agent.study.budget import Budget
from lashley.db.errors import QueryRefused
from lashley.db.query import select
from lashley.experiments.errors import UnsupportedModel
from lashley.experiments.model.loading import load
from lashley.experiments.planted.build import save
from lashley.experiments.planted.truth import TRUTHS
from lashley.tests.wire import serving
from lashley.tools.registry import all_tools, answer, review_tools
from lashley.tools.workbench.context import Context

from .recorded import ENVIRONMENT, recorded
from .test_resume import GOAL, ON, scripted

DOES = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "urllib.")
HEARD: list[tuple[str, str]] = []
LISTENING: list[str] = []


def hear(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING:
        # To load a module that holds the text is not to do what it says.
        told = "" if event.startswith(("marshal.", "object.")) else repr(arguments)
        if event.startswith(DOES) or any(bait in told for bait in LISTENING):
            HEARD.append((event, told[:200]))


sys.addaudithook(hear)


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[list[str]]:
    """What a hostile model could name: files that are there, an address, code."""
    (tmp_path / "b4it.jsonl").write_text('{"text": "a", "answer": " b", "distractor": " c"}\n' * 40)
    (tmp_path / "b4it").mkdir()
    (tmp_path / "b4it" / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    LISTENING[:] = ["b4it"]
    HEARD.clear()
    yield [
        str(tmp_path / "b4it.jsonl"), str(tmp_path / "b4it"), "../b4it.jsonl", "file:///b4it.jsonl",
        "http://127.0.0.1:9/b4it", "\\\\host\\b4it", "~/b4it", "$(touch b4it)", "`b4it`; b4it",
        "__import__('os').system('b4it')", "{{''.__class__.__mro__}}b4it", "ATTACH '/b4it' AS b",
    ]  # fmt: skip
    LISTENING.clear()


def filled(schema: dict[str, Any], text: str, root: dict[str, Any]) -> Any:
    """What fits the schema, with the text wherever one may stand."""
    if "$ref" in schema:
        return filled(root["$defs"][schema["$ref"].split("/")[-1]], text, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        choices = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return filled(choices[0], text, root)
    match schema.get("type"):
        case "object":
            return {name: filled(one, text, root) for name, one in schema.get("properties", {}).items()}
        case "array":
            return [filled(schema["items"], text, root)]
        case "string":
            return text
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return text


def test_no_tool_runs_or_opens_what_a_call_names(tmp_path: Path, bait: list[str]) -> None:
    tools, asked = {**all_tools(), **review_tools()}, 0
    with Context.open(str(tmp_path / "t.db"), model="planted:null", task="induction") as context:
        context.run = context.store.begin_run(
            goal="g", driver="scripted", llm="m", model=context.model, task=context.task, seed=0,
            budget=Budget().model_dump(), environment=ENVIRONMENT,
        )  # fmt: skip
        for name, tool in tools.items():
            for text in bait:
                whole = filled(tool.schema, text, tool.schema)
                plain = filled(tool.schema, "E1", tool.schema)
                # All fields at once, and each among others that say nothing, so that none is refused before it.
                calls = [whole, *({**plain, field: whole[field]} for field in whole)]
                for call in calls:
                    told = answer(tools, context, name, json.dumps(call))
                    asked += 1
                    assert "failed with an internal error" not in told.text, (name, call, told.text)
    assert asked > 300
    assert not HEARD, HEARD[:5]


def test_what_listens_would_hear(bait: list[str]) -> None:
    Path(bait[0]).read_text()
    assert [event for event, _ in HEARD] == ["open"]


def test_every_test_that_is_promised_is_there() -> None:
    tests = Path(__file__).parent
    promised = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", (tests.parent / "docs/security.md").read_text())
    assert len(promised) > 10
    for file, name in promised:
        assert f"def {name}" in (tests / file).read_text(), (file, name)


class Runs:
    """What a pickle can do: here, leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


CODE = "from pathlib import Path\nPath({mark!r}).touch()\n"
AUTO = {
    "auto_map": {name: f"own.{name}" for name in ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")},
    "tokenizer_class": "OwnTokenizer",
}


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        ("pickled", "Pickled weights are refused"), ("pickle called safetensors", "cannot be loaded"),
        ("pickle beside safetensors", None), ("code of its own", "cannot be loaded"),
        ("code it does not need", None),
        ("gguf beside code", "cannot be read as a GGUF"),
    ],
)  # fmt: skip
def test_nothing_that_comes_with_weights_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, says: str | None
) -> None:
    """What an author can put beside weights: a pickle, Python files that the configuration names."""
    monkeypatch.setenv("LASHLEY_CACHE", str(tmp_path / "cache"))
    folder, mark = save(tmp_path / "m", TRUTHS["planted:null"]), tmp_path / "mark"
    name, weights = str(folder), folder / "model.safetensors"
    if "pickle" in attack:
        with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as made:
            made.writestr("archive/data.pkl", pickle.dumps(Runs(mark)))
    if "code" in attack:
        (folder / "own.py").write_text(CODE.format(mark=str(mark)))
        for file in ("config.json", "tokenizer_config.json"):
            content = json.loads((folder / file).read_text()) | AUTO
            if attack != "code it does not need":
                content["model_type"] = "own"
            else:
                content.pop("tokenizer_class")
            (folder / file).write_text(json.dumps(content))
    match attack:
        case "pickled":
            weights.unlink()
        case "pickle called safetensors":
            weights.write_bytes(pickle.dumps(Runs(mark)))
        case "gguf beside code":
            weights.unlink()
            name = str(folder / "m.gguf")
            Path(name).write_bytes(b"GGUF" + bytes(60))
        case _:
            pass
    if says is None:
        assert load(name).sizes["n_layers"] > 0
    else:
        with pytest.raises(UnsupportedModel, match=says) as refused:
            load(name)
        assert "\n" not in str(refused.value)
    assert not mark.exists()


def test_a_pickle_would_leave_its_mark(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Runs(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


ATTACKS = [
    "PRAGMA user_version = 9",
    "SELECT * FROM pragma_database_list",
    "ATTACH 'x.db' AS x",
    "SELECT load_extension('x.so')",
    "SELECT writefile('x', 'y')",
    "SELECT readfile('/etc/passwd')",
    "SELECT edit('x')",
    "DELETE FROM notes",
    "SELECT 1; DROP TABLE notes",
    "VACUUM INTO 'x.db'",
    "CREATE TEMP TABLE x (y)",
    "INSERT INTO notes_fts (notes_fts) VALUES ('delete-all')",
    "BEGIN EXCLUSIVE",
    "EXPLAIN DELETE FROM notes",
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c",
    "SELECT length(zeroblob(1000000000))",
    "SELECT length(randomblob(1000000000))",
    "SELECT replace(hex(zeroblob(7000000)), '00', 'abcdefgh')",
    "SELECT count(*) FROM notes a, notes b, effects c, effects d, effects e, effects f, effects g, effects h, "
    "effects i, effects j, effects k, effects l, effects m, effects n, effects o, effects p, effects q",
    "SELECT " + "(" * 900 + "1" + ")" * 900,
    "SELECT '" + "x" * 30_000 + "'",
]


@pytest.mark.parametrize("sql", ATTACKS, ids=lambda sql: sql[:40])
def test_an_attack_by_sql_is_refused_in_time_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = recorded(tmp_path / "t.db")
    before = path.read_bytes()
    since = time.monotonic()
    with pytest.raises(QueryRefused) as refused:
        select(path, sql, seconds=0.3, runs=[2])
    assert "\n" not in str(refused.value)
    # Not how fast it is, but that it ends: without a limit some of these take for ever.
    assert time.monotonic() - since < 60
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("x*"))


def test_a_text_that_would_be_huge_is_not_made(tmp_path: Path) -> None:
    _, rows, _ = select(recorded(tmp_path / "t.db"), "SELECT printf('%1000000000d', 1)")
    assert len(str(rows[0][0])) < 2100


def test_a_query_gives_a_part_of_what_is_long(tmp_path: Path) -> None:
    path = recorded(tmp_path / "t.db")
    rows = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i, hex(zeroblob(9000)) FROM c"
    _, found, more = select(path, rows, limit=5)
    assert (len(found), more) == (5, True)
    assert all(len(text) < 2100 for _, text in found)


KEY = "kx7-distinctive-5b1f90c2a4"


@pytest.mark.parametrize("status", [200, 400])
def test_a_key_that_the_server_echoes_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def echoes(body: dict[str, Any]) -> object:
        answered = json.loads(json.dumps(scripted(body)).replace("Two stand out.", f"The key is {KEY}."))
        for choice in answered.get("choices", []):
            choice["message"]["content"] = f"Authorization: Bearer {KEY}. {choice['message']['content']}"
        return answered

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as wire:
        if status == 200:
            wire.by(echoes)
        else:
            wire.then({"data": [{"id": "by-hand"}]}).then({"error": {"message": f"Bearer {KEY} is odd"}}, status=status)
        with closing(sqlite3.connect("s.db")) as held:  # so that the log beside the file stays
            server = ["--driver", "chat", "--llm", "by-hand", "--base-url", wire.url]
            done = CliRunner().invoke(cli, ["run", "--goal", GOAL, *ON[:-2], "--display", "plain", *server])
            held.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            written = b"".join(path.read_bytes() for path in files)
        assert any(KEY in " ".join(one.headers.values()) for one in wire.received), "it was sent"
    assert done.exit_code == (0 if status == 200 else 1), done.output
    assert {"s.db", "report.md", "report.html"} <= {path.name for path in files}
    assert KEY.encode() not in written
    assert KEY not in done.output
    assert b"[key]" in written
