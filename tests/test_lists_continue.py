"""A list that is cut names the exact call that gives the rest, and following these calls gives the whole list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lashley.experiments.tasks.registry import tasks
from lashley.tools.registry import all_tools, answer
from lashley.tools.workbench.catalog import models
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.experiment_text import LIMIT

NEXT = re.compile(r"The next ones: (\w+) (\{.*\})\)")
REST = re.compile(r"the rest: (\w+) (\{.*?\})\)")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    path = tmp_path_factory.mktemp("lists") / "t.db"
    with Context.open(str(path), model="planted:induction", task="induction") as opened:
        for place in range(40):
            opened.store.add_note(None, f"Note {place}", f"Word {place} " * 60 + f"end{place}", [], [])
        for seed in range(3):
            call(opened, "head_ablation", {"n": 4, "seed": seed, "reason": "x"})
        yield opened


def call(context: Context, name: str, given: dict[str, Any]) -> str:
    done = answer(all_tools(), context, name, json.dumps(given))
    assert not done.refused, done.text
    assert len(done.text) <= LIMIT
    return done.text


def pages(context: Context, name: str, given: dict[str, Any]) -> list[str]:
    """The answers, as a reader gets them that makes each call that the one before names."""
    found = [call(context, name, given)]
    while following := NEXT.search(found[-1]):
        assert len(found) < 100
        found.append(call(context, following[1], json.loads(following[2])))
    return found


def test_tasks_and_models(context: Context) -> None:
    listed = pages(context, "list_tasks", {})
    assert len(listed) > 1
    assert re.findall(r"^([\w~-]+): ", "\n".join(listed), re.MULTILINE) == [*tasks()]
    text = "\n".join(pages(context, "list_models", {}))
    assert not [row["name"] for row in models() if f"{row['name']} (" not in text]


@pytest.mark.parametrize("words", [None, "Word"])
def test_notes_and_their_ends(context: Context, words: str | None) -> None:
    text = "\n".join(pages(context, "search_notes", {"words": words}))
    assert sorted(re.findall(r"^N(\d+) ", text, re.MULTILINE), key=int) == [str(i + 1) for i in range(40)]
    name, given = next(iter(REST.findall(text)))
    assert re.search(r"end\d+", call(context, name, json.loads(given)))


def test_experiments_latest_first(context: Context) -> None:
    listed = pages(context, "list_experiments", {"limit": 1, "kind": "head_ablation"})
    assert [page[:2] for page in listed] == ["E3", "E2", "E1"]


def test_an_experiment_whole(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pages(context, "show_experiment", {"experiment": "E1"})
    monkeypatch.setattr("lashley.tools.paging.LIMIT", 600)
    short = pages(context, "show_experiment", {"experiment": "E1"})
    assert len(short) > 1
    lines = "\n".join(page.rsplit("\n(", 1)[0] for page in short).splitlines()
    assert [line.split("…")[0] for line in lines] == [
        one[: len(line.split("…")[0])] for line, one in zip(lines, "\n".join(whole).splitlines(), strict=True)
    ]


def test_rows_and_long_texts(context: Context, tmp_path: Path) -> None:
    count = "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a WHERE x < 120) SELECT x FROM a"
    rows = [line for page in pages(context, "query_tracker", {"sql": count}) for line in page.splitlines()]
    assert [line for line in rows if line.isdigit()] == [str(i + 1) for i in range(120)]
    long = "SELECT group_concat(x, '') AS text FROM (SELECT printf('%06d', x) AS x FROM (" + count + "))"
    said = call(context, "query_tracker", {"sql": long})
    assert "substr(column, 601) gives the rest" in said
    assert "000120" in call(
        context, "query_tracker", {"sql": long.replace("group_concat(x, '')", "substr(group_concat(x, ''), 401)")}
    )
    # A query that is too long to repeat is not repeated.
    said = call(context, "query_tracker", {"sql": count + " -- " + "x" * 5000})
    assert said.endswith('(1-50 of more than 50. The next ones: query_tracker with the same arguments and "after": 50)')
