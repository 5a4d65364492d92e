"""Each idea has a name of its own: words that say nothing, or two things, may name no file and nothing defined in it.

`told` was a sentence, a field and a callback; `twin` was a corrupted prompt in one file and a copy of a model in
another. Names of tests are sentences, so they may hold any word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lashley.tests.imports import FOLDERS, ROOT

# Any part of a name: of a module, a function, a class or a method.
WORDS = {
    "told", "twin", "twins", "util", "utils", "helper", "helpers", "misc", "common", "stuff", "salience", "towards",
    "turned", "apart", "outstanding", "standing", "sent", "noise",
}  # fmt: skip
# A whole name of a module: each was in several rooms, for something else in each.
MODULES = {"faults", "reading", "tools"}


def words(name: str) -> set[str]:
    """The words of a name, in lower case: `TwinLab` and `twin_lab` are both a twin and a lab."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|[0-9]+", name)}


def names(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The name of a file and of what is defined in it, at any depth, with the line (0: the file itself)."""
    yield 0, path.stem
    for node in ast.walk(tree):
        defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if defines and not node.name.startswith("test_"):
            yield node.lineno, node.name


def files() -> Iterator[tuple[Path, ast.Module]]:
    for folder in (*FOLDERS, "tests", "docs", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_no_name_says_nothing_or_two_things() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, line {line}: {name}"
        for path, tree in files()
        for line, name in names(path, tree)
        if words(name) & WORDS or (line == 0 and name in MODULES)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("def told(): ...", True),
        ("class A:\n    def told_by(self): ...", True),
        ("class TwinLab: ...", True),
        ("def f():\n    def _sent(): ...", True),
        ("def presented(): ...", False),
        ("def understanding(): ...", False),
        ("def test_a_twin_is_told(): ...", False),
        ("told = 1", False),
    ],
)
def test_which_names_are_caught(source: str, caught: bool) -> None:
    found = names(Path("found.py"), ast.parse(source))
    assert any(words(name) & WORDS for _, name in found) == caught
