"""Attribution against finite differences of the engine, on every architecture."""

from __future__ import annotations

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout, PairReadout
from lashley.experiments.engine.gradients import attribution
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import Part, Site
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ROWS = [[5, 17, 40, 8, 77, 30, 12], [61, 9, 12, 4], [90, 6, 33, 21, 8, 52]]
# Wide enough for fp32, narrow enough for the corners of a ReLU.
STEP = 0.004
PARTS: tuple[Part, ...] = ("resid_pre", "k", "v", "pattern", "z", "attn_out", "neurons", "mlp_out", "resid_post")
WHOLE: tuple[Part, ...] = ("resid_pre", "attn_out", "mlp_out", "resid_post")


@pytest.mark.parametrize("kind", SAMPLED)
def test_attribution_is_the_derivative_of_what_the_engine_does(kind: str) -> None:
    subject = tiny_subject(kind)
    batch = batch_of(ROWS)
    readout = PairReadout(batch)
    sites = [Site(layer=layer, part=part) for layer in range(subject.anatomy.n_layers) for part in PARTS]
    found = attribution(subject, batch, [Edit(site=s) for s in sites], readout, "logit_diff")
    steps: list[tuple[int, int, Site]] = []
    for i, site in enumerate(sites):
        n = found[i].shape[1]
        assert n == (
            1
            if site.part in WHOLE
            else {"neurons": 48, "z": 4, "pattern": 4}.get(site.part, subject.anatomy.n_kv_heads)
        )
        for unit in range(min(n, 3)):
            index = None if site.part in WHOLE else unit
            steps.append((i, unit, Site(layer=site.layer, part=site.part, index=index)))
    nudges = [
        Intervention(name=str(s), edits=(Edit(site=s, op="scale", factor=factor),))
        for _, _, s in steps
        for factor in (1 - STEP, 1 + STEP)
    ]
    less, more = engine.run(subject, batch, nudges, readout)["logit_diff"].unflatten(0, (-1, 2)).unbind(1)
    slopes = (less - more) / (2 * STEP)
    scale = float(slopes.abs().max())
    for (i, unit, site), slope in zip(steps, slopes, strict=True):
        assert torch.allclose(found[i][:, unit], slope, atol=2e-3 * scale, rtol=0.02), (kind, str(site))


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_the_values_put_in_place_are_the_edits(kind: str) -> None:
    """Mean instead of zero: the estimate is linear in what is put in, so the two differ by the mean times the slope."""
    subject = tiny_subject(kind)
    batch = batch_of([[5, 17, 40, 8], [61, 9, 12, 4], [90, 6, 33, 21]])
    readout = AnswerReadout(batch)
    clean = engine.read(subject, batch, {"z"})
    sources = {"mean": engine.mean_source(clean, batch)}
    sites = [Site(layer=layer, part="z") for layer in range(3)]
    zero, mean, half, last = (
        attribution(subject, batch, [Edit(site=s, **how) for s in sites], readout, "loss", sources)
        for how in (
            {},
            {"op": "replace", "source": "mean"},
            {"op": "scale", "factor": 0.5},
            {"positions": "last"},
        )
    )
    for layer in range(3):
        assert torch.allclose(half[layer], zero[layer] / 2, atol=1e-5)
        assert not torch.allclose(mean[layer], zero[layer], atol=1e-3)
        # Everything but the last position is left out, so only the last layer's estimate is the same.
        assert torch.allclose(last[layer], zero[layer], atol=1e-5) == (layer == 2)
        # A prompt's mean minus itself, summed over prompts, times any slope that they share, is nothing; here the
        # slopes differ, so it is enough that own values put in place change nothing.
    own = attribution(subject, batch, [Edit(site=s, op="replace", source="own") for s in sites], readout, "loss",
                      {"own": clean})  # fmt: skip
    assert all(float(o.abs().max()) < 1e-6 for o in own)


def test_slices_of_a_batch_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = tiny_subject("llama")
    batch = batch_of(ROWS)
    edits = [Edit(site=Site(layer=1, part="z"))]
    whole = attribution(subject, batch, edits, PairReadout(batch), "logit_diff")
    monkeypatch.setattr("lashley.experiments.engine.gradients.slices", lambda b: list(torch.arange(len(b)).split(1)))
    assert torch.allclose(attribution(subject, batch, edits, PairReadout(batch), "logit_diff")[0], whole[0], atol=1e-6)
