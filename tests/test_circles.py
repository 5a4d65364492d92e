"""No file of the product imports, by any way round, itself: an idea is read in one direction.

Imports inside functions count; those that only a type checker follows do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lashley.tests.imports import ROOT, imported_names, modules


def name_of(path: Path) -> str:
    return ".".join(["lashley", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


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
    trees = {name_of(path): (path, tree) for path, tree in modules()}
    found: dict[str, set[str]] = {}
    for name, (path, tree) in trees.items():
        reached = {inside for node in statements(tree) for inside in imported_names(path, node)}
        # What is imported from a module is a module itself, or something in it.
        found[name] = {one if one in trees else one.rpartition(".")[0] for one in reached} & trees.keys() - {name}
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
    assert "lashley.experiments.model.subject" in graph["lashley.experiments.model.loading"]
    assert not circle(graph)


@pytest.mark.parametrize(("graph", "long"), [({"a": {"b"}, "b": {"c"}}, 0), ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, 4)])
def test_a_circle_is_seen(graph: dict[str, set[str]], long: int) -> None:
    assert len(circle(graph)) == long
