"""Where memory ends, the engine takes smaller pieces, gives the same numbers, and never stops half-way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lashley.experiments import engine
from lashley.experiments.engine.memory import halved, logits_at_once, prompts_at_once, rows_at_once
from lashley.experiments.errors import OutOfMemory
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Part, Site
from lashley.experiments.tasks.batch import Batch
from lashley.tests.test_engine import TOLERANCE, gap
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28], [71, 6, 22, 59, 13], [10, 45, 38, 9, 9, 3]]


def head(layer: int, index: int, **changed: Any) -> Edit:
    return Edit(site=Site(layer=layer, part="z", index=index), **changed)


TRIED = [
    Intervention(name="intact"),
    *(Intervention(name=f"{layer}.{h}", edits=(head(layer, h),)) for layer in range(3) for h in range(4)),
    Intervention(name="mean", edits=(head(1, 2, op="replace", source="mean"),)),
    Intervention(name="frozen", edits=(head(0, 1), Edit(site=Site(layer=2, part="mlp_out"), op="freeze"))),
    Intervention(name="late", edits=(head(1, 0, positions="last"),)),
    Intervention(name="program", program=(0, 2, 1, 1)),
]


@dataclass(frozen=True)
class OfToken:
    """The logits of one token at the column that is read; a prompt of its own number has a token of its own."""

    batch: Batch
    most: int | None = None
    every_column: bool = False

    @property
    def at(self) -> Tensor:
        return torch.zeros(len(self.batch), dtype=torch.long)

    @property
    def tokens(self) -> Tensor:
        return torch.arange(len(self.batch))[:, None] * 3 % 90 + 5

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        if self.most is not None and len(prompts) > self.most:
            raise torch.OutOfMemoryError(f"{len(prompts)} rows are too many")
        return {"logit": logits[:, 0, 0], "prompt": prompts}


def sweep(subject: Subject, batch: Batch, **given: Any) -> dict[str, Tensor]:
    sources = {"mean": engine.mean_source(engine.read(subject, batch, {"z"}), batch)}
    return engine.run(subject, batch, TRIED, given.pop("readout", OfToken(batch)), sources, **given)


@contextmanager
def small_memory(layer: nn.Module, most: int, fault: Exception) -> Iterator[None]:
    """While open, a module fails where more than `most` rows come through it."""

    def refuse(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        given = args[0] if args else kwargs["hidden_states"]
        if given.dim() == 3 and len(given) > most:
            raise fault

    handle = layer.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


FAULTS = [
    torch.OutOfMemoryError("out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
]


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize("memory", [1, 60_000, 200_000])
def test_a_small_budget_changes_no_number(kind: str, memory: int) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    whole, seen = sweep(subject, batch), []
    small = sweep(subject, batch, memory=memory, progress=lambda done, total: seen.append((done, total)))
    assert gap(small["logit"], whole["logit"]) <= TOLERANCE
    assert torch.equal(small["prompt"], torch.arange(len(batch)).float().expand(len(TRIED), -1))
    assert seen == sorted(set(seen))
    assert seen[-1] == (len(TRIED) * len(batch),) * 2


@pytest.mark.parametrize("fault", FAULTS, ids=["device", "cpu"])
@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_what_does_not_fit_is_halved_until_it_does(most: int, fault: Exception) -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    whole, seen = sweep(subject, batch), []
    with small_memory(subject.anatomy.blocks[1].attn, most, fault):
        small = sweep(subject, batch, progress=lambda done, _: seen.append(done))
    assert gap(small["logit"], whole["logit"]) <= TOLERANCE
    assert seen == sorted(set(seen))
    assert seen[-1] == len(TRIED) * len(batch)


@pytest.mark.parametrize("most", [1, 3])
def test_a_readout_that_does_not_fit_is_given_less(most: int) -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    small = sweep(subject, batch, readout=OfToken(batch, most))
    assert gap(small["logit"], sweep(subject, batch)["logit"]) <= TOLERANCE


@pytest.mark.parametrize("most", [1, 4])
def test_text_that_does_not_fit_is_written_in_parts(most: int) -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    whole = engine.generate(subject, batch, TRIED[:3], 4)
    with small_memory(subject.anatomy.blocks[1].o_proj, most, FAULTS[0]):
        assert engine.generate(subject, batch, TRIED[:3], 4) == whole


@pytest.mark.parametrize("given", [False, True])
def test_where_nothing_fits_one_line_says_so(given: bool) -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    clean = engine.read(subject, batch, {"resid_pre", "z", "attn_out", "k", "v", "mlp_out"}) if given else None
    with (
        small_memory(subject.anatomy.blocks[1].attn, 0, FAULTS[0]),
        pytest.raises(OutOfMemory, match=r"^The memory of cpu is too small for one prompt of 6 tokens"),
    ):
        engine.run(subject, batch, TRIED[:3], OfToken(batch), clean=clean)


def test_a_fault_that_is_not_memory_is_not_hidden() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    with (
        small_memory(subject.anatomy.blocks[1].attn, 1, RuntimeError("a wrong shape")),
        pytest.raises(RuntimeError, match="a wrong shape"),
    ):
        engine.run(subject, batch, TRIED[:3], OfToken(batch))


def test_sizes_are_halves_of_what_was_wanted_and_grow_with_the_budget() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS * 13)
    parts: set[Part] = {"resid_pre", "z", "attn_out"}
    assert [halved(13, lambda n, most=most: n <= most) for most in (20, 12, 5, 3, 0)] == [13, 7, 4, 2, 1]
    budgets = [2**k for k in range(10, 34)]
    prompts = [prompts_at_once(subject, batch, parts, b) for b in budgets]
    rows = [rows_at_once(subject, 6, 6, 170, b) for b in budgets]
    logits = [logits_at_once(subject, b) for b in budgets]
    for sizes, most in ((prompts, len(batch)), (rows, 170), (logits, 32_000_000)):
        assert sizes == sorted(sizes)
        assert sizes[0] < 33 < sizes[-1] == most or sizes is logits
    kept = engine.read(subject, batch.rows(0, prompts[10]), parts)
    assert sum(v.nbytes for v in kept.values.values()) <= budgets[10]


MEASURED = """
from lashley.experiments import engine
from lashley.tests.test_memory import TRIED, OfToken
from lashley.tests.peak import peak
from lashley.tests.tiny import batch_of, tiny_subject

subject, tried = tiny_subject("gpt2"), [*TRIED[:4], TRIED[-2]]
batch = batch_of([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]] * 9000)
engine.run(subject, batch.rows(0, 400), tried, OfToken(batch.rows(0, 400)))
begin, budget = peak(), 80_000_000
engine.run(subject, batch, tried, OfToken(batch), memory=budget)
within = peak() - begin
engine.run(subject, batch, tried, OfToken(batch), memory=10**12)
print(budget, within, peak() - begin)
"""


def test_the_memory_that_is_taken_stays_within_the_budget() -> None:
    made = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    budget, within, without = map(int, made.stdout.split())
    # The third number shows that the measure would see it.
    assert within < budget < without, (budget, within, without)
