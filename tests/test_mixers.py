"""Heads beside another mixer (Falcon-H1) or inside a layer that is one (Zamba), against plain hooks.

That zero at each of them is what hooks make of it says `test_architectures`; here is what else is done with heads.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.engine.paths import NEEDED, Edge, Paths
from lashley.experiments.engine.weights import head_weights, written
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site, head
from lashley.tests.test_architectures import by_hand, subject_of
from lashley.tests.tiny import batch_of

PROMPT = [5, 9, 31, 44, 12, 80, 7]


def falcon() -> Subject:
    return subject_of("falcon_h1")


def z_of(subject: Subject, layer: int, ids: Tensor) -> Tensor:
    """What the output projection is given, [position, head * d_head], as a plain hook sees it."""
    seen: list[Tensor] = []
    project = subject.model.get_submodule(f"model.layers.{layer}.self_attn.o_proj")
    handle = project.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    with torch.no_grad():
        subject.model(input_ids=ids, use_cache=False)
    handle.remove()
    return seen[0]


def test_two_heads_at_once_and_both_halves_of_a_layer() -> None:
    """More than one edit of z takes another way than one: both are what plain hooks make of it."""
    subject, batch = falcon(), batch_of([PROMPT])
    edits = tuple(Edit(site=head(1, h)) for h in (0, 3))
    both = Intervention(name="both", edits=edits)
    late = Intervention(name="late", edits=(*edits, Edit(site=head(2, 2)), Edit(site=Site(layer=1, part="mlp_out"))))
    found = engine.run(subject, batch, [both, late], Logits())["logits"][:, 0]

    def hook(heads: tuple[int, ...]):  # type: ignore[no-untyped-def]
        def zero(_: object, args: tuple[Tensor]) -> tuple[Tensor]:
            z = args[0].unflatten(-1, (4, -1)).clone()
            z[..., heads, :] = 0
            return (z.flatten(-2),)

        return zero

    layers = subject.model.model.layers
    wanted, handles = [], [layers[1].self_attn.o_proj.register_forward_pre_hook(hook((0, 3)))]
    with torch.no_grad():
        wanted.append(subject.model(input_ids=batch.ids, use_cache=False).logits[0])
        handles.append(layers[2].self_attn.o_proj.register_forward_pre_hook(hook((2,))))
        handles.append(layers[1].feed_forward.register_forward_hook(lambda _, __, out: out * 0))
        wanted.append(subject.model(input_ids=batch.ids, use_cache=False).logits[0])
    for handle in handles:
        handle.remove()
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=2e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("kind", ["falcon_h1", "zamba2"])
def test_what_is_generated_without_a_head_is_what_plain_hooks_generate(kind: str) -> None:
    subject, site = subject_of(kind), head(1, 2)
    ids = torch.tensor([PROMPT])
    for _ in range(4):
        token = by_hand(kind, subject, site, ids)[-1].argmax()
        ids = torch.cat([ids, token.view(1, 1)], 1)
    gone = Intervention(name="gone", edits=(Edit(site=site),))
    ((text,),) = engine.generate(subject, batch_of([PROMPT]), [gone], 4)
    assert text == subject.tokenizer.batch_decode(ids[:, len(PROMPT) :], skip_special_tokens=True)[0]


def test_a_path_from_a_head_carries_what_the_layer_multiplies_it_by() -> None:
    subject, batch = falcon(), batch_of([PROMPT])
    clean = engine.read(subject, batch, NEEDED)
    nothing = {(layer, "z"): torch.zeros_like(clean.at(layer, "z")) for layer in range(3)}
    paths = Paths(subject, batch, clean, engine.CleanRun(nothing))
    edit, source = paths.intervention(Edge(head(1, 3), Site(layer=2, part="resid_post")), "path")
    found = engine.run(subject, batch, [edit], Logits(), sources={"path": source})["logits"][0, 0]
    # By hand: the last stream without what the head wrote, through the model's own norm and head.
    d_head, o_proj = 8, subject.model.model.layers[1].self_attn.o_proj
    gone = z_of(subject, 1, batch.ids)[:, 3 * d_head :] @ o_proj.weight[:, 3 * d_head :].T * 0.7
    handle = subject.model.model.layers[2].register_forward_hook(lambda _, __, out: (out[0] - gone, *out[1:]))
    with torch.no_grad():
        wanted = subject.model(input_ids=batch.ids, use_cache=False).logits[0]
    handle.remove()
    assert torch.allclose(found, wanted, atol=2e-5 * float(wanted.abs().max()))


def test_weights_hold_the_multipliers_before_and_behind_the_attention() -> None:
    subject = falcon()
    layer = subject.model.model.layers[1]
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        v = layer.self_attn.v_proj(layer.input_layernorm(x) * 0.9).unflatten(-1, (2, 8)).repeat_interleave(2, 1)
        W_O = layer.self_attn.o_proj.weight.T.unflatten(0, (4, 8)) * 0.7
        wanted = torch.einsum("thi,hid->htd", v, W_O)
        assert torch.allclose(written(subject, 1, x), wanted, atol=1e-5)
        found = head_weights(subject, 1)
        W_V = (layer.self_attn.v_proj.weight * layer.input_layernorm.weight).T * 0.9
    assert torch.allclose(found.O, W_O, atol=1e-5)
    wanted = W_V.unflatten(1, (2, 8)).transpose(0, 1).repeat_interleave(2, 0)
    for ours, theirs in zip(found.V, wanted, strict=True):
        assert torch.allclose(ours / ours.norm(), theirs / theirs.norm(), atol=1e-5)


@pytest.mark.parametrize("kind", ["falcon_h1", "zamba2"])
def test_the_slope_of_a_head_is_that_of_a_small_change(kind: str) -> None:
    from lashley.experiments.answers.scoring import PairReadout

    subject, batch = subject_of(kind), batch_of([PROMPT])
    site, readout = Site(layer=1, part="z"), PairReadout(batch)
    (slope,) = engine.attribution(subject, batch, [Edit(site=site)], readout, "logit_diff")
    less = [
        Intervention(name=f"{h} {f}", edits=(Edit(site=head(1, h), op="scale", factor=f),))
        for h in range(4)
        for f in (0.998, 1.002)
    ]
    moved = engine.run(subject, batch, less, readout)["logit_diff"][:, 0].unflatten(0, (4, 2))
    assert torch.allclose((moved[:, 0] - moved[:, 1]) / 0.004, slope[0], rtol=0.02, atol=1e-2)
