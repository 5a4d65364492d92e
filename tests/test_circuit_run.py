"""Circuits against a slow computation that uses neither projections nor output weights: every head is run on its own
queries', keys' and values' streams by the model's own attention, and writes by the model's own output projection."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.activations import CleanRun
from lashley.experiments.engine.circuit_run import Wiring, replaced, run_circuits, wiring
from lashley.experiments.engine.forward import KVSlot, Window, attention, mlp, record_batch, through, unembed
from lashley.experiments.engine.graph import EMBEDDINGS
from lashley.experiments.engine.readout import read_columns
from lashley.experiments.engine.writing import written_in
from lashley.experiments.errors import UnsupportedModel
from lashley.experiments.interventions import Intervention
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site
from lashley.experiments.tasks.batch import Batch
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ROWS = [[5, 17, 40, 8, 77, 30, 12], [61, 9, 12, 4], [90, 6, 33, 21, 8, 52]]
OTHERS = [[5, 19, 40, 8, 71, 30, 12], [61, 9, 13, 4], [91, 6, 33, 22, 8, 52]]
SEPARABLE = [p for p in SAMPLED if p.values[0] != "olmo2"]


def both(subject: Subject) -> tuple[Wiring, Batch, CleanRun, CleanRun]:
    batch, other = batch_of(ROWS), batch_of(OTHERS)
    parts = ("resid_pre", "z", "attn_out", "mlp_out")
    return wiring(subject), batch, engine.read(subject, batch, parts), engine.read(subject, other, parts)


def values(wired: Wiring, batch: Batch, clean: CleanRun, other: CleanRun, masks: list[Tensor]) -> Tensor:
    """[circuit, row]"""
    subject = wired.subject
    own, theirs = (written_in(subject, run, wired.writings) for run in (clean, other))
    between = replaced(wired, clean, own, theirs)
    return run_circuits(wired, batch, masks, between, PairReadout(batch), prune=False)["logit_diff"]


def some_masks(wired: Wiring, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = wired.graph.after.shape
    return [(torch.rand(shape, generator=generator) < share) & wired.graph.after
            for share in torch.linspace(0.1, 0.9, count).tolist()]  # fmt: skip


@pytest.mark.parametrize("kind", SEPARABLE)
def test_all_edges_are_the_intact_model_and_none_the_other_run(kind: str) -> None:
    subject = tiny_subject(kind)
    wired, batch, clean, other = both(subject)
    whole, none = wired.graph.after, torch.zeros_like(wired.graph.after)
    found = values(wired, batch, clean, other, [whole, none])
    intact = [Intervention(name="intact")]
    theirs = engine.run(subject, batch_of(OTHERS), intact, PairReadout(batch))["logit_diff"][0]
    own = engine.run(subject, batch, intact, PairReadout(batch))["logit_diff"][0]
    scale = float(own.abs().max() + theirs.abs().max())
    assert not torch.allclose(own, theirs, atol=1e-2 * scale)
    assert torch.allclose(found[0], own, atol=2e-5 * scale)
    assert torch.allclose(found[1], theirs, atol=2e-5 * scale)


@pytest.mark.parametrize("kind", SEPARABLE)
def test_any_circuit_is_what_the_models_own_modules_compute(kind: str) -> None:
    subject = tiny_subject(kind)
    wired, batch, clean, other = both(subject)
    masks = some_masks(wired, 3)
    # Parts that nothing in the circuit leads to.
    cut_off = wired.graph.after.clone()
    cut_off[:, [r.name in ("L1.mlp", "L2.mlp", "L1.H0.q") for r in wired.graph.receivers]] = False
    found = torch.cat([values(wired, batch, clean, other, some) for some in (masks, [cut_off])])
    slow = torch.stack([by_modules(wired, batch, clean, other, mask) for mask in (*masks, cut_off)])
    assert torch.allclose(found, slow, atol=1e-4 * float(slow.abs().max()))


@torch.inference_mode()
def by_modules(wired: Wiring, batch: Batch, clean: CleanRun, other: CleanRun, mask: Tensor) -> Tensor:
    """[row], one part after the other."""
    subject, graph = wired.subject, wired.graph
    window = Window(record_batch(subject.model, subject.anatomy, batch), torch.arange(len(batch)), 0, batch.length)
    now: dict[Site, Tensor] = {EMBEDDINGS: clean.at(0, "resid_pre")}
    then: dict[Site, Tensor] = {EMBEDDINGS: other.at(0, "resid_pre")}
    receivers = {r.name: j for j, r in enumerate(graph.receivers)}
    bias = torch.zeros(())

    def stream(receiver: str) -> Tensor:
        j = receivers[graph.canonical(receiver)]
        terms = [now[s] if mask[i, j] else then[s] for i, s in enumerate(graph.senders) if graph.after[i, j]]
        return sum(terms, bias)

    for layer, block in enumerate(subject.anatomy.blocks):
        kwargs = window.kwargs(layer)
        seen: dict[int, Tensor] = {}
        for h in range(block.n_heads):
            q, k, v = (stream(f"L{layer}.H{h}.{by}") for by in "qkv")
            kept: dict[str, Tensor] = {}
            for name, x in (("k", k), ("v", v)):
                slot = KVSlot(keep=True)
                attention(block, x, kwargs, slot, lambda z: z)
                assert slot.k is not None
                assert slot.v is not None
                kept[name] = slot.k if name == "k" else slot.v
            slot = KVSlot()
            slot.edit = lambda _k, _v, kept=kept: (kept["k"], kept["v"])
            zs: list[Tensor] = []
            attention(block, q, kwargs, slot, lambda z, zs=zs: zs.append(z) or z)
            seen[h] = zs[0].view(*q.shape[:2], -1)[..., h * block.d_head : (h + 1) * block.d_head]
        z = torch.cat([seen[h] for h in range(block.n_heads)], -1)
        for run, value, into in (("now", z, now), ("then", other.at(layer, "z"), then)):
            raw = block.o_proj(value)
            zero = block.o_proj(torch.zeros_like(value))
            for h in range(block.n_heads):
                alone = torch.zeros_like(value)
                width = slice(h * block.d_head, (h + 1) * block.d_head)
                alone[..., width] = value[..., width]
                wrote = block.o_proj(alone) - zero
                # A norm after it multiplies each number by the same in all heads.
                into[Site(layer=layer, part="z", index=h)] = (
                    wrote / raw * through(block.attn_post, raw) if block.post_norms else wrote
                )
            if run == "now" and not block.post_norms:
                bias = bias + through(block.attn_post, zero)
        site = Site(layer=layer, part="mlp_out")
        if block.parallel:
            # The MLP does not read the bias of the attention beside it.
            before, bias = bias, bias - through(block.attn_post, zero)
            now[site] = mlp(block, stream(f"L{layer}.mlp"))
            bias = before
        else:
            now[site] = mlp(block, stream(f"L{layer}.mlp"))
        then[site] = other.at(layer, "mlp_out")
    hidden, readout = stream("logits"), PairReadout(batch)
    columns = read_columns(batch, readout)
    logits = unembed(subject.model, subject.anatomy, engine.forward.gather_columns(hidden, columns), readout.tokens)
    return readout.measure(logits, torch.arange(len(batch)))["logit_diff"].float()


def test_an_attention_whose_heads_share_a_norm_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="cannot be read head by head"):
        wiring(tiny_subject("olmo2"))
