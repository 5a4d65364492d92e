"""Null in a call: it unsets a setting, takes the default, and means as many prompts as a task has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lashley.tools.json_schema import fill_nulls
from lashley.tools.registry import Answer, all_tools, answer
from lashley.tools.workbench.context import Context

# A task with two prompts in each split.
FEW = "small_opposites"
# Values of the fields that have no default.
REQUIRED: dict[str, Any] = {
    "edit": ["zero L0.H0"],
    "variable": "s = a + b",
    "output": "s",
    "hypothesis": ["L0.H0 depends on answer"],
    "parts": ["L0.H0"],
}


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with Context.open(str(tmp_path / "t.db"), model="planted:induction", task="induction") as opened:
        opened.run = opened.store.begin_run(
            goal="Which heads?", driver="chat", llm="by-hand", model=opened.model, task=opened.task, seed=0, budget={},
            environment=opened.environment, reviews=None, opening={"role": "user"}, request=None,
        )  # fmt: skip
        yield opened


def call(context: Context, name: str, **given: Any) -> Answer:
    return answer(all_tools(), context, name, json.dumps(given))


def proposed(context: Context, config: dict[str, Any], **one: Any) -> Answer:
    bound = {"quantity": "loss_increase", "comparison": "above", "low": 0.01}
    words = {"statement": "It is needed.", "rationale": "It was seen.", "refuted_if": "Nothing is lost."}
    return call(context, "propose_hypothesis", **words, predictions=[{**bound, **one, "config": json.dumps(config)}])


def test_like_can_unset_a_setting(context: Context) -> None:
    first = {"layers": [1], "together": True, "method": "mean", "n": 8, "reason": "x"}
    assert not call(context, "head_ablation", **first).refused
    done = proposed(context, {"layers": None, "heads": ["L1.H2"], "metric": None, "n": None, "method": None}, like="E1")
    assert not done.refused, done.text
    configs = [one["config"] for one in done.data["predictions"]]
    assert [one["method"] for one in configs] == ["zero", "mean", "resample"]
    assert {(one["layers"], tuple(one["heads"]), one["n"], one["metric"], one["together"]) for one in configs} == {
        (None, ("L1.H2",), 8, "logit_diff", True)
    }


@pytest.mark.parametrize("name", [name for name, tool in all_tools().items() if tool.is_experiment])
def test_null_is_accepted_where_the_schema_allows_it(name: str) -> None:
    tool = all_tools()[name]
    nullable = {
        field: None
        for field, part in tool.schema["properties"].items()
        if "null" in part.get("type", ()) or {"type": "null"} in part.get("anyOf", ())
    }
    given = {"reason": "x", "hypothesis": "H1"} if name == "test_hypothesis" else {"reason": "x"}
    given = {key: value for key, value in given.items() if key in tool.schema["properties"]}
    required = set(tool.schema["properties"]) - set(nullable) - set(given)
    given |= {field: REQUIRED[field] for field in required}
    tool.arguments.model_validate(fill_nulls(tool.arguments, {**given, **nullable}))


def test_n_null_is_what_the_task_has(context: Context) -> None:
    context.model, context.task, context.n = "smollm2-135m", FEW, 32
    done = call(context, "baseline", n=None, reason="x")
    assert done.text.startswith("n = 2: the task has no more prompts to explore.\nE1 baseline ")
    assert done.data["config"]["n"] == 2
    refused = call(context, "baseline", n=3, reason="x")
    assert refused.refused
    assert "Use at most 2" in refused.text
    # A prediction uses what the held-out split has, unless it names a number.
    bound = {"quantity": "accuracy", "low": 0.1}
    done = proposed(context, {}, like="E1", **bound)
    assert [one["config"]["n"] for one in done.data["predictions"]] == [2]
    assert proposed(context, {"n": 3}, like="E1", **bound).refused
