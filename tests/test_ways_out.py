"""Every refusal names a way out: what to use, write, give or leave out instead, or the range that is accepted."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lashley.tools.errors import ToolError
from lashley.tools.hypotheses import ProposeHypothesis, propose_hypothesis
from lashley.tools.refusals import REFUSALS
from lashley.tools.registry import all_tools, answer
from lashley.tools.workbench.context import Context

ROOT = Path(__file__).parent.parent
# What a configuration must pass: the kinds, their methods, and the forms of sites, programs, edits and donors.
CHECKS = [*(ROOT / "experiments/kinds").glob("*.py"), *(ROOT / "experiments/methods").glob("*.py"),
          *(ROOT / "experiments" / f"{name}.py" for name in ("edit_lines", "experiment", "interventions", "sites")),
          ROOT / "experiments/tasks/donors_by_rule.py"]  # fmt: skip
WAY = re.compile(
    r"\b(use|write|give|name|leave|leave out|raise|lower|read|run|patch|ask for|choose|set|pip install|must be|"
    r"must name|must come|at most|at least|labels|positions|spans|answer|send|add|continue|call|load|rename|import|"
    r"start|review|fix|propose|needs? (?:a|an|at)|explore|render|only .* (?:can|accepted))\b|\b0 to ",
    re.IGNORECASE,
)
# These quote another sentence, which has its own way out, or report the end.
OF_OTHERS = {
    "bad_arguments", "bad_configuration", "experiment_failed", "prediction", "cannot_fail", "no_equivalence",
    "no_task_done", "no_task_file", "study_over", "no_such_part", "unreadable",
}  # fmt: skip


def words(node: ast.expr) -> str:
    """The fixed words of a text, with {} for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(words, node.values))
    if isinstance(node, ast.BinOp):
        return words(node.left) + words(node.right)
    return "{}"


def raised() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in CHECKS:
        for node in ast.walk(ast.parse(path.read_text())):
            fault = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(fault, ast.Call) and isinstance(fault.func, ast.Name) and fault.args:
                text = words(fault.args[0])
                if fault.func.id in ("BadConfiguration", "UnsupportedModel") and re.sub(r"[{}:\W]", "", text):
                    found.append((f"{path.name}:{node.lineno}", text))
    return found


def test_every_check_of_a_configuration_names_a_way_out() -> None:
    every = raised()
    assert len(every) > 60
    # A text that ends with a value says there what to do.
    assert not [(where, text) for where, text in every if not WAY.search(text) and not text.rstrip(". ").endswith("{}")]
    assert not WAY.search("A head is not a site.")


def test_every_refusal_of_a_tool_names_a_way_out() -> None:
    assert not [code for code, text in REFUSALS.items() if code not in OF_OTHERS and not WAY.search(text)]
    assert {*REFUSALS} >= OF_OTHERS


@pytest.fixture
def context(tmp_path: Path) -> Any:
    with Context.open(str(tmp_path / "t.db"), model="planted:induction", task="induction") as opened:
        opened.run = opened.store.begin_run(
            goal="g", driver="chat", llm="x", model="planted:induction", task="induction", seed=0, budget={},
            environment={},
        )  # fmt: skip
        yield opened


def test_a_prediction_of_a_number_that_the_experiment_lacks_is_refused_with_the_nearest(context: Context) -> None:
    ran = answer(all_tools(), context, "baseline", json.dumps({"n": 4, "reason": "x"}))
    assert not ran.refused
    one = {"like": "E1", "quantity": "accuracy_drop", "comparison": "above", "low": 0.5}
    given = {"statement": "S.", "rationale": "R.", "refuted_if": "F.", "predictions": [one]}
    with pytest.raises(ToolError, match=r"Prediction 1: E1 has no 'accuracy_drop'. Did you mean accuracy"):
        propose_hypothesis(context, ProposeHypothesis.model_validate(given))
    right = {**given, "predictions": [{**one, "quantity": "accuracy"}]}
    text, _ = propose_hypothesis(context, ProposeHypothesis.model_validate(right))
    assert text.startswith("H1 is recorded")
