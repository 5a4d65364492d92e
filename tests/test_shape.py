"""The shape of the project: who may import whom, what is installed, what browsing costs, what is documented.

These read the source as it lies in the repository, so they also hold for what is written tomorrow.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import click
import pytest

from lashley import prompts
from lashley.agent.main import COMMANDS, cli
from lashley.db.write.store import Store
from lashley.experiments.experiment import Experiment
from lashley.experiments.kinds.registry import kinds
from lashley.tests.imports import FOLDERS, ROOT, imported_names, modules
from lashley.tools.json_schema import lint_strict
from lashley.tools.registry import all_tools

ARROWS = {("agent", "tools"), ("agent", "db"), ("agent", "prompts"), ("tools", "experiments"), ("tools", "db")}
SLOW_IMPORTS = ("torch", "openai", "transformers", "pydantic", "sqlite_utils", "matplotlib")


def imported_folders(path: Path, node: ast.stmt | ast.expr) -> set[str]:
    """The folders of ours that an import statement in `path` reaches."""
    names = imported_names(path, node)
    inside = [name.split(".")[1] for name in names if name.startswith("lashley.")]
    return {folder for folder in inside if folder in FOLDERS}


def test_the_folders_import_each_other_along_the_arrows_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, line {node.lineno}: {path.relative_to(ROOT).parts[0]} -> {target}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for target in imported_folders(path, node)
        if (own := path.relative_to(ROOT).parts[0]) != target and (own, target) not in ARROWS
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_reads_a_command() -> None:
    """The browser, the studies and the Python API share what a command uses, and never go by way of one."""
    wrong = [
        f"{path.relative_to(ROOT)}, line {node.lineno}: {name}"
        for path, tree in modules()
        if path != ROOT / "agent" / "main.py" and (ROOT / "agent" / "commands") not in path.parents
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(path, node)
        if name.startswith("lashley.agent.commands")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "statement", "reached"),
    [
        ("agent/study/loop.py", "from ...tools.registry import answer", {"tools"}),
        ("agent/study/loop.py", "from ... import prompts", {"prompts"}),
        ("agent/main.py", "from .. import __version__", set()),
        ("agent/commands/run.py", "from ...experiments.kinds.registry import kinds", {"experiments"}),
        ("agent/commands/run.py", "from ..loop import study", {"agent"}),
        ("db/read/reader.py", "from .. import query", {"db"}),
        ("db/read/reader.py", "import lashley.tools.errors", {"tools"}),
        ("db/read/reader.py", "import sqlite3", set()),
    ],
)
def test_imports_are_read_as_python_reads_them(path: str, statement: str, reached: set[str]) -> None:
    assert imported_folders(ROOT / path, ast.parse(statement).body[0]) == reached


def test_across_folders_imports_are_relative() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, line {node.lineno}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "lashley")
        or (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "lashley" for a in node.names))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_of_the_product_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    found = {".".join(["lashley", *p.parent.relative_to(ROOT).parts]) for p in [ROOT / "__init__.py"]}
    for folder in FOLDERS:
        found |= {
            ".".join(["lashley", *p.parent.relative_to(ROOT).parts]) for p in (ROOT / folder).rglob("__init__.py")
        }
    assert sorted(listed) == sorted(found)


def test_no_other_folder_holds_product_code() -> None:
    """Whatever else lies at the top is tests, pages or measurements, and no package that would need installing."""
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests", "docs", "benchmarks"}
    assert packages == set(FOLDERS)


def test_every_file_that_the_code_reads_is_installed() -> None:
    """Data files beside the code reach a wheel only if a pattern in pyproject names them."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    missing = [
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
        if not any(
            path in (ROOT / above).glob(p)
            for above in path.relative_to(ROOT).parents
            for p in data.get(".".join(["lashley", *above.parts]), ())
        )
    ]
    assert not missing, missing


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracker with one run, one experiment and one note."""
    path = tmp_path_factory.mktemp("browsing") / "lashley.db"
    subject: dict[str, Any] = {"name": "tiny", "fingerprint": "f", "architecture": "llama", "anatomy": {}}
    with Store.open(path) as store:
        run = store.begin_run(
            goal="Which heads add?", driver="autopilot", llm=None, model="tiny", task="arithmetic", seed=0, budget={},
            environment={},
        )  # fmt: skip
        number = store.begin_experiment(
            run=run, kind="baseline", model="tiny", task="arithmetic", split="explore", n=2, config={}, config_hash="c",
            subject=subject, task_fingerprint="t", code_version="1", environment={},
        )  # fmt: skip
        store.fail_experiment(number, "BadTask", "there is no such task", 0.1)
        store.add_note(run, "Heads", "They add.", ["heads"], [])
        store.finish_run(run, status="finished", spent={})
    return path


BROWSING = (
    ["--help"], ["runs"], ["experiments"], ["notes"], ["notes", "add"], ["show", "R1"], ["show", "E1"], ["show", "N1"],
    ["run", "--help"], ["replay", "--help"], ["report", "--help"], ["models", "--help"], ["tasks", "--help"],
)  # fmt: skip


@pytest.mark.parametrize("arguments", BROWSING, ids=" ".join)
def test_browsing_waits_for_nothing(arguments: list[str], tracker: Path) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['agent', *{arguments!r}]\n"
        "from lashley.agent.main import main\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    print('imported:', *sorted(set({SLOW_IMPORTS!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, encoding="utf-8", timeout=120, cwd=tracker.parent, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (0, "imported:"), done.stderr
    assert done.stdout.strip()


def everything_under(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None, f"{name} {below} is listed and not there"
            yield from everything_under(found, f"{name} {below}")


def test_every_command_and_argument_is_there_and_says_what_it_does() -> None:
    for name, command in everything_under(cli, "agent"):
        assert (command.help or "").strip(), f"{name} has no help"
        silent = [o.opts[0] for o in command.params if isinstance(o, click.Option) and not (o.help or "").strip()]
        assert not silent, f"{name}: no help for {', '.join(silent)}"
        # Words that are meant for a language model's JSON.
        told = " ".join(o.help or "" for o in command.params if isinstance(o, click.Option))
        assert not re.search(r"\bnull\b|list_models|list_tasks", told, re.IGNORECASE), f"{name}: {told}"


def words(text: str) -> set[str]:
    """What a line speaks of: its words without endings, the small ones left out."""
    return {w.lower().rstrip("s") for w in re.findall(r"[A-Za-z0-9]+", text)} - {"the", "a", "an", "and", "of", "by"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_agrees_with_each_command(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert isinstance(command, click.Command)
    assert command.name == name
    first = (command.help or "").strip().splitlines()[0]
    assert words(COMMANDS[name][1]) & words(first), f"{COMMANDS[name][1]!r} and {first!r} share no word"


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda k: k.kind)
def test_every_kind_and_field_is_documented(kind: type[Experiment]) -> None:
    first = (kind.__doc__ or "").strip().splitlines()[0]
    assert first
    assert kind.__doc__ != Experiment.__doc__
    assert re.fullmatch(r"[a-z][a-z0-9_]*", kind.kind)
    missing = [name for name, field in kind.model_fields.items() if not (field.description or "").strip()]
    assert not missing, f"{kind.__name__}: no description of {', '.join(missing)}"


def test_every_kind_lies_in_the_file_of_its_name() -> None:
    here = {p.stem for p in (ROOT / "experiments" / "kinds").glob("*.py")} - {"__init__", "registry"}
    ours = {k.kind: k.__module__ for k in kinds().values() if k.__module__.startswith("lashley.")}
    assert ours == {name: f"lashley.experiments.kinds.{name}" for name in here}


@pytest.mark.parametrize("tool", all_tools().values(), ids=lambda t: t.name)
def test_every_tool_can_be_offered_in_strict_mode(tool: Any) -> None:
    assert not lint_strict(tool.schema)
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", tool.name)
    assert tool.description.strip()
    undescribed = [name for name, part in tool.schema["properties"].items() if not part.get("description", "").strip()]
    assert not undescribed


# Written so that this file does not hold what it looks for.
PRIVATE = re.compile(
    r"(?<![\w.])/(?:tmp|home|root|work|Users|mnt|opt|srv)/[\w.]|\b[A-Z]:\\Users|p[y]pi\.org|pythonhosted\.[o]rg"
    r"|download\.pytorch\.[o]rg|index[-_]u[r]l|extra[-_]ind[e]x|find[-_]lin[k]s",
    re.IGNORECASE,
)


def project_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_place_on_somebodys_machine_or_a_package_index() -> None:
    wrong: list[str] = []
    for path in project_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), 1):
            if path.suffix != ".png" and (found := PRIVATE.search(line)):
                wrong.append(f"{path.relative_to(ROOT)}, line {number}: {found[0]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("see /" + "home/ann/models", True),
        ("--index" + "-url=x", True),
        ("https://p" + "ypi.org/simple", True),
        ("docs/home/page", False),
        ("~/.cache/lashley", False),
        ("experiments/work/x", False),
    ],
)
def test_what_counts_as_a_private_place(text: str, caught: bool) -> None:
    assert bool(PRIVATE.search(text)) == caught


def prompt_calls() -> list[tuple[str, str, set[str]]]:
    """Every `prompts.fill` and `prompts.read` in the code: which function, which text, which variables are given."""
    return [
        (node.func.attr, str(ast.literal_eval(node.args[0])), {str(k.arg) for k in node.keywords})
        for path, tree in modules()
        if path.relative_to(ROOT).parts[0] == "agent"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("fill", "read")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "prompts"
    ]


def test_every_prompt_is_used_and_given_just_what_it_names() -> None:
    calls = prompt_calls()
    assert {name for _, name, _ in calls} == {p.stem for p in (ROOT / "prompts").glob("*.md")}
    for function, name, given in calls:
        template = Template((ROOT / "prompts" / f"{name}.md").read_text(encoding="utf-8"))
        assert template.is_valid(), f"prompts/{name}.md has a stray $"
        assert set(template.get_identifiers()) == given, f"prompts/{name}.md"
        text = prompts.fill(name, **{v: f"<{v}>" for v in given}) if function == "fill" else prompts.read(name)
        assert text
        assert all(f"<{v}>" in text for v in given)


def test_a_missing_variable_is_an_error() -> None:
    with pytest.raises(KeyError):
        prompts.fill("begin", goal="x")


def test_the_version_is_said_once_and_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.import_module("lashley").__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
