"""What editors and type checkers are told of `import lashley` (`__init__.pyi`) is what there is.

Strict pyright reads a file that uses every public name, and finds what is wrong in another. The cheap tests compare the
stub with the running package, name by name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lashley
from lashley.experiments.kinds.registry import kinds

ROOT = Path(__file__).resolve().parent.parent
STUB = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
USE = ROOT / "tests" / "typed_use.py"
OURS = {kind.__name__ for kind in kinds().values() if kind.__module__.startswith("lashley.")}
# What is wrong in each line, as pyright names it.
WRONG = {
    "lashley.HeadAblatio(n=8)": "reportAttributeAccessIssue",
    "lashley.HeadAblation(nn=8)": "reportCallIssue",
    'lashley.HeadAblation(method="meen")': "reportArgumentType",
    'lashley.run("head_ablation")': "reportArgumentType",
    "lashley.run(lashley.Baseline()).tops(3)": "reportAttributeAccessIssue",
    'lashley.Prompt("Grass is", 5)': "reportArgumentType",
    'lashley.Prompt("Grass is", " green", distracter=" blue")': "reportCallIssue",
    'lashley.study("Which?", display="loud")': "reportArgumentType",
    'lashley.Edit("L0.H1", "swap")': "reportArgumentType",
    "lashley.load()": "reportCallIssue",
    "lashley.open(5)": "reportArgumentType",
    "lashley.errors.BadTaks": "reportAttributeAccessIssue",
}


def imported() -> dict[str, tuple[str, str]]:
    """The names that the stub imports: each with its module and the name there."""
    found: dict[str, tuple[str, str]] = {}
    for node in STUB.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            for one in node.names:
                found[one.asname or one.name] = (node.module or "", one.name)
    return found


def test_the_stub_has_every_public_name_and_no_other() -> None:
    (listed,) = (ast.literal_eval(n.value) for n in STUB.body if isinstance(n, ast.Assign))
    names = {*lashley.PUBLIC, *OURS, "__version__"}
    assert {*imported(), "open", "__version__"} == names
    assert {*listed, "open"} == names
    assert names <= set(dir(lashley))


@pytest.mark.parametrize("name", sorted({*lashley.PUBLIC, *OURS} - {"open"}))
def test_a_name_of_the_stub_is_that_of_the_package(name: str) -> None:
    module, inside = imported()[name]
    there = importlib.import_module(f"lashley.{module}" if module else "lashley")
    assert getattr(there, inside) is getattr(lashley, name)


def test_open_has_the_signature_of_what_it_makes() -> None:
    (stub,) = (node for node in STUB.body if isinstance(node, ast.FunctionDef))
    runs = inspect.signature(lashley.Tracker)
    assert stub.name == "open"
    assert [a.arg for a in stub.args.args] == list(runs.parameters) == ["path"]
    assert ast.unparse(stub.args.args[0].annotation or stub) == runs.parameters["path"].annotation
    assert [ast.literal_eval(d) for d in stub.args.defaults] == [runs.parameters["path"].default]
    assert ast.unparse(stub.returns or stub) == "Tracker"


def test_what_the_stub_says_of_prompts_is_what_prompts_have() -> None:
    """A class whose signature for checkers is written beside the one that runs: the one place where they can differ."""
    tree = ast.parse((ROOT / "experiments/tasks/own.py").read_text(encoding="utf-8"))
    (prompt,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Prompt")
    (branch,) = (n for n in prompt.body if isinstance(n, ast.If))
    (told,) = (n for n in branch.orelse if isinstance(n, ast.FunctionDef))
    named = [a.arg for a in (*told.args.args[1:], *told.args.kwonlyargs)]
    # Only a task decides whether its prompts are open.
    assert set(named) == set(lashley.Prompt.model_fields) - {"open"}
    for name in named[2:]:
        with pytest.raises(lashley.errors.BadTask, match=name):
            lashley.Prompt("Grass is", " green", **{name: object()})


@pytest.mark.parametrize("kind", sorted(OURS))
def test_the_fields_of_a_kind_are_its_signature(kind: str) -> None:
    made = getattr(lashley, kind)
    for name in made.model_fields:
        with pytest.raises(lashley.errors.BadConfiguration, match=f"{kind}: .*{name}"):
            made(**{name: object()})


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str, str]]]:
    """What strict pyright finds in the file of the user and in one of mistakes: line, rule and message."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "lashley").symlink_to(ROOT, target_is_directory=True)
    plain = [
        kind for kind in sorted(OURS) if not any(f.is_required() for f in getattr(lashley, kind).model_fields.values())
    ]
    made = "".join(f"\nassert_type(lashley.{kind}(n=8), lashley.{kind})" for kind in plain)
    (folder / "right.py").write_text(USE.read_text(encoding="utf-8") + made + "\n", encoding="utf-8")
    (folder / "wrong.py").write_text("import lashley\n" + "\n".join(WRONG) + "\n", encoding="utf-8")
    settings = {"include": ["right.py", "wrong.py"], "typeCheckingMode": "strict", "reportMissingTypeStubs": False,
                "reportUnusedExpression": False, "pythonVersion": "3.11"}  # fmt: skip
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found: dict[str, list[tuple[int, str, str]]] = {"right.py": [], "wrong.py": []}
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        at = one["range"]["start"]["line"] + 1
        found[Path(one["file"]).name].append((at, one.get("rule", ""), one["message"]))
    return found


@pytest.mark.slow
def test_strict_pyright_has_nothing_to_say_of_what_is_right(seen: dict[str, list[tuple[int, str, str]]]) -> None:
    assert seen["right.py"] == []
    code = USE.read_text(encoding="utf-8")
    assert not [name for name in lashley.PUBLIC if not re.search(rf"\blashley\.{name}\b", code)]


@pytest.mark.slow
def test_pyright_finds_every_mistake(seen: dict[str, list[tuple[int, str, str]]]) -> None:
    lines = dict(enumerate(WRONG, 2))
    assert {(lines[line], rule) for line, rule, _ in seen["wrong.py"] if rule in WRONG.values()} >= set(WRONG.items())
