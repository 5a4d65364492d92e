"""Composition scores: against dense matrices, under changes that change nothing, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.engine import HeadWeights
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.head_composition import HeadComposition
from lashley.experiments.lab import Lab
from lashley.experiments.methods import composition
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.tasks.registry import task
from lashley.tests.test_planted import BUILT, planted_lab
from lashley.tests.test_weights import by_name
from lashley.tests.tiny import SAMPLED, tiny_subject


def silent(_: int, __: int) -> None: ...


@pytest.mark.parametrize("kind", SAMPLED)
def test_the_scores_are_ratios_of_norms_of_dense_matrices_from_the_parameters(kind: str) -> None:
    subject = tiny_subject(kind)
    found, chance = composition.all_scores(subject, 0, silent)
    assert np.nanmin(found) >= 0
    assert np.nanmax(found) <= 1 + 1e-6
    assert chance.shape == (3, composition.TURNED)
    # The mean square of a matrix turned at random is 1 / d_model.
    assert np.sqrt(np.square(chance).mean(1)) == pytest.approx(np.full(3, 32**-0.5), rel=0.1)
    parts = [by_name(subject, kind, layer) for layer in range(3)]
    for sender, receiver in ((0, 4), (3, 11), (6, 8)):
        one, other = parts[sender // 4], parts[receiver // 4]
        ov, qk, ov2 = (
            one["V"][sender % 4] @ one["O"][sender % 4],
            other["Q"][receiver % 4] @ other["K"][receiver % 4].T,
            other["V"][receiver % 4] @ other["O"][receiver % 4],
        )
        for which, matrix in enumerate((qk, qk.T, ov2)):
            ratio = float((ov @ matrix).norm() / ov.norm() / matrix.norm())
            assert found[which, sender, receiver] == pytest.approx(ratio, abs=1e-4)
        assert np.isnan(found[:, receiver, sender]).all()
    assert np.isnan(found[:, :4, :4]).all()


def drawn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.double)


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(0.1, 10))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_what_no_model_can_tell_apart_has_the_same_scores(seed: int, a: float, b: float) -> None:
    """Any basis inside a head, any size, any rotation of the stream."""
    g = torch.Generator().manual_seed(seed)

    def head() -> HeadWeights:
        return HeadWeights(drawn(g, 2, 12, 4), drawn(g, 2, 12, 4), drawn(g, 2, 12, 4), drawn(g, 2, 4, 12))

    heads = [head(), head()]
    before = composition.composed(composition.written(heads[0]), composition.read(heads[1]))
    inner, outer = drawn(g, 4, 4) + 3 * torch.eye(4), drawn(g, 4, 4) + 3 * torch.eye(4)
    turn = torch.linalg.qr(drawn(g, 12, 12))[0]
    moved = [
        HeadWeights(a * turn.T @ w.Q @ inner, turn.T @ w.K @ inner.inverse().T, b * turn.T @ w.V @ outer,
                    outer.inverse() @ w.O @ turn)
        for w in heads
    ]  # fmt: skip
    after = composition.composed(composition.written(moved[0]), composition.read(moved[1]))
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("name", BUILT)
def test_the_planted_circuit_is_joined_by_keys_and_by_nothing_else(name: str) -> None:
    truth = TRUTHS[name]
    result = HeadComposition(model=name, task="induction", top=500).run(planted_lab(name))
    joined = {f"{s} -> {r}" for s in truth.previous_token_heads for r in truth.induction_heads}
    for through in ("q", "k", "v"):
        chance = result[f"random_{through}"].value
        read = {e.site for e in result.effects if e.metric == through and e.value + chance > 1e-3}
        assert read == (joined if through == "k" else set()), through
    assert {e.site for e in result.effects if e.metric == "k" and (e.percentile or 0) > 90} == joined


def test_what_no_head_writes_is_composed_with_nothing() -> None:
    weights = engine.head_weights(tiny_subject("gpt2"), 0)
    nothing = HeadWeights(weights.Q, weights.K, 0 * weights.V, weights.O)
    assert composition.composed(composition.written(nothing), composition.read(weights)).abs().max() == 0


def test_named_heads_are_kept_and_drawn_and_a_replay_has_the_same_bits() -> None:
    made = Lab(tiny_subject("llama"), task("induction"))
    kind = HeadComposition(heads=["L0.H1", "L2.H3"], top=1)
    result = kind.run(made)
    assert {e.site for e in result.effects} >= {"L0.H1 -> L2.H3"}
    assert result.figures[0].data["rows"] == ["L0.H1", "L2.H3"]
    assert result.model_dump() == kind.run(made).model_dump()
    with pytest.raises(BadConfiguration, match="no head 9"):
        HeadComposition(heads=["L0.H9"]).run(made)
