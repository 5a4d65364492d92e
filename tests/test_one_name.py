"""One number has one name: the sweep's name is read in the experiment that makes this change alone, ranks are ranks,
and the subject's sizes have slots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lashley.agent.study.replay import in_all
from lashley.db.records import Experiment
from lashley.experiments.kinds.registry import kinds
from lashley.tools.evidence.quantity import NoQuantity, read
from lashley.tools.evidence.same_number import changes, only_effect
from lashley.tools.replay.experiments_of_run import Repeated
from lashley.tools.report.slots import SlotError, fill, parse
from lashley.tools.report.study import read_study
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.experiment_text import experiment_text
from lashley.tools.workbench.run_experiment import run_experiment

MODEL = "planted:induction"


def measured(context: Context, kind: str, **settings: Any) -> Experiment:
    done = run_experiment(context, kinds()[kind](model=MODEL, task="induction", n=4, **settings))
    assert done.error is None
    return context.reader.experiment(done.number)


@pytest.fixture
def context(tmp_path: Path) -> Any:
    with Context.open(str(tmp_path / "t.db"), model=MODEL, task="induction") as opened:
        opened.run = opened.store.begin_run(
            goal="g", driver="chat", llm="x", model=MODEL, task="induction", seed=0, budget={}, environment={}
        )
        yield opened


def test_an_effect_of_a_sweep_is_read_in_the_program_that_makes_this_change(context: Context) -> None:
    sweep = measured(context, "layer_program", sweep="skip_each")
    program = measured(context, "layer_program", program="0")
    found = read(program, "effect[skip L1]")
    assert found.value == pytest.approx(read(sweep, "effect[skip L1]").value, abs=1e-5)
    assert found.value == read(program, "loss_increase").value
    assert (found.low, found.high, found.n) != (None, None, None)
    for wrong in ("effect[skip L0]", "effect[repeat L1]"):
        with pytest.raises(NoQuantity):
            read(program, wrong)
    study = read_study(context.reader, 1)
    (slot,) = parse(f"{{{{{program.id}.effect[skip L1]}}}}")
    (same,) = parse(f"{{{{{program.id}.loss_increase}}}}")
    assert fill(slot, study).text == fill(same, study).text


def test_the_name_of_a_change_needs_every_other_layer_in_order() -> None:
    assert changes("0-4, 6-29", 30) == ["skip L5"]
    # Layer 29 is left out too.
    assert changes("0-4, 6-28", 30) == []
    assert changes("0-5, 5-29", 30) == ["repeat L5"]
    assert changes("0-4, 6, 5, 7-29", 30) == ["swap L5"]
    assert changes("0-28", 30, "first") == ["skip L29@first"]
    assert changes("29-0", 30) == []


def test_a_number_that_is_the_only_effect_is_printed_once_with_both_names(context: Context) -> None:
    one = measured(context, "head_ablation", heads=["L1.H2"], together=True)
    assert only_effect([e for e in one.effects if e.metric == "logit_diff"], one.measurements) == "logit_diff_change"
    text = experiment_text(one)
    assert text.count("  logit_diff_change = effect[L1.H2] ") == 1
    assert "Effects on" not in text
    ranks = {m.name: m for m in one.measurements}
    rank = ranks["control_rank"]
    assert f"  control_rank {rank.value:g} of {rank.n} " in text
    # By size, the same order as by damage here.
    assert f"(rank {rank.value:g} of {rank.n} by size, with its controls)" in text
    assert "identity 0 logits, n = 4 (must be 0)" in text


def test_a_sweep_gives_ranks_and_a_percentile_only_with_other_controls(context: Context) -> None:
    whole = experiment_text(measured(context, "head_ablation"))
    assert "by size, rank 1-2 of 8" in whole
    assert "percentile" not in whole
    assert "of its controls" not in whole
    part = experiment_text(measured(context, "head_ablation", heads=["L1.H2", "L1.H1"]))
    assert "larger than 85.7% of its controls" in part


def test_the_sizes_of_the_subject_have_slots(context: Context) -> None:
    one = measured(context, "baseline")
    study = read_study(context.reader, 1)
    for name, size in {"layers": "2", "heads": "4", "d_model": "256", "vocabulary": "60"}.items():
        (slot,) = parse(f"{{{{{one.id}.subject.{name}}}}}")
        assert fill(slot, study).text == size
    (slot,) = parse(f"{{{{{one.id}.subject.n_layers}}}}")
    with pytest.raises(SlotError, match=r"subject\.layers or subject\.heads"):
        fill(slot, study)


def test_the_progress_of_a_replay_counts_all_experiments_together(context: Context) -> None:
    for n in (4, 5, 6):
        run_experiment(context, kinds()["baseline"](model=MODEL, task="induction", n=n))
    row = context.reader.run(1)
    seconds = [one.seconds or 0.0 for one in row.experiments]
    assert len(seconds) == 3
    repeated = Repeated(context.reader, context.store, fast=True)  # pyright: ignore[reportArgumentType]
    said: list[tuple[str, int, int]] = []
    progress = in_all(lambda *one: said.append(one), row, repeated)
    for done in range(3):
        repeated.experiments = done
        for _ in range(2):  # two sweeps in one experiment
            progress("a sweep", 1, 2)
            progress("a sweep", 2, 2)
    assert {what for what, _, _ in said} == {"All 3 experiments of R1"}
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)
    assert said[-1][1:] == (round(1000 * sum(seconds)),) * 2
    assert said[4][1] == round(1000 * (seconds[0] + seconds[1] / 2))
