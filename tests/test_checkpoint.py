"""What a checkpoint must hold: every tensor that its model needs, in the right shape, finite, and nothing that is left
out. Each refusal is one line that names the tensors; each file that is whole gives the numbers of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lashley.experiments.errors import UnsupportedModel
from lashley.experiments.model.checkpoint import shortened
from lashley.experiments.model.loading import load, prepare, sizes_of
from lashley.tests.saved_models import Tensors, config, saved, tensors
from lashley.tests.tiny import tiny_model, tiny_tokenizer

UP = "model.layers.1.mlp.up_proj.weight"


def dropped(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {key: value for key, value in held.items() if key not in names}


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {key.replace(old, new): value for key, value in held.items()}


def with_value(key: str, value: float) -> Callable[[Tensors], Tensors]:
    def change(held: Tensors) -> Tensors:
        held[key][3, 3] = value
        return held

    return change


def same(held: Tensors) -> Tensors:
    return held


# What is done to the tensors and to the configuration, and what the line must say.
BROKEN: dict[str, tuple[Callable[[Tensors], Tensors], dict[str, Any], tuple[str, ...]]] = {
    "no unembedding": (dropped("lm_head.weight"), {}, ("missing (1): lm_head.weight",)),
    "one tensor less": (dropped(UP), {}, (f"missing (1): {UP}.",)),
    "no final norm": (dropped("model.norm.weight"), {}, ("missing (1): model.norm.weight",)),
    "one renamed": (renamed(UP, UP + "x"), {}, (f"missing (1): {UP}", f"does not have (1): {UP}x")),
    "all prefixed": (lambda held: {f"module.{k}": v for k, v in held.items()}, {},
                     ("missing (51): lm_head.weight", "(51): module.lm_head.weight", "more names")),
    "a layer less than the configuration": (same, {"num_hidden_layers": 4},
                                            ("missing (16): model.layers.3.input_layernorm.weight",)),
    "a layer more than the configuration": (same, {"num_hidden_layers": 2},
                                            ("does not have (16): model.layers.2.", "AutoModelForCausalLM")),
    "another shape": (lambda held: held | {UP: torch.ones(40, 32)}, {}, (f"shape (1): {UP} (40, 32) for (48, 32)",)),
    "another width": (same, {"intermediate_size": 64}, ("(48, 32) for (64, 32)", "model.layers.0-2.mlp.up_proj")),
    "a value head": (lambda held: held | {"v_head.summary.weight": torch.ones(1, 32)}, {}, ("v_head.summary.weight",)),
    "NaN": (with_value(UP, float("nan")), {}, ("NaN or infinite", UP)),
    "infinite": (with_value(UP, -float("inf")), {}, ("NaN or infinite", UP)),
    "NaN in a row that no probe reads": (with_value("lm_head.weight", float("nan")), {}, ("in 1 tensor: lm_head",)),
    "bitsandbytes": (same, {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
                     ("quantized (bitsandbytes)", "dequantize()")),
    "gptq": (same, {"quantization_config": {"quant_method": "gptq", "bits": 4}}, ("quantized (gptq)",)),
    "awq": (same, {"quantization_config": {"quant_method": "awq", "bits": 4}}, ("quantized (awq)",)),
    "an unknown method": (same, {"quantization_config": {"quant_method": "tin"}}, ("quantized (tin)",)),
    "a configuration of the wrong type": (same, {"num_hidden_layers": "three"}, ("num_hidden_layers", "'three'")),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_checkpoint_that_is_not_its_model_is_refused_by_the_tensors_names(tmp_path: Path, what: str) -> None:
    change, changed, says = BROKEN[what]
    folder = config(tensors(saved(tmp_path / "m"), change), **changed)
    with pytest.raises(UnsupportedModel) as refused:
        load(str(folder))
    line = str(refused.value)
    assert "\n" not in line
    assert [part for part in says if part not in line] == [], line


def test_a_classifier_is_refused_even_where_its_unembedding_is_tied(tmp_path: Path) -> None:
    from transformers import Qwen2ForSequenceClassification

    for tied in (False, True):
        folder = tmp_path / str(tied)
        model: Any = Qwen2ForSequenceClassification(tiny_model("qwen2", tie_word_embeddings=tied).config)
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        with pytest.raises(UnsupportedModel, match=r"saved as Qwen2ForSequenceClassification.*score\.weight"):
            load(str(folder))


@pytest.mark.parametrize("change", ["less", "shape"])
def test_an_expert_that_is_missing_or_of_another_shape_is_named(tmp_path: Path, change: str) -> None:
    folder = saved(tmp_path / "m", "mixtral", num_local_experts=4, num_key_value_heads=2)
    assert load(str(folder)).sizes["n_layers"] == 3
    one = next(key for key in load_file(folder / "model.safetensors") if ".1." in key and "experts.2." in key)
    tensors(folder, dropped(one) if change == "less" else lambda held: held | {one: torch.ones(7, 5)})
    with pytest.raises(
        UnsupportedModel, match=r"with a missing part or .*\(1\): model\.layers\.1\.mlp\.experts\.\w+\."
    ):
        load(str(folder))


def logits(folder: Path, **asked: Any) -> torch.Tensor:
    return load(str(folder), **asked).model(torch.arange(5, 25)[None]).logits


def test_what_a_model_makes_itself_may_be_absent_or_stand_there_in_vain(tmp_path: Path) -> None:
    """Masks and rotary tables of older files, an unembedding that is tied, and a file of the base model alone."""
    plain = saved(tmp_path / "plain", "gpt2")
    wanted = logits(plain)
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 64, 64).tril() for i in range(3)}
    masks |= {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(3)}
    older = tensors(saved(tmp_path / "older", "gpt2"), renamed("transformer.", ""))
    assert torch.equal(logits(tensors(older, lambda held: held | masks)), wanted)
    llama = saved(tmp_path / "llama")
    wanted = logits(llama)
    rotary = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(4) for i in range(3)}
    assert torch.equal(logits(tensors(llama, lambda held: held | rotary)), wanted)
    tied = saved(tmp_path / "tied", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    assert load(str(tied)).sizes["n_layers"] == 3


def test_two_embeddings_in_a_file_are_two_whatever_the_configuration_says(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", tie_word_embeddings=False)
    wanted = logits(folder)
    assert torch.equal(logits(config(folder, tie_word_embeddings=True)), wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_file_is_measured_in_fp32(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = tensors(saved(tmp_path / "m"), lambda held: {key: value.to(dtype) for key, value in held.items()})
    subject = load(str(config(folder, dtype=str(dtype).removeprefix("torch."))))
    held = load_file(folder / "model.safetensors")
    state = subject.model.state_dict()
    assert subject.dtype == torch.float32
    assert all(torch.equal(state[key], value.float()) for key, value in held.items())


def test_a_folder_of_shards_is_the_same_model_and_a_lost_shard_is_named(tmp_path: Path) -> None:
    whole = load(str(saved(tmp_path / "one")))
    tiny_model("llama").save_pretrained(tmp_path / "many", max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path / "many")
    shards = sorted((tmp_path / "many").glob("*.safetensors"))
    assert len(shards) > 2
    assert load(str(tmp_path / "many")).fingerprint == whole.fingerprint
    shards[1].unlink()
    with pytest.raises(UnsupportedModel, match=shards[1].name):
        load(str(tmp_path / "many"))


def test_fp8_weights_are_their_scale_times_their_values(tmp_path: Path) -> None:
    def packed(held: Tensors) -> Tensors:
        made = dict(held)
        for key in [k for k in held if k.endswith("_proj.weight")]:
            scale = held[key].abs().max() / 448
            made[key], made[f"{key}_scale_inv"] = (held[key] / scale).to(torch.float8_e4m3fn), scale.reshape(1, 1)
        return made

    method = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    folder = config(tensors(saved(tmp_path / "m"), packed), quantization_config=method)
    held = load_file(folder / "model.safetensors")
    state = load(str(folder)).model.state_dict()
    assert torch.equal(state[UP], held[UP].float() * held[f"{UP}_scale_inv"])


@pytest.mark.parametrize(
    "asked",
    [
        {"attn_implementation": "flash_attention_2"}, {"attn_implementation": "flex_attention"},
        {"_attn_implementation": "flash_attention_3"}, {"attn_implementation": "kernels-community/flash-attn"},
        {"return_dict": False}, {"output_hidden_states": True},
    ],
    ids=str,
)  # fmt: skip
def test_how_an_author_ran_a_model_is_no_part_of_it(tmp_path: Path, asked: dict[str, Any]) -> None:
    folder = saved(tmp_path / "m")
    plain = load(str(folder))
    other = load(str(config(folder, **asked)))
    assert other.fingerprint == plain.fingerprint
    assert other.model.config._attn_implementation in ("sdpa", "eager")
    ids = torch.arange(5, 25)[None]
    assert torch.equal(other.model(ids).logits, plain.model(ids).logits)


def test_a_model_in_memory_gets_an_attention_that_the_engine_can_call() -> None:
    model = tiny_model("llama")
    model.config._attn_implementation = "flex_attention"
    assert prepare("m", model, tiny_tokenizer(), "cpu").model.config._attn_implementation == "sdpa"


def test_a_model_in_memory_with_a_weight_that_is_no_number_is_refused() -> None:
    model = tiny_model("gpt2")
    with torch.no_grad():
        model.get_input_embeddings().weight[90, 0] = float("nan")
    with pytest.raises(UnsupportedModel, match=r"NaN or infinite, in \d tensors?: .*wte\.weight"):
        prepare("m", model, tiny_tokenizer(), "cpu")


@pytest.mark.parametrize(("kind", "why"), [
    ("ctrl", r"^EncoderLayer: it adds a third branch \(ffn\)"), ("codegen", r"the model's own code fails"),
])  # fmt: skip
def test_whatever_goes_wrong_in_the_self_check_is_a_refusal_by_name(kind: str, why: str) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        prepare("m", tiny_model(kind), tiny_tokenizer(), "cpu")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UnsupportedModel, match=r"model\.safetensors is damaged or incomplete"):
        load(str(folder))
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(UnsupportedModel, match="git lfs pull"):
        load(str(folder))
    folder = saved(tmp_path / "mute")
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(UnsupportedModel, match="has no tokenizer"):
        load(str(folder))
    folder = saved(tmp_path / "words")
    (folder / "config.json").write_text("{")
    assert sizes_of(str(folder)) == {}
    with pytest.raises(UnsupportedModel, match="valid JSON"):
        load(str(folder))


def test_a_message_is_not_cut(tmp_path: Path) -> None:
    """What transformers says of a model that it does not know ends, after some lines, with what to do."""
    with pytest.raises(UnsupportedModel) as refused:
        load(str(config(saved(tmp_path / "m"), model_type="abacus")))
    assert "abacus" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) > 400


def test_names_of_several_layers_are_one() -> None:
    assert shortened([f"model.layers.{i}.mlp.up.weight" for i in (0, 1, 2, 5)]) == "model.layers.0-2,5.mlp.up.weight"
    assert shortened(["b", "a"]) == "a, b"
    assert shortened(list("abcdef")) == "a, b, c, d and 2 more names"
