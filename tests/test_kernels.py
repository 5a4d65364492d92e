"""The faster kernels compute the same, and leave a model as it was in everything but speed."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from lashley.experiments.model.kernels import can_be_laid_out, laid_out, speed_up
from lashley.tests.tiny import SAMPLED, tiny_model

size = st.integers(1, 40)
FAST = settings(max_examples=60, deadline=None, derandomize=True)


@given(rows=st.lists(size, min_size=1, max_size=2), d_in=size, d_out=size, bias=st.booleans(), seed=st.integers(0, 99))
@FAST
def test_a_projection_gives_the_same(rows: list[int], d_in: int, d_out: int, bias: bool, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(*rows, d_in)
    for module in (nn.Linear(d_in, d_out, bias), Conv1D(d_out, d_in)):
        wanted = module(x).detach()
        speed_up(module)
        with torch.no_grad():
            assert torch.allclose(module(x), wanted, rtol=1e-5, atol=1e-5)
            # A slice of something larger, as the engine hands over.
            assert torch.allclose(module(torch.cat([x, x], -1)[..., :d_in]), wanted, rtol=1e-5, atol=1e-5)


def test_gelu_gives_the_same() -> None:
    x = torch.linspace(-12, 12, 4001)
    module = NewGELUActivation()
    wanted = module(x)
    speed_up(module)
    assert torch.allclose(module(x), wanted, atol=1e-6)


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_model_says_the_same_and_keeps_its_weights_and_gradients(kind: str) -> None:
    model = tiny_model(kind).eval()
    ids = torch.tensor([[5, 17, 40, 8, 77, 30], [61, 9, 12, 4, 90, 6]])
    before, weights = model(ids).logits, copy.deepcopy(model.state_dict())
    (wanted,) = torch.autograd.grad(before.square().sum(), model.get_input_embeddings().weight)
    speed_up(model)
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, before, atol=2e-5 * float(before.abs().max()))
    (found,) = torch.autograd.grad(model(ids).logits.square().sum(), model.get_input_embeddings().weight)
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))
    assert {k: v.tolist() for k, v in model.state_dict().items()} == {k: v.tolist() for k, v in weights.items()}
    assert model.bfloat16()(ids).logits.dtype == torch.bfloat16


@given(
    rows=st.lists(size, min_size=1, max_size=2) | st.just([1100]),
    d_in=size,
    d_out=size,
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@FAST
def test_weights_that_are_laid_out_give_the_same_bits(
    rows: list[int], d_in: int, d_out: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(d_in)
    x = torch.randn(*rows, d_in, dtype=dtype)
    for module in (nn.Linear(d_in, d_out).to(dtype), Conv1D(d_out, d_in).to(dtype)):
        speed_up(module)
        with torch.no_grad():
            wanted = module(x)
            with laid_out([module]):
                assert (module.laid_out is not None) == can_be_laid_out(module)
                found = module(x)
        assert module.laid_out is None
        assert torch.equal(found, wanted) if dtype == torch.float32 else torch.allclose(found, wanted, atol=0.05)
