"""Attention over a few tokens as two products says what torch's own kernel says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from lashley.experiments import engine
from lashley.experiments.engine import short
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.sites import Site
from lashley.tests.test_engine import TOLERANCE, gap
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

FAST = settings(deadline=None, derandomize=True)
ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]
# These never use torch's kernel: gemma2 caps its scores, and gptj has an attention of its own.
OWN = ("gemma2", "gptj")


@given(
    n=st.integers(1, 6), before=st.integers(0, 50), groups=st.integers(1, 3), group=st.integers(1, 3),
    pads=st.integers(0, 5), window=st.sampled_from([2, 100]), scaling=st.sampled_from([None, 0.3]),
    dtype=st.sampled_from([torch.float32, torch.float64]), seed=st.integers(0, 99),
)  # fmt: skip
@FAST
def test_it_equals_torchs_own(
    n: int, before: int, groups: int, group: int, pads: int, window: int, scaling: float | None, dtype: torch.dtype,
    seed: int,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    m, module = n + before, nn.Module()
    module.num_key_value_groups = group  # type: ignore[assignment]
    q = torch.randn(2, groups * group, n, 8, dtype=dtype)
    k, v = torch.randn(2, 2, groups, m, 8, dtype=dtype)
    ones = torch.ones(n, m, dtype=torch.bool)
    hidden = (ones.triu(1 + before) | ones.tril(before - window)).repeat(2, 1, 1, 1)
    hidden[0, :, :, :pads] = True  # padded on the left: some of its queries may see nothing
    mask = torch.zeros(2, 1, n, m, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)
    attention = AttentionInterface()[short.NAME]
    found = attention(module, q, k, v, mask, scaling=scaling)[0].transpose(1, 2)
    k, v = (t.repeat_interleave(group, dim=1) for t in (k, v))
    wanted = scaled_dot_product_attention(q, k, v, mask, scale=scaling)
    assert found.dtype == dtype
    assert torch.allclose(found, wanted, atol=2e-6 if dtype == torch.float32 else 1e-12)


def head(layer: int, index: int, **changed: Any) -> Intervention:
    return Intervention(name="head", edits=(Edit(site=Site(layer=layer, part="z", index=index), **changed),))


TRIED = [
    Intervention(name="intact"),
    head(0, 1),
    head(1, 2, op="scale", factor=2.0),
    head(0, 3, positions="last"),
    Intervention(name="keys", edits=(Edit(site=Site(layer=1, part="k"), op="scale", factor=0.5),)),
    Intervention(name="program", program=(0, 2, 1, 1)),
]


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_model_says_the_same_in_sweeps_and_in_text(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    given_to_torch: list[tuple[int, int]] = []
    usual = short.sdpa_attention_forward

    def noted(module: nn.Module, query: Tensor, key: Tensor, *others: Any, **named: Any) -> Any:
        given_to_torch.append((query.shape[2], key.shape[2]))
        return usual(module, query, key, *others, **named)

    def said() -> tuple[list[Tensor], list[list[str]]]:
        given_to_torch.clear()
        # With TRIED[3] alone, only the last column is run again, and sees more keys than there are queries.
        swept = [engine.run(subject, batch, tried, Logits())["logits"] for tried in (TRIED, [TRIED[3]])]
        return [s * batch.mask[..., None] for s in swept], engine.generate(subject, batch, TRIED, 4)

    monkeypatch.setattr(short, "sdpa_attention_forward", noted)
    logits, texts = said()
    assert all(n < short.QUERIES for n, _ in given_to_torch)
    assert bool(given_to_torch) == (kind not in OWN)
    monkeypatch.setattr(short, "KEYS", 0)
    wanted, wanted_texts = said()
    assert any(n >= short.QUERIES for n, _ in given_to_torch) == (kind not in OWN)
    assert all(gap(found, other) <= TOLERANCE for found, other in zip(logits, wanted, strict=True))
    assert texts == wanted_texts
