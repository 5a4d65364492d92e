"""A long sweep has its weights in memory a second time, laid out for oneDNN: the same bits, and gone afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lashley.experiments import engine
from lashley.experiments.engine import memory
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.kernels import can_be_laid_out
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site
from lashley.tests.test_memory import ROWS, TRIED, OfToken, sweep
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ENOUGH = 10**9


def projections(subject: Subject) -> list[nn.Module]:
    return [m for block in subject.anatomy.blocks for m in block.layer.modules() if can_be_laid_out(m)]


def copies(subject: Subject) -> Iterator[Tensor]:
    return (m.laid_out for m in projections(subject) if isinstance(m.laid_out, Tensor))


def none_left(subject: Subject, seen: list[weakref.ref[Tensor]]) -> bool:
    return not list(copies(subject)) and all(copy() is None for copy in seen)


@pytest.fixture(params=SAMPLED)
def subject(request: pytest.FixtureRequest) -> Subject:
    subject = tiny_subject(request.param)
    if not projections(subject):
        pytest.skip("this torch has no oneDNN beside MKL, so nothing is laid out")
    return subject


@pytest.mark.parametrize("chunk_tokens", [None, 13])
def test_a_sweep_has_the_same_bits_and_leaves_nothing_behind(
    subject: Subject, chunk_tokens: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, seen = batch_of(ROWS), []
    pattern = Edit(site=Site(layer=1, part="pattern", index=1))
    more = [*TRIED, Intervention(name="pattern", edits=(pattern,))]
    limits: dict[str, Any] = {"memory": ENOUGH, "chunk_tokens": chunk_tokens}

    def swept() -> list[dict[str, Tensor]]:
        edges = engine.run(subject, batch, [more[0], more[-1]], OfToken(batch), **limits)
        return [sweep(subject, batch, progress=lambda *_: seen.extend(map(weakref.ref, copies(subject))), **limits),
                edges]  # fmt: skip

    wanted = swept()
    assert not seen
    monkeypatch.setattr(memory, "LAID_OUT_TOKENS", 0)
    found = swept()
    assert len(seen) >= len(projections(subject))
    assert none_left(subject, seen)
    for one, other in zip(found, wanted, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)


@dataclass(frozen=True)
class Failing(OfToken):
    """Notes the copies that are there, then fails."""

    subject: Subject | None = None
    seen: tuple[list[weakref.ref[Tensor]], ...] = ()

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        assert self.subject is not None
        self.seen[0].extend(map(weakref.ref, copies(self.subject)))
        raise ArithmeticError("nothing to measure")


def test_after_an_error_nothing_is_left(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, seen = batch_of(ROWS), []
    monkeypatch.setattr(memory, "LAID_OUT_TOKENS", 0)
    with pytest.raises(ArithmeticError, match="nothing to measure"):
        engine.run(subject, batch, TRIED[:3], Failing(batch, subject=subject, seen=(seen,)), memory=ENOUGH)
    assert len(seen) == len(projections(subject))
    assert none_left(subject, seen)


def test_it_is_done_where_it_pays_and_fits(subject: Subject) -> None:
    enough = memory.LAID_OUT_TOKENS
    found, left = memory.to_lay_out(subject, enough, ENOUGH)
    assert found == projections(subject)
    needed = sum(m.weight.nbytes for m in found if isinstance(m.weight, Tensor))
    assert left == ENOUGH - needed
    assert memory.to_lay_out(subject, enough - 1, ENOUGH) == ([], ENOUGH)
    # Narrowed runs have smaller products, and gain by it earlier.
    assert memory.to_lay_out(subject, enough // 2, ENOUGH, narrowed=True) == (found, left)
    assert memory.to_lay_out(subject, enough, 4 * needed - 1) == ([], 4 * needed - 1)
