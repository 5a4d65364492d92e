"""A goal that asks for a circuit: found on some prompts, tested on others, and claimed as data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lashley.agent.autopilot.circuit import asks_for_circuit
from lashley.agent.autopilot.driver import Autopilot
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.tests.test_autopilot_studies import folder_of, own_task
from lashley.tests.test_findings import TASK, Studied
from lashley.tools.claims.claim import CannotClaim
from lashley.tools.claims.in_short import in_short
from lashley.tools.claims.types.faithful import Faithful
from lashley.tools.workbench.context import Context

GOAL = "Which circuit continues a repeated list?"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    return Studied(tmp_path_factory.mktemp("circuit") / "t.db", "planted:induction", Autopilot(), GOAL)


def test_only_a_goal_that_says_circuit_asks_for_one() -> None:
    assert asks_for_circuit(GOAL)
    assert asks_for_circuit("Circuits for ioi")
    assert not asks_for_circuit("Which heads add? They may be circuitous.")


def test_the_planted_circuit_is_found_and_shown_on_other_prompts(studied: Studied) -> None:
    assert studied.ending.status == "finished", studied.ending.why
    kinds = [row.kind for row in studied.study.experiments.values()]
    assert kinds == ["baseline", "circuit_discovery", "head_ablation", "circuit_faithfulness", "head_ablation"]
    splits = [row.split for row in studied.study.experiments.values()]
    assert splits == ["explore"] * 3 + ["confirm"] * 2
    found = studied.judged("faithful", of="C1")
    assert found.verdict == "confirmed"
    assert found.sentence.startswith("Circuit C1 (")
    assert "more than random circuits" in found.because
    assert {one.experiment for one in found.evidence} == {"E4"}
    for head in ("L0.H1", "L1.H2"):
        assert studied.judged("needed", parts=(head,)).verdict == "supported"
    assert in_short(studied.study, studied.findings).endswith("carries induction (confirmed on held-out prompts).")
    assert all(one.status == "supported" for one in studied.study.run.hypotheses)


def test_no_head_is_called_an_artefact_of_a_removal_that_was_not_made(studied: Studied) -> None:
    with Reader.open(studied.path) as reader:
        said = " ".join(str(turn.content) for turn in reader.turns(1))
    assert "zero alone" not in said
    assert "under zero" not in said


def test_a_circuit_that_does_not_exist_or_was_not_tested_is_not_claimed(studied: Studied) -> None:
    with pytest.raises(CannotClaim, match="C9 is not a circuit of R1, which has C1"):
        studied.judged("faithful", of="C9")
    assert studied.judged("faithful", of="C1", task="ioi").verdict == "untested"


def test_a_circuit_that_random_ones_equal_is_not_shown_to_carry_anything(studied: Studied) -> None:
    row = studied.study.experiments["E4"]
    equal = [one._replace(value=0.0, low=-0.1, high=0.1) if one.name == "above_random" else one
             for one in row.measurements]  # fmt: skip
    little = [one._replace(value=0.1, low=0.05, high=0.15) if one.metric == "recovery" else one for one in row.effects]
    changed = {"undecided": row._replace(measurements=equal), "refuted": row._replace(effects=little)}
    for verdict, instead in changed.items():
        rows = {**studied.study.experiments, "E4": instead}
        found = Faithful(task=TASK, of="C1").judge(replace(studied.study, experiments=rows))
        assert found.verdict == verdict, found.text


def test_a_task_without_corrupted_prompts_takes_the_other_course(tmp_path: Path) -> None:
    model = folder_of(tmp_path / "model", num_hidden_layers=1, num_attention_heads=2)
    with Context.open(str(tmp_path / "t.db"), model=str(model)) as context:
        context.task = context.add_task_file(str(own_task(tmp_path / "own.jsonl", model, 60, True))).name
        ending = study(context, Autopilot(), "Which circuit is it?", Budget(), View(None), n=8)
        made = [(e.kind, e.status) for e in context.reader.run(1).experiments]
    assert ending.status == "finished", ending.why
    assert [status for kind, status in made if kind == "circuit_discovery"] == ["failed"]
    assert "layer_program" in dict(made)
