"""An experiment that fails is a row with a typed error and an answer; the process, and the study, go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.tools.registry import Answer, all_tools, answer
from lashley.tools.workbench.context import Context

from .studies import Scripted, studied

PLANTED = "planted:induction"


def called(context: Context, kind: str, **given: Any) -> Answer:
    return answer(all_tools(), context, kind, json.dumps({"n": 64, "reason": "x", **given}))


def at_work(folder: Path) -> Context:
    return Context.open(str(folder / "t.db"), model=PLANTED, task="induction")


def test_one_that_takes_too_long_stops_and_the_same_call_goes_on(tmp_path: Path) -> None:
    with at_work(tmp_path) as context:
        context.experiment_minutes = 1e-9
        late = called(context, "head_ablation")
        assert late.refused
        assert "because an experiment may take 1e-09" in late.text
        row = context.reader.experiment(1)
        assert (row.status, row.error_type) == ("failed", "TooLong")
        assert [a.name for a in row.artifacts] == ["unfinished"]
        said: list[str] = []
        context.say, context.experiment_minutes = said.append, 60
        assert not called(context, "head_ablation").refused
        assert any("Resuming E1" in line for line in said)
        ours = context.reader.experiment(2).effects
    with Context.open(str(tmp_path / "other.db"), model=PLANTED, task="induction") as context:
        assert not called(context, "head_ablation").refused
        assert context.reader.experiment(1).effects == ours


def test_one_that_is_done_at_its_limit_is_done(tmp_path: Path) -> None:
    """Nothing is left to save by stopping it."""
    with at_work(tmp_path) as context:
        context.experiment_minutes = 1e-9
        assert not called(context, "baseline", n=2).refused
        assert context.reader.experiment(1).status == "done"


def test_numbers_that_are_none_are_an_error_and_no_result(tmp_path: Path) -> None:
    with at_work(tmp_path) as context:
        unembedding = context.subject(PLANTED).model.get_output_embeddings()
        assert unembedding is not None
        head = unembedding.weight
        whole = head.detach().clone()
        with torch.no_grad():
            head.fill_(torch.nan)
        failed = called(context, "head_ablation")
        assert failed.refused
        assert "NaN" in failed.text
        row = context.reader.experiment(1)
        assert (row.status, row.error_type) == ("failed", "NotANumber")
        assert row.measurements == row.effects == []
        with torch.no_grad():
            head.copy_(whole)
        assert not called(context, "head_ablation", seed=1).refused


SHORT_OF_MEMORY = """
import json, resource, sys, torch
from lashley.tools.workbench.context import Context
from lashley.tools.registry import all_tools, answer

def used():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024

tools, more = all_tools(), int(sys.argv[1])
with Context.open("t.db") as context:
    given = {"n": 2, "reason": "x", "method": "zero", "heads": ["L0.H0"]}
    assert not answer(tools, context, "head_ablation", json.dumps(given)).refused
    resource.setrlimit(resource.RLIMIT_AS, (used() + more, resource.RLIM_INFINITY))
    # What the process had freed and kept would serve, too.
    taken = []
    for size in (1 << 24, 1 << 20, 1 << 16):
        try:
            while True:
                taken.append(torch.empty(size, dtype=torch.uint8))
        except RuntimeError:
            pass
    del taken[-more // (1 << 16) :]
    print(answer(tools, context, "head_ablation", json.dumps({**given, "n": 4})).text)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    taken.clear()
    again = answer(tools, context, "head_ablation", json.dumps({**given, "n": 4}))
    print(again.refused, [(e.status, e.error_type) for e in context.reader.experiments()])
"""


def test_where_memory_ends_the_process_lives_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, "2000000"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said, rows = done.stdout.strip().splitlines()
    assert said.startswith("E2 failed: The memory of cpu is too small")
    assert rows == "False [('done', None), ('failed', 'OutOfMemory'), ('done', None)]"


LAID_OUT = """
import resource, torch
from lashley.experiments.model.kernels import FastLinear, can_be_laid_out, laid_out
torch.set_num_threads(1)
with torch.inference_mode():
    modules, x = [FastLinear(1024, 1024) for _ in range(30)], torch.randn(4, 1024)
    with laid_out(modules):
        wanted = modules[0](x)
        assert all((m.laid_out is not None) == can_be_laid_out(m) for m in modules)
    used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, resource.RLIM_INFINITY))
    with laid_out(modules):
        assert all(m.laid_out is None for m in modules)
        assert torch.equal(modules[0](x), wanted)
"""


def test_where_weights_cannot_be_laid_out_they_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", LAID_OUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_study_goes_on_after_what_fails() -> None:
    told: list[Data] = []

    def protocol(_: Data) -> Protocol:
        told.clear()
        told.append((yield "Too long.", "head_ablation", {"n": 64, "reason": "x"}))
        told.append((yield "Not there.", "head_ablation", {"heads": ["L99.H0"], "reason": "x"}))
        told.append((yield "Short.", "baseline", {"n": 2, "reason": "x"}))
        yield "The end.", "write_report", {"title": "T", "claims": [], "interpretation": "Nothing."}

    study = studied(PLANTED, "induction", protocol=protocol, experiment_minutes=1e-9)
    assert study.status == "finished"
    assert study.experiments == 2
    assert "It was stopped after" in told[0]["text"]
    assert "no layer 99" in told[1]["text"]
    assert told[2]["id"] == "E2"


def test_one_that_fails_in_a_test_is_not_charged(tmp_path: Path) -> None:
    """It gave no result, so the budget is left for another; and it is left for a failure outside a test, too."""
    said: dict[str, str] = {}

    def protocol(data: Data) -> Protocol:
        yield "", "baseline", {"n": 2, "reason": "Look."}
        config = json.dumps({"heads": ["L1.H2"], "n": 64, "method": "mean"})
        prediction = {"kind": "head_ablation", "config": config, "quantity": "effect[L1.H2]", "comparison": "below",
                      "low": None, "high": -2.0}  # fmt: skip
        given = {"statement": "It is needed.", "rationale": "It may be.", "refuted_if": "It is not."}
        yield "", "propose_hypothesis", {**given, "predictions": [prediction]}
        said["test"] = (yield "", "test_hypothesis", {"hypothesis": "H1"})["text"]
        said["alone"] = (yield "", "head_ablation", {"n": 64, "reason": "Look."})["text"]
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    driver = Scripted(protocol)
    driver.llm = "writer"
    with at_work(tmp_path) as context:
        ending = study(context, driver, "Which heads?", Budget(experiments=3, experiment_minutes=1e-9), View(None), n=2)
        assert ending.status == "finished"
        rows = [context.reader.experiment(number) for number in (1, 2, 3)]
        assert [(row.status, row.error_type) for row in rows] == [
            ("done", None), ("failed", "TooLong"), ("failed", "TooLong")
        ]  # fmt: skip
        assert context.reader.experiments_spent(1) == 1
        assert context.reader.run(1).spent["experiments"] == 1
    assert "E2 failed, so" in said["test"]
    for text in said.values():
        assert "(Left: 2 of 3 experiments" in text
