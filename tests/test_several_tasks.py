"""One experiment, or one prediction, on several tasks: an experiment of its own for each, a table, and differences."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from lashley.agent.main import cli
from lashley.db.read.reader import Reader
from lashley.experiments.statistics.differences import Estimate, difference, ratio
from lashley.experiments.statistics.skewed import mean_interval
from lashley.tests.test_request_size import studied
from lashley.tests.wire import Wire
from lashley.tools.registry import all_tools, answer, tasks_of_call
from lashley.tools.workbench.across_tasks import differences, numbers_of
from lashley.tools.workbench.context import Context

PLANTED = "planted:induction"
SHUFFLED = "induction~shuffled"
SWEEP = {"sweep": "exact", "n": 8, "reason": "x"}

finite = st.floats(-100, 100, allow_subnormal=False)
widths = st.floats(0.001, 50)
estimates = st.builds(lambda v, a, b: Estimate(v, v - a, v + b), finite, widths, widths)


def called(context: Context, name: str, **given: Any) -> Any:
    return answer(all_tools(), context, name, json.dumps(given))


def halves(folder: Path) -> list[str]:
    """Two files with the same kind of prompts, and no question in both."""
    from lashley.experiments.model.loading import load
    from lashley.experiments.tasks.registry import tasks

    found = tasks()["induction"].for_tokenizer(load(PLANTED).tokenizer).prompts(48)
    made: list[str] = []
    for name, prompts in (("odd_words", found[1::2]), ("even_words", found[::2])):
        rows = [{"text": p.text, "answer": p.answer, "distractor": p.distractor, "key": p.key} for p in prompts]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        made.append(str(folder / f"{name}.jsonl"))
    return made


# --- differences and ratios of two estimates


@given(estimates, estimates)
def test_a_difference_of_independent_estimates_combines_the_sides_in_quadrature(a: Estimate, b: Estimate) -> None:
    found, wide = difference(a, b, independent=True), difference(a, b, independent=False)
    assert found.value == wide.value == a.value - b.value
    assert (found.value - found.low) ** 2 == pytest.approx((a.value - a.low) ** 2 + (b.high - b.value) ** 2, rel=1e-6)
    assert wide.low == pytest.approx(a.low - b.high, abs=1e-9)
    assert wide.high == pytest.approx(a.high - b.low, abs=1e-9)
    assert wide.low - 1e-9 <= found.low <= found.value <= found.high <= wide.high + 1e-9
    mirrored = difference(b, a, independent=True)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high))


@given(estimates, st.floats(1, 100), st.floats(0.01, 0.9), st.sampled_from([-1.0, 1.0]))
def test_a_ratio_has_every_value_that_the_difference_does_not_contradict(
    a: Estimate, size: float, part: float, sign: float
) -> None:
    b = Estimate(size, size * (1 - part), size * (1 + part)).times(sign)
    found, wide = ratio(a, b, independent=True), ratio(a, b, independent=False)
    assert found.value == pytest.approx(a.value / b.value)
    corners = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
    assert (wide.low, wide.high) == (min(corners), max(corners))
    assert wide.low - 1e-9 <= found.low <= found.high <= wide.high + 1e-9

    # The slow way: a root of the end of the difference one - r * other, looked for by another search.
    def outside(r: float) -> float:
        rest = difference(a, b.times(r), independent=True)
        return max(rest.low, -rest.high)

    for end, far in ((found.low, min(corners) - 1), (found.high, max(corners) + 1)):
        assert outside(far) > 0
        assert end == pytest.approx(brentq(outside, found.value, far, xtol=1e-12), abs=1e-6, rel=1e-6)


def test_a_ratio_to_what_may_be_zero_is_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        ratio(Estimate(1, 0.5, 1.5), Estimate(0.1, -0.1, 0.3), independent=True)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_of_a_difference_holds_the_truth(skewed: bool) -> None:
    """2000 pairs of tasks with 16 and 32 questions whose true means differ by a known amount."""
    rng = np.random.default_rng(5)
    draw = rng.exponential if skewed else (lambda mean, size: rng.normal(mean, 1.0, size))
    one, other = draw(1.0, size=(2000, 16)), 2 * draw(1.0, size=(2000, 32))
    ends = [mean_interval(each) for each in (one, other)]
    truth = -1.0
    found = [
        difference(Estimate(*map(float, a)), Estimate(*map(float, b)), independent=True)
        for a, b in zip(zip(*ends[0], strict=True), zip(*ends[1], strict=True), strict=True)
    ]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.93 <= held <= 0.995
    if not skewed:
        # Welch's interval, from the two standard errors, is as wide up to the small-sample factors.
        error = [math.hypot(a.std(ddof=1) / 4, b.std(ddof=1) / math.sqrt(32)) for a, b in zip(one, other, strict=True)]
        width = np.mean([(each.high - each.low) / 2 for each in found]) / np.mean(error)
        assert 1.96 < width < 2.6


# --- one call


def test_a_call_on_several_tasks_logs_one_experiment_for_each_and_answers_with_a_table(tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "t.db"), model=PLANTED, task="induction") as context:
        two = [context.add_task_file(file).name for file in halves(tmp_path)]
        said = called(context, "head_ablation", **SWEEP, task=f"{two[0]}, {two[1]}, open_prompts, no_such_task")
        assert not said.refused, said.text
        rows = [context.reader.experiment(number) for number in (1, 2)]
        assert [row.task for row in rows] == two
        assert [said.data["tasks"][task]["id"] for task in two] == ["E1", "E2"]
        assert {*said.data["failed"]} == {"open_prompts", "no_such_task"}
        assert "Not done on open_prompts: The prompts of open_prompts have no answer" in said.text
        assert said.data["failed"]["no_such_task"]["code"] == "unknown_name"
        # Each row of the table has the numbers of the two experiments.
        sites = [effect.site for effect in rows[0].effects if effect.value or rows[1].effects]
        for site in ("L0.H1", "L1.H2"):
            (line,) = [one for one in said.text.splitlines() if one.startswith(f"{site} | ")]
            cells = [float(cell.split(" [")[0].replace("−", "-")) for cell in line.split(" | ")[1:]]
            values = [next(e.value for e in row.effects if e.site == site) for row in rows]
            assert cells == pytest.approx(values, rel=0.01)
        assert sites
        # The prompts share no question, so the differences are those of independent estimates.
        apart = differences(rows, context.reader)
        assert {one.independent for one in apart} == {True}
        one = next(each for each in apart if each.name == "effect[L0.H1]")
        a, b = (numbers_of(row)["effect[L0.H1]"] for row in rows)
        half = math.hypot(a.value - float(a.low or 0), float(b.high or 0) - b.value)
        assert one.value - one.low == pytest.approx(half)
        assert one.q >= one.p

        # The same call finds both, and runs nothing.
        again = called(context, "head_ablation", **SWEEP, task=", ".join(two))
        assert "Found in the tracker, so no new evidence: E1, E2." in again.text
        assert len(context.reader.experiments()) == 2
        # A task that every one refuses is a refusal.
        refused = called(context, "head_ablation", **SWEEP, task="open_prompts, no_such_task")
        assert refused.refused
        assert "It ran on none of these tasks" in refused.text


def test_tasks_that_share_questions_get_the_wider_interval(tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "t.db"), model=PLANTED, task="induction") as context:
        said = called(context, "head_ablation", **SWEEP, task=f"induction, {SHUFFLED}")
        assert "tasks that may share questions" in said.text
        rows = [context.reader.experiment(number) for number in (1, 2)]
        one = next(d for d in differences(rows, context.reader) if d.name == "effect[L0.H1]")
        a, b = (numbers_of(row)["effect[L0.H1]"] for row in rows)
        assert (one.low, one.high) == pytest.approx((float(a.low or 0) - float(b.high or 0),
                                                     float(a.high or 0) - float(b.low or 0)))  # fmt: skip


def test_how_many_experiments_a_call_runs() -> None:
    assert tasks_of_call('{"task": "ioi, capitals,ioi"}') == 2
    assert tasks_of_call('{"task": null}') == tasks_of_call("{}") == tasks_of_call("no JSON") == 1
    assert tasks_of_call('{"task": ["ioi"]}') == 1


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_study_on_several_tasks_predicts_reports_by_task_and_replays(wire: Wire, tmp_path: Path, api: str) -> None:
    sweep = ("head_ablation", {**SWEEP, "task": f"induction, {SHUFFLED}"})
    config = json.dumps({"heads": ["L1.H2"], "task": f"induction, {SHUFFLED}", "method": "zero", "n": 16})
    one = {"kind": "head_ablation", "config": config, "quantity": "effect[L1.H2]", "comparison": "below", "high": -5}
    words = {"statement": "L1.H2 is needed.", "rationale": "It was seen.", "refuted_if": "Nothing is lost."}
    many = ("baseline", {"task": ",".join(["induction"] * 2 + [f"t{i}" for i in range(45)]), "reason": "x"})
    bodies = studied(
        wire, tmp_path, api, sweep, ("propose_hypothesis", {**words, "predictions": [one]}),
        ("test_hypothesis", {"hypothesis": "H1"}), many,
    )  # fmt: skip
    sent = bodies[-1].get("messages") or bodies[-1]["input"]
    answers = [m.get("content") or m.get("output") for m in sent
               if m.get("role") == "tool" or m.get("type") == "function_call_output"]  # fmt: skip
    assert "E1 induction (n = 8), E2 induction~shuffled (n = 8)" in answers[0]
    assert "with 2 predictions" in answers[1]
    assert "(Left: 36 of 40 experiments.)" in answers[2]
    assert "By task: induction " in answers[2]
    assert "The call runs 46 experiments, one for each task, and 36 are left." in answers[3]
    with Reader.open(tmp_path / "t.db") as reader:
        (hypothesis,) = reader.hypotheses(1)
        assert [one.config["task"] for one in hypothesis.predictions] == ["induction", SHUFFLED]
        assert hypothesis.status == "refuted"
        assert len(reader.experiments(run=1)) == 4
    (report,) = (tmp_path / "reports").rglob("*.md")
    text = report.read_text()
    assert "By task: induction supported, induction\\~shuffled refuted." in text
    assert "head\\_ablation on induction\\~shuffled" in text
    said = CliRunner().invoke(cli, ["replay", "R1", "--db", str(tmp_path / "t.db")], catch_exceptions=False)
    assert said.exit_code == 0, said.output


def test_the_command_names_several_tasks_with_commas_or_by_repeating(tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        command = [
            "experiment",
            "head_ablation",
            "--model",
            PLANTED,
            "--n",
            "8",
            "--sweep",
            "--db",
            str(tmp_path / "t.db"),
        ]
        return CliRunner().invoke(cli, [*command, *words], catch_exceptions=False)

    said = run("--task", f"induction,{SHUFFLED}")
    assert said.exit_code == 0
    assert f"E1 induction (n = 8), E2 {SHUFFLED} (n = 8)" in said.stdout
    repeated = run("--task", "induction", "--task", SHUFFLED, "--json")
    whole = json.loads(repeated.stdout)
    assert [whole["tasks"][task]["id"] for task in ("induction", SHUFFLED)] == ["E1", "E2"]
    assert {"name", "value", "low", "high", "q"} <= {*whole["differences"][0]}
    part = run("--task", "induction", "--task", "open_prompts")
    assert part.exit_code == 1
    assert "Error: open_prompts: The prompts of open_prompts have no answer" in part.stderr
    predicted = run("--task", f"induction,{SHUFFLED}", "--heads", "L1.H2", "--predict", "effect[L1.H2] < -5")
    assert predicted.exit_code == 1
