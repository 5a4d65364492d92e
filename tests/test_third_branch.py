"""A third branch that reads the stream behind the MLP and something of the token (Gemma 4's per-layer inputs), against
plain hooks. That zero at each kind of site is what hooks make of it says `test_architectures`."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine import narrowing
from lashley.experiments.errors import BadConfiguration, UnsupportedModel
from lashley.experiments.experiment import Experiment
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.intervene import Intervene
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.lab import Lab
from lashley.experiments.model.block import Scaled, Third
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site, head
from lashley.tests.architectures import tiny_architecture
from lashley.tests.corrupted_lab import corrupted_lab
from lashley.tests.tiny import batch_of, tiny_tokenizer

PROMPTS = [[5, 9, 31, 44, 12, 80, 7], [17, 3, 66, 21], [8, 70, 15, 2, 91, 33]]
SITES = (
    Site(layer=0, part="resid_pre"),
    head(0, 1),
    head(1, 3),
    Site(layer=1, part="k", index=1),
    Site(layer=2, part="attn_out"),
    Site(layer=2, part="neurons", index=5),
    Site(layer=3, part="mlp_out"),
    Site(layer=3, part="resid_post"),
)


@cache
def gemma() -> Subject:
    """Its layers multiply all that they hand on as well, as those of trained models do."""
    model = tiny_architecture("gemma4_text")
    for layer, factor in zip(model.model.layers, (0.75, 1.5, 0.5, 0.9), strict=True):
        layer.layer_scalar.fill_(factor)
    return prepare("gemma4", model, tiny_tokenizer(), "cpu")


def by_hand(site: Site, ids: Tensor, positions: slice) -> Tensor:
    """The model's own logits [position, vocabulary] with 0 at the site, at some positions."""
    layer, index = gemma().model.model.layers[site.layer], site.index or 0
    before = {"resid_pre": layer, "z": layer.self_attn.o_proj, "neurons": layer.mlp.down_proj}
    behind = {"k": layer.self_attn.k_proj, "attn_out": layer.post_attention_layernorm,
              "mlp_out": layer.post_feedforward_layernorm, "resid_post": layer}  # fmt: skip
    module = (before | behind)[site.part]
    heads = {"z": 4, "k": 2, "neurons": 48}.get(site.part, 1)

    def zero(h: Tensor) -> Tensor:
        h = h.clone()
        h.unflatten(-1, (heads, -1))[:, positions, index] = 0
        return h

    if site.part in before:
        handle = module.register_forward_pre_hook(lambda _, args: (zero(args[0]), *args[1:]))
    else:
        handle = module.register_forward_hook(lambda _, __, out: zero(out))
    with torch.no_grad():
        logits = gemma().model(input_ids=ids, use_cache=False).logits[0]
    handle.remove()
    return logits


def test_it_is_found_with_what_it_multiplies_and_the_factor_of_all() -> None:
    for block, factor in zip(gemma().anatomy.blocks, (0.75, 1.5, 0.5, 0.9), strict=True):
        third, scaled = block.tail
        assert isinstance(third, Third)
        assert third.given == {"per_layer_input": 8}
        assert isinstance(scaled, Scaled)
        assert scaled.factor == pytest.approx(factor)
        own = block.layer
        assert [m for m in third.chain if any(True for _ in m.parameters())] == [
            own.per_layer_input_gate, own.per_layer_projection, own.post_per_layer_input_norm
        ]  # fmt: skip


@pytest.mark.parametrize("positions", ["all", "last"])
def test_edits_at_some_positions_are_what_plain_hooks_make_of_them(positions: str) -> None:
    batch = batch_of(PROMPTS)
    edits = [Intervention(name=str(s), edits=(Edit(site=s, positions=positions),)) for s in SITES]
    found = engine.run(gemma(), batch, edits, Logits())["logits"]
    for site, logits in zip(SITES, found, strict=True):
        for row, prompt in enumerate(PROMPTS):
            place = slice(None) if positions == "all" else slice(-1, None)
            wanted = by_hand(site, torch.tensor([prompt]), place)
            apart = (logits[row][batch.mask[row].bool()] - wanted).abs().max()
            assert float(apart) <= 2e-5 * float(wanted.abs().max()), site


def test_what_is_read_alone_is_what_is_read_of_all_columns() -> None:
    """In the last layer only columns that are read are computed to the end."""
    batch = batch_of(PROMPTS)
    edits = [Intervention(name=str(s), edits=(Edit(site=s, positions=p),)) for s in SITES for p in ("all", "last")]
    found = engine.run(gemma(), batch, edits, PairReadout(batch), chunk_tokens=30)["logit_diff"]
    logits = engine.run(gemma(), batch, edits, Logits())["logits"][:, :, -1]
    pair = logits.gather(-1, batch.pair[None].expand(len(edits), -1, -1))
    assert torch.allclose(found, pair[..., 0] - pair[..., 1], atol=1e-4)


def test_generated_tokens_bring_their_own() -> None:
    ids = torch.tensor([PROMPTS[0]])
    for _ in range(4):
        token = by_hand(head(1, 3), ids, slice(None))[-1].argmax()
        ids = torch.cat([ids, token.view(1, 1)], 1)
    gone = Intervention(name="gone", edits=(Edit(site=head(1, 3)),))
    ((text,),) = engine.generate(gemma(), batch_of(PROMPTS[:1]), [gone], 4)
    assert text == gemma().tokenizer.batch_decode(ids[:, len(PROMPTS[0]) :], skip_special_tokens=True)[0]


def test_runs_in_another_order_of_columns_have_it_in_that_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing left to first order but what pads hold, a narrowed run is a whole one."""
    monkeypatch.setattr(narrowing, "SHARES", (1.1, 1.1))
    batch = batch_of(PROMPTS)
    edits = [Intervention(name=str(s), edits=(Edit(site=s),)) for s in SITES if s.part in ("z", "mlp_out")]
    whole = engine.run(gemma(), batch, edits, PairReadout(batch))["logit_diff"]
    found = engine.run(gemma(), batch, edits, PairReadout(batch), narrowed="logit_diff")["logit_diff"]
    assert torch.allclose(found, whole, atol=1e-4)


def test_slopes_go_through_it() -> None:
    batch = batch_of(PROMPTS[:1])
    (slope,) = engine.attribution(
        gemma(), batch, [Edit(site=Site(layer=1, part="z"))], PairReadout(batch), "logit_diff"
    )
    less = [
        Intervention(name=f"{h} {f}", edits=(Edit(site=head(1, h), op="scale", factor=f),))
        for h in range(4)
        for f in (0.998, 1.002)
    ]
    moved = engine.run(gemma(), batch, less, PairReadout(batch))["logit_diff"][:, 0].unflatten(0, (4, 2))
    assert torch.allclose((moved[:, 0] - moved[:, 1]) / 0.004, slope[0], rtol=0.02, atol=1e-2)


def test_no_share_in_the_sum_is_told() -> None:
    with pytest.raises(UnsupportedModel, match="third branch in the layers of gemma4_text depends") as refused:
        engine.direct(gemma(), batch_of(PROMPTS), torch.zeros(3, 1, 32))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "experiment",
    [
        Intervene(task="twins", n=4, edit=["skip L1@last"]),
        LayerProgram(task="twins", n=4, sweep="skip_each", at="last"),
    ],
    ids=lambda one: one.kind,
)
def test_its_layers_are_not_left_out_at_some_positions_only(experiment: Experiment) -> None:
    lab = Lab(gemma(), corrupted_lab("llama").task)
    with pytest.raises(BadConfiguration, match="they can only be left out everywhere"):
        experiment.run(lab)
