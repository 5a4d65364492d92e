"""No file of the product imports, by any way round, itself: an idea is read in one direction.

Imports inside functions count; those that only a type checker follows do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("agent", "tools", "experiments", "db", "prompts")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def statements(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """Every relative import that Python may carry out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                yield from statements(other)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node
        else:
            yield from statements(node)


def imports() -> dict[str, set[str]]:
    """The modules of ours that each one imports."""
    paths = {name_of(path): path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        package = path.relative_to(ROOT).parent.parts
        found[name] = set()
        for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
            base = [*package[: len(package) - node.level + 1], *filter(None, (node.module or "").split("."))]
            for alias in node.names:
                reached = [one for one in (".".join([*base, alias.name]), ".".join(base)) if one in paths]
                found[name].update(reached[:1])
        found[name].discard(name)
    return found


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_leads_back_to_where_it_began() -> None:
    graph = imports()
    assert len(graph) > 300
    assert "experiments.model.subject" in graph["experiments.model.loading"]
    assert not circle(graph)


@pytest.mark.parametrize(("graph", "long"), [({"a": {"b"}, "b": {"c"}}, 0), ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, 4)])
def test_a_circle_is_seen(graph: dict[str, set[str]], long: int) -> None:
    assert len(circle(graph)) == long
