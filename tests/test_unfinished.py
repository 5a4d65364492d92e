"""An interrupted sweep keeps what it had, and the same sweep goes on from there to the same bits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine import sweep
from lashley.experiments.engine.sources import vector_source
from lashley.experiments.engine.sweep import Kept, chunks_in
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.lab import Lab
from lashley.experiments.model.low_precision import rounded
from lashley.experiments.sites import Site, head
from lashley.tests.processors import WITH_BF16, OnProcessor, on_processor
from lashley.tests.test_processor import deep_lab
from lashley.tests.tiny import batch_of, tiny_subject
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

__all__ = ["on_processor"]
ROWS = [[5, 17, 40, 8, 77, 30, 12], [61, 9, 12, 4], [90, 6, 33, 21, 8, 52]]


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 3])
def test_chunks_that_are_done_are_not_run_again(stop_after: int) -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    removals = [Intervention(name=f"{i}", edits=(Edit(site=head(i // 4, i % 4)),)) for i in range(12)]
    readout = PairReadout(batch)
    whole = engine.run(subject, batch, removals, readout, chunk_tokens=21)["logit_diff"]
    kept: Kept = {}
    told: list[int] = []

    def progress(done: int, total: int) -> None:
        told.append(done)
        if len(told) == stop_after:
            raise Stop

    with pytest.raises(Stop):
        engine.run(subject, batch, removals, readout, chunk_tokens=21, progress=progress, kept=kept)
    assert len(chunks_in(kept)) == stop_after
    # A value that no run gives shows which chunks were taken from what was kept.
    place = next(iter(chunks_in(kept)))
    marked = kept[place]["logit_diff"] + 1000
    kept[place] = {"logit_diff": marked}
    again = engine.run(subject, batch, removals, readout, chunk_tokens=21, kept=kept)["logit_diff"]
    assert int((again > 500).sum()) == len(marked)
    assert torch.equal(torch.where(again > 500, whole, again), whole)


REMOVALS = [Intervention(name=f"{i}", edits=(Edit(site=head(i // 4, i % 4)),)) for i in range(12)]


def swept(kept: Kept | None = None, stop_after: int | None = None) -> torch.Tensor:
    batch, told = batch_of(ROWS), list[int]()

    def progress(done: int, total: int) -> None:
        told.append(done)
        if len(told) == stop_after:
            raise Stop

    return engine.run(tiny_subject("llama"), batch, REMOVALS, PairReadout(batch), progress=progress, kept=kept)[
        "logit_diff"
    ]


def sizes(kept: Kept) -> list[str]:
    return sorted(place.split("+")[1] for place in chunks_in(kept))


def test_what_is_free_meanwhile_changes_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sweep began with twice the memory, all of it goes by that, and has the bits of one that was never
    stopped."""
    free: dict[str, int] = {}
    monkeypatch.setattr(sweep, "free_bytes", lambda _: free["bytes"])
    uninterrupted: dict[int, tuple[torch.Tensor, list[str]]] = {}
    for free["bytes"] in (120_000, 70_000, 30_000):
        all_of_it: Kept = {}
        values = swept(all_of_it)
        uninterrupted[free["bytes"]] = values, sizes(all_of_it)
    assert len({tuple(chunks) for _, chunks in uninterrupted.values()}) == 3
    for now, wanted in ((70_000, 120_000), (30_000, 30_000)):  # of the second there is too little left
        kept: Kept = {}
        free["bytes"] = 120_000
        with pytest.raises(Stop):
            swept(kept, stop_after=2)
        before = set(chunks_in(kept))
        free["bytes"] = now
        values, chunks = uninterrupted[wanted]
        assert torch.equal(swept(kept), values)
        assert sizes({place: v for place, v in kept.items() if wanted == 120_000 or place not in before}) == chunks


@pytest.mark.parametrize("other", ["library", "threads", "precision"])
def test_what_was_begun_with_other_arithmetic_is_not_mixed_in(other: str, on_processor: OnProcessor) -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    lab = Lab(subject, deep_lab().task)
    on_processor(WITH_BF16)
    first = lab.run("heads", batch, REMOVALS, PairReadout(batch))["logit_diff"]
    for places in lab.kept.values():
        for place, values in chunks_in(places).items():
            places[place] = {name: value + 1000 for name, value in values.items()}
    lab.begin(lab.kept)
    assert bool((lab.run("heads", batch, REMOVALS, PairReadout(batch))["logit_diff"] > 500).all())
    lab.begin(lab.kept)
    threads, twin = torch.get_num_threads(), subject
    if other == "library":
        on_processor({**WITH_BF16, "torch_fp32": WITH_BF16["onednn_fp32"] / 2})
    elif other == "precision":
        twin = rounded(subject)
    try:
        torch.set_num_threads(threads + (other == "threads"))
        again = lab.run("heads", batch, REMOVALS, PairReadout(batch), subject=twin)["logit_diff"]
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(again, first, atol=0.5)


SWEEP = ["head_ablation", "--layers", "0,1,2,3", "--n", "16"]


def agent(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from lashley.agent.main import main; main()",
        "experiment",
        *arguments,
        "--db",
        "s.db",
    ]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(tmp_path: Path) -> None:
    running = agent(*SWEEP, folder=tmp_path)
    assert running.stderr is not None
    # It is stopped in the middle: after it has said for the first time how far it is.
    for line in running.stderr:
        if "%" in line:
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130
    with Context.open(str(tmp_path / "s.db")) as context:
        first = context.reader.experiment(1)
        assert first.error_type == "Interrupted"
        assert [a.name for a in first.artifacts] == ["unfinished"]
        said: list[str] = []
        context.say = said.append
        sweep = HeadAblation(layers=[0, 1, 2, 3], n=16)
        resumed = run_experiment(context, sweep)
        fresh = run_experiment(context, sweep, fresh=True)
        assert any("E1" in line for line in said)
        ours, wanted = (context.reader.experiment(number).effects for number in (resumed.number, fresh.number))
        assert ours == wanted
        assert len(ours) == 36
        assert resumed.error is None


def test_a_sweep_that_is_repeated_with_another_source_takes_nothing_from_the_first() -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    lab, width = Lab(subject, deep_lab().task), subject.sizes["d_model"]
    patch = Edit(site=Site(layer=1, part="resid_pre"), op="replace", source="given")

    def given(value: float) -> Tensor:
        source = vector_source(subject, {(1, "resid_pre"): torch.full((width,), value)})
        sweep = [Intervention(name="patch", edits=(patch,))]
        return lab.run("patches", batch, sweep, PairReadout(batch), {"given": source})["logit_diff"]

    first, second = given(0.5), given(-0.5)
    assert not torch.allclose(first, second)
    lab.begin()
    assert torch.equal(given(-0.5), second)
