"""The rounded twin is nearly the subject, shares what it does not round, and leaves the subject alone."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr

from lashley.experiments import engine
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.low_precision import rounded
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.sites import head
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

# Of different lengths, so that there are pads that see nothing.
ROWS = [[5, 17, 40, 8, 77, 30, 12], [61, 9, 12, 4], [90, 6, 33, 21, 8, 52]]


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_rounded_sweep_is_nearly_the_exact_one(kind: str) -> None:
    subject = tiny_subject(kind)
    a = subject.anatomy
    before = {name: t.clone() for name, t in subject.model.state_dict().items()}
    twin = rounded(subject)
    batch = batch_of(ROWS)
    removals = [
        Intervention(name=str(s), edits=(Edit(site=s),))
        for s in (head(layer, h) for layer in range(a.n_layers) for h in range(a.n_heads))
    ]
    everything = [Intervention(name="intact"), *removals]
    exact = engine.run(subject, batch, everything, Logits(every_column=False))["logits"]
    near = engine.run(twin, batch, everything, Logits(every_column=False))["logits"]
    assert near.isfinite().all()
    assert not torch.equal(near, exact)
    # bf16 keeps 8 bits; errors of a few layers may add up to some of the last ones.
    assert float((near - exact).abs().max()) < 0.05 * float(exact.abs().max())
    wanted, found = ((run[1:] - run[0])[..., 7].mean(-1).flatten() for run in (exact, near))
    assert spearmanr(wanted, found).statistic > 0.9
    assert {n: t.tolist() for n, t in subject.model.state_dict().items()} == {n: t.tolist() for n, t in before.items()}


@pytest.mark.parametrize("kind", SAMPLED)
def test_only_projections_are_rounded_and_all_else_is_shared(kind: str) -> None:
    subject = tiny_subject(kind)
    twin = rounded(subject)
    ours = dict(subject.model.named_parameters())
    inside = {id(p) for block in twin.anatomy.blocks for p in block.attn.parameters()}
    for name, parameter in twin.model.named_parameters():
        if parameter.dtype == torch.bfloat16:
            assert torch.equal(parameter, ours[name].bfloat16())
            assert parameter.dim() == 2 or name.endswith("bias") or id(parameter) in inside, name
        else:
            assert parameter is ours[name]
    # Every matrix between the residual stream's ends is rounded.
    left = [n for n, p in twin.model.named_parameters() if p.dim() == 2 and p.dtype != torch.bfloat16]
    assert not [n for n in left if any(word in n for word in ("attn", "attention", "mlp", "fc"))], left
    assert twin.anatomy.blocks[0].o_proj in list(twin.model.modules())
