"""What tells two experiments or two runs apart, by the numbers themselves and in a narrow terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lashley.agent.autopilot.driver import Autopilot
from lashley.agent.live import View
from lashley.agent.main import cli
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.statistics.skewed import mean_interval
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.difference import Setting, Value, experiment_difference, run_difference
from lashley.tools.workbench.run_experiment import run_experiment

ON = {"model": "planted:induction", "task": "induction", "n": 8, "heads": ["L0.H1", "L1.H2"]}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """E1 and E2 under mean and resample, E3 as E1 on other prompts; R1, and R2 with less to spend."""
    path = tmp_path_factory.mktemp("diff") / "s.db"
    with Context.open(str(path), model="planted:induction", task="induction") as context:
        for more in ({"method": "mean"}, {"method": "resample"}, {"method": "mean", "seed": 1}):
            assert run_experiment(context, HeadAblation.model_validate({**ON, **more})).error is None
        for experiments in (40, 5):
            context.run, context.finished = None, False
            study(context, Autopilot(), "Which heads?", Budget(experiments=experiments), View(None), n=8)
    return path


def test_the_same_prompts_are_paired_one_by_one(tracker: Path) -> None:
    with Reader.open(tracker) as reader:
        found = experiment_difference(reader, 1, 2)
        rows = [reader.experiment(number) for number in (1, 2)]
        values, asked = (
            [np.load(io.BytesIO(reader.artifact(number, name))) for number in (1, 2)]
            for name in ("logit_diff", "questions")
        )
    assert found.same_prompts
    assert found.settings == [Setting("method", ["mean", "resample"])]
    for place, effect in enumerate(found.effects):
        a, b = (row.effects[place] for row in rows)
        assert effect.name == f"{a.site} logit_diff"
        assert effect.difference == b.value - a.value
        moved = [one[1 + place].astype(float) - one[0] for one in values]
        value, low, high = mean_interval(moved[1] - moved[0], [str(one) for one in asked[0]])
        assert effect.paired == Value(value, low, high, 8)
        assert effect.paired.value == pytest.approx(effect.difference, abs=1e-5)


def test_other_prompts_are_not_paired(tracker: Path) -> None:
    with Reader.open(tracker) as reader:
        found, back = experiment_difference(reader, 1, 3), experiment_difference(reader, 3, 1)
    assert not found.same_prompts
    assert [row.paired for row in found.effects] == [None, None]
    for row, other in zip(found.effects, back.effects, strict=True):
        a, b = row.values
        assert row.overlap == (max(a.low, b.low) <= min(a.high, b.high))
        assert other.difference == -row.difference


def test_nothing_tells_a_thing_from_itself(tracker: Path) -> None:
    with Reader.open(tracker) as reader:
        one, run = experiment_difference(reader, 1, 1), run_difference(reader, 1, 1)
    assert one.settings == run.settings == []
    assert {row.difference for row in one.effects} == {0.0}
    assert run.steps == [[], []]
    assert run.experiments.alone == [[], []]
    assert all(row.verdicts[0] == row.verdicts[1] for row in run.hypotheses)
    assert all(row.in_ == [True, True] for row in run.claims)


def test_runs_part_where_one_had_no_more_to_spend(tracker: Path) -> None:
    with Reader.open(tracker) as reader:
        found = run_difference(reader, 1, 2)
        replies = [[t.content for t in reader.turns(run) if t.role == "assistant"] for run in (1, 2)]
    assert Setting("budget experiments", [40, 5]) in found.settings
    same = found.same_steps
    assert 0 < same < len(replies[0])
    names = [[[call["name"] for call in reply["calls"]] for reply in path] for path in replies]
    assert names[0][:same] == names[1][:same]
    assert [len(path) for path in found.steps] == [len(path) - same for path in replies]


@pytest.mark.parametrize("words", [("E1", "E2"), ("E1", "E3", "--all"), ("R1", "R2"), ("R2", "R1", "--all")])
def test_it_fits_eighty_columns(tracker: Path, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, ["diff", *words, "--db", str(tracker)], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    told = CliRunner().invoke(cli, ["diff", *words, "--db", str(tracker), "--json"])
    assert json.loads(told.stdout)["ids"] == list(words[:2])


@pytest.mark.parametrize("words", [("E1", "R1"), ("N1", "N1"), ("E1", "E99")])
def test_what_cannot_be_compared_is_one_line(tracker: Path, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, ["diff", *words, "--db", str(tracker)])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_it_loads_no_torch(tracker: Path) -> None:
    code = (
        "import sys\nfrom lashley.agent.main import cli\n"
        f"cli.main(['diff', 'E1', 'E2', '--db', {str(tracker)!r}], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
