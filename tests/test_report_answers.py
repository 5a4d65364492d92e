"""The classes of answers before and after an intervention, as a table of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lashley.db import records
from lashley.db.read.reader import Reader
from lashley.db.records import Experiment
from lashley.db.write.store import Store
from lashley.experiments.result import Effect, Figure, Result
from lashley.tests.reported import add
from lashley.tools.report.answers import answer_classes
from lashley.tools.report.render import Report, render

from .recorded import made

DATA = {"bars": ["intact", "L7.H3 zero"], "labels": ["correct", "off_by_one"], "counts": [[30, 2], [11, 21]]}


def figure(data: dict[str, Any]) -> Figure:
    return Figure(name="failures", kind="stacked_bars", title="Answers", unit="answers", n=32, data=data)


def reported(path: Path, data: dict[str, Any]) -> Report:
    shares = (("correct", -0.594, -0.75, -0.39), ("off_by_one", 0.594, 0.39, 0.75))
    effects = (
        Effect(site="L7.H3", metric="logit_diff", value=-2.5, low=-3.0, high=-2.0, n=32, p=0.001, q=0.001),
        *(Effect(site=f"answers {c}", metric="answer_share", value=v, low=a, high=b, n=32) for c, v, a, b in shares),
    )
    with Store.open(path) as store:
        about: dict[str, Any] = {"llm": None, "model": "smollm2-135m", "task": "arithmetic", "seed": 0, "budget": {}}
        run = store.begin_run(goal="Which heads add?", driver="autopilot", environment={}, **about)
        add(store, run, "head_ablation", Result(effects=effects, figures=(figure(data),), found="Found."))
    with Reader.open(path) as reader:
        return render("", reader, run)


def test_failures_before_and_after_are_a_table(tmp_path: Path) -> None:
    report = reported(tmp_path / "t.db", DATA)
    lines = report.markdown.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("| E1: answers | intact | L7.H3 zero |"))
    assert lines[at + 2].startswith("| correct | 30 | 11 | −0.594 | \\[−0.750,")
    assert lines[at + 3].startswith("| off by one | 2 | 21 | 0.594 | \\[0.390,")
    assert '<td>off by one</td><td class="num">2</td><td class="num">21</td>' in report.html
    # What the table shows is not said to be hidden in the tracker.
    assert "more effects" not in report.markdown


@pytest.mark.parametrize("data", [DATA | {"counts": [[30, 2]]}, {"bars": ["intact"]}])
def test_a_figure_of_another_shape_makes_no_table(tmp_path: Path, data: dict[str, Any]) -> None:
    assert answer_classes(made(Experiment, figures=[records.Figure(**figure(data).model_dump())], effects=[])) is None
    assert "answers |" not in reported(tmp_path / "t.db", data).markdown
