"""The anatomy of every architecture, and that what it does not fit is refused with one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, T5Config, T5ForConditionalGeneration
from transformers.pytorch_utils import Conv1D

from lashley.experiments.engine import direct, run
from lashley.experiments.engine.weights import head_weights
from lashley.experiments.errors import BadConfiguration, UnsupportedModel
from lashley.experiments.interventions import Intervention
from lashley.experiments.methods.control_sets import random_others
from lashley.experiments.methods.controls import all_heads
from lashley.experiments.methods.removal import elements
from lashley.experiments.model.block import Scaled
from lashley.experiments.model.device import chosen_device
from lashley.experiments.model.loading import load, prepare
from lashley.experiments.model.selfcheck import Logits, check_or_refuse, self_check
from lashley.experiments.model.shuffled_weights import permuted
from lashley.experiments.model.subject import fingerprint
from lashley.experiments.sites import check_site, named_heads, parse_site, sites_of
from lashley.tests.architectures import tiny_architecture
from lashley.tests.slow_way import PLACES, layers_of
from lashley.tests.tiny import KINDS, batch_of, tiny_model, tiny_subject, tiny_tokenizer

POST_NORMS = ("gemma2", "gemma3_text", "olmo2")
PARALLEL = ("gpt_neox", "phi", "gptj")
GROUPED = ("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "mistral", "phi", "olmo2")
WIDE = ("qwen3", "gemma2", "gemma3_text", "mistral")


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_and_shape(kind: str) -> None:
    assert tiny_subject(kind).anatomy.describe() == {
        "architecture": kind,
        "n_layers": 3,
        "n_heads": 4,
        "n_kv_heads": 2 if kind in GROUPED else 4,
        "d_head": 12 if kind in WIDE else 8,
        "d_model": 32,
        "d_mlp": 48,
        "vocabulary": 96,
        "block": "parallel" if kind in PARALLEL else "sequential",
        "post_norms": kind in POST_NORMS,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_modules_are_found_by_what_flows_through_them(kind: str) -> None:
    subject = tiny_subject(kind)
    _, _, o_proj, _, down = PLACES[kind]
    for block, layer in zip(subject.anatomy.blocks, layers_of(subject.model), strict=True):
        assert block.layer is layer
        assert block.o_proj is layer.get_submodule(o_proj)
        assert block.down_proj is layer.get_submodule(down)
        assert block.W_O.shape == (4 * subject.anatomy.d_head, 32)
        stored = block.o_proj.weight if isinstance(block.o_proj, Conv1D) else block.o_proj.weight.T  # type: ignore[union-attr]
        assert bool((stored == block.W_O).all())


@pytest.mark.parametrize("kind", KINDS)
def test_the_self_check_passes_with_room_to_spare(kind: str) -> None:
    checks = self_check(tiny_subject(kind))
    assert len(checks) >= 4
    assert all(check.deviation <= check.tolerance / 5 for check in checks), checks


@pytest.mark.parametrize(
    ("kind", "law"), [("gpt2", "logits equal the model's own"), ("gpt_neox", "logits equal the model's own")]
)
def test_an_anatomy_that_was_misread_is_refused_by_the_law_it_breaks(kind: str, law: str) -> None:
    subject = tiny_subject(kind)
    blocks = tuple(replace(b, parallel=not b.parallel) for b in subject.anatomy.blocks)
    wrong = replace(subject, anatomy=replace(subject.anatomy, blocks=blocks))
    with pytest.raises(UnsupportedModel, match=law) as refused:
        check_or_refuse(wrong)
    assert "\n" not in str(refused.value)


def encoder_decoder() -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0)
    )


def norms_after_the_sum() -> PreTrainedModel:
    return tiny_model("opt", do_layer_norm_before=False, ffn_dim=48, word_embed_proj_dim=32)


UNSUPPORTED: dict[str, tuple[Any, str]] = {
    "an encoder": (encoder_decoder, "is an encoder-decoder"),
    "norms after the sum": (norms_after_the_sum, "final_layer_norm of a sum"),
    "a stream that is scaled": (lambda: tiny_architecture("doge"), "multiplies the stream itself"),
    "a third branch": (lambda: tiny_architecture("ctrl"), "third branch \\(ffn\\)"),
    "keys and values of another layer": (
        lambda: tiny_architecture("gemma4_text", num_kv_shared_layers=2),
        "keys and values of an earlier layer",
    ),
    "positions that count pads": (
        lambda: tiny_architecture("mbart"),
        "alone has the same logits as in a batch with a longer",
    ),
    "a stream that is left out": (lambda: tiny_architecture("minimax"), "without its input stream"),
    "a bias between modules": (
        lambda: tiny_architecture("gpt_neox_japanese"),
        "a bias that belongs to neither attention nor MLP",
    ),
    "a fault of its own": (lambda: tiny_architecture("xmod"), "own code fails .*Input language unknown"),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_does_not_fit_is_refused_with_one_clear_line(what: str) -> None:
    make, why = UNSUPPORTED[what]
    with pytest.raises(UnsupportedModel, match=why) as refused:
        prepare("odd", make(), tiny_tokenizer(), "cpu")
    assert "\n" not in str(refused.value)


def test_a_granite_whose_residuals_are_not_scaled_is_a_plain_sum() -> None:
    subject = prepare("granite", tiny_model("granite"), tiny_tokenizer(), "cpu")
    assert subject.anatomy.describe()["block"] == "sequential"


@pytest.mark.parametrize("make", [encoder_decoder, norms_after_the_sum])
def test_a_saved_model_that_does_not_fit_is_refused_in_the_same_way(make: Any, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel) as refused:
        load(str(tmp_path), "cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_a_saved_model_is_the_same_subject_when_it_is_loaded_again(kind: str, tmp_path: Path) -> None:
    subject = tiny_subject(kind)
    subject.model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    again = load(str(tmp_path), "cpu")
    assert again.anatomy.describe() == subject.anatomy.describe()
    assert again.fingerprint == load(str(tmp_path), "cpu").fingerprint


@pytest.mark.parametrize("place", [0, 137, -1])
def test_a_fingerprint_sees_every_weight(place: int) -> None:
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    before = fingerprint(model, tokenizer)
    assert fingerprint(tiny_model("llama"), tokenizer) == before
    weight = model.model.layers[1].mlp.up_proj.weight.data.view(-1)
    # Of another sign: no sum of squares would show it.
    weight[place] = -weight[place]
    assert fingerprint(model, tokenizer) != before
    weight[place] = -weight[place]
    assert fingerprint(model, tokenizer) == before


def test_the_device_is_the_one_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_device("cpu") == "cpu"
    monkeypatch.setenv("LASHLEY_DEVICE", "cpu")
    assert chosen_device() == "cpu"
    for wrong in ("gpu", "cuda:99", "cpu:1", "meta"):
        monkeypatch.setenv("LASHLEY_DEVICE", wrong)
        with pytest.raises(BadConfiguration, match="Set LASHLEY_DEVICE to cpu"):
            chosen_device()
    monkeypatch.setenv("LASHLEY_DEVICE", "auto")
    assert chosen_device() == "auto"
    assert chosen_device("cpu") == "cpu"


def test_a_factor_of_all_branches_is_found() -> None:
    subject = prepare("granite", tiny_architecture("granite"), tiny_tokenizer(), "cpu")
    for block in subject.anatomy.blocks:
        assert [m.factor for m in (*block.attn_post, *block.mlp) if isinstance(m, Scaled)] == [0.5, 0.5]
    assert not subject.anatomy.describe()["post_norms"]


def test_a_factor_of_all_that_a_layer_hands_on_is_found_and_no_share_in_the_sum_is_told() -> None:
    model = tiny_architecture("gemma4_text", hidden_size_per_layer_input=0)
    for layer in model.model.layers:
        layer.layer_scalar.fill_(0.75)
    subject = prepare("gemma4", model, tiny_tokenizer(), "cpu")
    assert subject.sizes["d_head"] == 16
    assert subject.sizes["L0.d_head"] == 8
    with pytest.raises(UnsupportedModel, match="multiply everything before them"):
        direct(subject, batch_of([[5, 6, 7]]), torch.zeros(1, 1, 32))


@pytest.mark.parametrize("kind", ["qwen2_moe", "phimoe"])
def test_what_a_gate_is_given_are_no_neurons(kind: str) -> None:
    subject = prepare(kind, tiny_architecture(kind), tiny_tokenizer(), "cpu")
    assert subject.sizes["d_mlp"] == 0
    with pytest.raises(
        BadConfiguration, match="No layer of this model has a neuron: in each, its MLP is a mixture"
    ) as e:
        sites_of("neurons", subject.sizes)
    assert "\n" not in str(e.value)


def test_a_gate_that_was_taken_for_neurons_breaks_a_law() -> None:
    subject = prepare("qwen2_moe", tiny_architecture("qwen2_moe"), tiny_tokenizer(), "cpu")
    blocks = tuple(
        replace(b, down_proj=b.layer.mlp.shared_expert.down_proj, d_mlp=16)  # type: ignore[union-attr]
        for b in subject.anatomy.blocks
    )
    with pytest.raises(UnsupportedModel, match="neurons times the output projection"):
        check_or_refuse(replace(subject, anatomy=replace(subject.anatomy, blocks=blocks)))


def test_units_are_counted_layer_by_layer() -> None:
    subject = prepare("glm4_moe", tiny_architecture("glm4_moe"), tiny_tokenizer(), "cpu")
    found = sites_of("neurons", subject.sizes)
    assert {(s.layer, s.index) for s in found} == {(0, i) for i in range(48)}
    with pytest.raises(BadConfiguration, match=r"Layer 1 has no neurons .*Layers with some: 0"):
        check_site(parse_site("L1.mlp.n3"), subject.sizes)
    assert {e.site.layer for r in random_others([found[0]], subject.sizes, "zero", 0) for e in r.edits} == {0}


def test_a_hybrid_has_heads_where_there_are_some() -> None:
    subject = prepare("qwen3_next", tiny_architecture("qwen3_next"), tiny_tokenizer(), "cpu")
    assert sorted({s.layer for s in all_heads(subject.sizes)}) == [1, 3]
    assert len(elements("heads", subject.sizes)) == 8
    assert len(elements("layers", subject.sizes)) == 4
    with pytest.raises(BadConfiguration, match=r"Layer 0 has no heads .*Layers with some: 1, 3\. Or use L0\.attn"):
        named_heads(["L0.H1"], subject.sizes)
    with pytest.raises(BadConfiguration, match="Layer 2 has no heads"):
        elements("heads", subject.sizes, [1, 2])


def test_a_layer_that_is_an_mlp_alone_has_no_attention() -> None:
    subject = prepare("nemotron_h", tiny_architecture("nemotron_h"), tiny_tokenizer(), "cpu")
    assert [str(s) for s in sites_of("mlp_out", subject.sizes)] == ["L1.mlp", "L3.mlp"]
    assert elements("layers", subject.sizes)["L3"] == (parse_site("L3.mlp"),)
    with pytest.raises(BadConfiguration, match=r"Layer 3 has no attention .*: 0, 2"):
        check_site(parse_site("L3.attn"), subject.sizes)


def test_two_mixers_side_by_side_are_one_branch_with_the_heads_of_one_and_the_mlp_after_them_another() -> None:
    subject = prepare("falcon_h1", tiny_architecture("falcon_h1"), tiny_tokenizer(), "cpu")
    assert [str(s) for s in sites_of("mlp_out", subject.sizes)] == ["L0.mlp", "L1.mlp", "L2.mlp"]
    assert len(sites_of("neurons", subject.sizes)) == 3 * 48
    assert [b.down_scale for b in subject.anatomy.blocks] == pytest.approx([0.6] * 3)
    assert [str(s) for s in all_heads(subject.sizes)][:5] == ["L0.H0", "L0.H1", "L0.H2", "L0.H3", "L1.H0"]
    assert [b.out_scale for b in subject.anatomy.blocks] == pytest.approx([0.7] * 3)
    with pytest.raises(UnsupportedModel, match="Layer 0 of falcon_h1 has another mixer besides its heads"):
        direct(subject, batch_of([[5, 6, 7]]), torch.zeros(1, 1, 32))


@pytest.mark.parametrize("kind", ["zamba", "zamba2"])
def test_heads_whose_output_another_module_reads_can_be_edited_and_have_no_share_in_the_stream(kind: str) -> None:
    subject = prepare(kind, tiny_architecture(kind), tiny_tokenizer(), "cpu")
    assert sorted({s.layer for s in all_heads(subject.sizes)}) == [1, 3]
    assert [b.heads_write for b in subject.anatomy.blocks] == [True, False, True, False]
    with pytest.raises(UnsupportedModel, match=r"heads of layer 1 of .* is not added to the stream") as refused:
        direct(subject, batch_of([[5, 6, 7]]), torch.zeros(1, 1, 32))
    assert "\n" not in str(refused.value)
    with pytest.raises(UnsupportedModel, match="is not added to the stream"):
        head_weights(subject, 1)
    with pytest.raises(
        BadConfiguration, match=r"an MLP: in each, its mixer writes everything that it adds.*\(L1.attn\)"
    ):
        check_site(parse_site("L1.mlp"), subject.sizes)
    with pytest.raises(BadConfiguration, match=r"a neuron: in each, its MLP .* feeds another module"):
        check_site(parse_site("L1.mlp.n3"), subject.sizes)


def test_neurons_that_were_taken_for_heads_break_a_law() -> None:
    """The projection after Zamba's attention is an MLP's; its width may well be a multiple of the heads."""
    subject = prepare("zamba2", tiny_architecture("zamba2"), tiny_tokenizer(), "cpu")
    wrong = list(subject.anatomy.blocks)
    for layer in (1, 3):
        down = wrong[layer].layer.get_submodule("shared_transformer.feed_forward.down_proj")
        wrong[layer] = replace(wrong[layer], o_proj=down, d_head=12)
    with pytest.raises(UnsupportedModel, match="twice a KV head's values are twice the outputs"):
        check_or_refuse(replace(subject, anatomy=replace(subject.anatomy, blocks=tuple(wrong))))


def test_an_index_of_keys_chooses_for_the_engine_too() -> None:
    """More tokens than the index takes keys: attention over all keys would give other logits."""
    model = tiny_architecture("deepseek_v32", index_topk=3, index_n_heads=16)
    subject = prepare("deepseek_v32", model, tiny_tokenizer(), "cpu")
    batch = batch_of([[5, 9, 31, 44, 12, 80, 7, 22, 61, 35]])
    found = run(subject, batch, [Intervention(name="intact")], Logits())["logits"][0, 0]
    own = subject.model(input_ids=batch.ids, use_cache=False).logits[0]
    assert torch.allclose(found, own, atol=1e-4)
    subject.model.config.index_topk = 10
    for layer in subject.model.model.layers:
        layer.self_attn.indexer.index_topk = 10
    assert not torch.allclose(subject.model(input_ids=batch.ids, use_cache=False).logits[0], own, atol=1e-2)


def test_numbers_thousands_of_times_as_large_in_the_stream_do_not_hide_the_sum() -> None:
    """Real models hold a few (massive activations): what a layer adds has their last bits."""
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[:, [3, 17]] *= 1e4
    subject = prepare("llama", model, tiny_tokenizer(), "cpu")
    assert all(block.has_attn and block.has_mlp and block.n_heads == 4 for block in subject.anatomy.blocks)


def test_heads_of_latent_attention_have_no_keys_and_values_of_their_own() -> None:
    subject = prepare("deepseek_v3", tiny_architecture("deepseek_v3"), tiny_tokenizer(), "cpu")
    assert subject.sizes["n_heads"] == 4
    with pytest.raises(BadConfiguration, match="No layer of this model has a KV head"):
        check_site(parse_site("L1.K0"), subject.sizes)


def test_shuffled_weights_shuffle_every_expert() -> None:
    subject = prepare("mixtral", tiny_architecture("mixtral"), tiny_tokenizer(), "cpu")
    twin = permuted(subject, 0)
    usual, other = (dict(s.model.named_parameters()) for s in (subject, twin))
    experts = [name for name, p in usual.items() if p.dim() == 3]
    assert experts
    for name in experts:
        for one, shuffled in zip(usual[name], other[name], strict=True):
            assert not torch.equal(one, shuffled)
            assert torch.allclose(one.flatten().sort().values, shuffled.flatten().sort().values)
