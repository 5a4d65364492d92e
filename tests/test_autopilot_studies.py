"""The autopilot studies tiny subjects of every odd shape, from the goal to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lashley.agent.autopilot.driver import Autopilot
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import Ending, study
from lashley.db.read.reader import Reader
from lashley.tools.workbench.context import Context

from .tiny import tiny_model, tiny_tokenizer

Data = dict[str, Any]


def folder_of(path: Path, **changed: Any) -> Path:
    tiny_model("llama", **changed).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


def own_task(path: Path, model: Path, lines: int, distractor: bool) -> Path:
    """Prompts that the tiny subject answers rightly, for the answer is what it says."""
    from transformers import AutoModelForCausalLM

    subject: Any = AutoModelForCausalLM.from_pretrained(model)
    draw = torch.Generator().manual_seed(1)
    written: list[str] = []
    for i in range(lines):
        ids = torch.cat([torch.tensor([3 + i % 90]), torch.randint(3, 96, (5,), generator=draw)])
        with torch.no_grad():
            best = [int(t) for t in subject(ids[None]).logits[0, -1].topk(8).indices if t > 2]
        line = {"text": " ".join(f"w{int(t)}" for t in ids), "answer": f" w{best[0]}"}
        written.append(json.dumps({**line, "distractor": f" w{best[1]}"} if distractor else line))
    path.write_text("\n".join(written))
    return path


def whole_study(tmp_path: Path, n: int, distractor: bool, **changed: Any) -> tuple[Ending, Reader]:
    model = folder_of(tmp_path / "model", **changed)
    with Context.open(str(tmp_path / "t.db"), model=str(model)) as context:
        context.task = context.add_task_file(str(own_task(tmp_path / "own.jsonl", model, 60, distractor))).name
        ending = study(context, Autopilot(), "What is needed?", Budget(), View(None), n=n)
    return ending, Reader.open(tmp_path / "t.db")


@pytest.mark.parametrize(
    ("n", "distractor", "changed"),
    [
        (16, True, {"num_hidden_layers": 2}),
        (4, False, {"num_hidden_layers": 3}),
        (12, False, {"num_hidden_layers": 1, "num_attention_heads": 2}),
    ],
)
def test_a_tiny_subject_is_studied_to_its_report(tmp_path: Path, n: int, distractor: bool, changed: Data) -> None:
    ending, reader = whole_study(tmp_path, n, distractor, **changed)
    assert ending.status == "finished", ending.why
    assert not ending.report_by_program
    run = reader.run(1)
    assert all(e.status == "done" for e in run.experiments)
    metrics = {e.config.get("metric") for e in map(reader.experiment, range(1, len(run.experiments) + 1))}
    assert ("logit_diff" in metrics) == distractor
    if n == 4:
        assert {h.status for h in run.hypotheses} <= {"inconclusive", "refuted"}, "four prompts support nothing"


def test_a_task_that_the_tokenizer_cannot_carry_is_left_for_the_next(tmp_path: Path) -> None:
    """The subject does no task; the tokenizer carries few of them; and the report says both."""
    model = folder_of(tmp_path / "model", num_hidden_layers=1)
    with Context.open(str(tmp_path / "t.db"), model=str(model), task="greater_than") as context:
        ending = study(context, Autopilot(), "What is needed?", Budget(experiments=200), View(None), n=4)
        assert (ending.status, ending.report_by_program) == ("finished", False), ending.why
        turns = [turn.content for turn in context.reader.turns(1)]
        report = context.reader.latest_report(1)
    refused = [turn["text"] for turn in turns if turn["role"] == "tool" and "does not fit" in turn["text"]]
    assert "'greater_than'" in refused[0]
    assert report is not None
    assert "Tasks that could not be put to this subject: `greater_than`" in report.source
