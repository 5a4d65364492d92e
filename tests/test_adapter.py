"""LoRA adapters: merged they compute what peft computes side by side, with every tensor used, or they are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from lashley.agent.main import cli
from lashley.experiments.errors import UnsupportedModel
from lashley.experiments.model.loading import load, sizes_of
from lashley.tests.saved_models import Tensors, adapter, config, saved, tensors

pytest.importorskip("peft")
FILES = ("adapter_config.json", "adapter_model.safetensors")
IDS = torch.arange(5, 25)[None]


def side_by_side(base: Path, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of the model alone, and of the model with its adapter, as peft runs them."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(base).eval()
        alone = model(IDS).logits
        return alone, PeftModel.from_pretrained(model, folder).eval()(IDS).logits


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {}), ("llama", {"use_dora": True}), ("llama", {"use_rslora": True, "lora_alpha": 3}),
        ("llama", {"modules_to_save": ["lm_head"]}), ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
        ("llama", {"bias": "all"}), ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ("qwen2", {"target_modules": "all-linear"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_merged_model_computes_what_model_and_adapter_do(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    base = saved(tmp_path / "base", kind)
    folder = adapter(tmp_path / "lora", base, **settings)
    alone, both = side_by_side(base, folder)
    subject = load(str(folder))
    assert float((both - alone).abs().max()) > 0.1
    assert torch.allclose(subject.model(IDS).logits, both, atol=1e-4)
    assert type(subject.model).__name__ == type(load(str(base)).model).__name__
    assert sizes_of(str(folder))["n_layers"] == 3


def test_the_fingerprint_is_of_the_base_and_of_the_adapter(tmp_path: Path) -> None:
    base, other = saved(tmp_path / "base"), saved(tmp_path / "other", rms_norm_eps=1e-4)
    first, second = adapter(tmp_path / "a", base), adapter(tmp_path / "b", base, seed=1)
    prints = [load(str(folder)).fingerprint for folder in (base, first, second)]
    config(first, FILES[0], base_model_name_or_path=str(other))
    prints.append(load(str(first)).fingerprint)
    config(first, FILES[0], base_model_name_or_path=str(base), lora_alpha=99)
    prints.append(load(str(first)).fingerprint)
    assert len(set(prints)) == 5
    # Where the adapter was trained, and what its base is called there, is no part of what it computes.
    config(first, FILES[0], base_model_name_or_path=str(base) + "/", inference_mode=False)
    subject = load(str(first))
    assert subject.fingerprint == prints[-1]
    assert subject.describe()["made_of"] == {
        "base": f"{base}/", "base_fingerprint": prints[0],
        "adapter_fingerprint": subject.made_of.adapter_fingerprint if subject.made_of else "",
    }  # fmt: skip


def test_an_adapter_beside_a_full_model_is_merged_once_and_said(tmp_path: Path) -> None:
    base = saved(tmp_path / "m")
    apart = adapter(tmp_path / "lora", base)
    alone = load(str(base))
    wanted = load(str(apart)).model(IDS).logits
    for name in FILES:
        (base / name).write_bytes((apart / name).read_bytes())
    said: list[str] = []
    subject = load(str(base), progress=said.append)
    assert torch.equal(subject.model(IDS).logits, wanted)
    assert subject.made_of is not None
    assert (subject.made_of.base, subject.made_of.base_fingerprint) == (str(base), alone.fingerprint)
    assert [
        line
        for line in said
        if "merged into the full model in the same folder" in line and "adapter_config.json" in line
    ]


def test_an_alias_is_a_base(tmp_path: Path) -> None:
    """The base by its name, in a study of a planted model."""
    planted = load("planted:null")
    settings = {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    folder = adapter(tmp_path / "lora", Path(planted.model.config._name_or_path), **settings)
    config(folder, FILES[0], base_model_name_or_path="planted:null")
    subject = load(str(folder))
    assert subject.made_of is not None
    assert (subject.made_of.base, subject.made_of.base_fingerprint) == ("planted:null", planted.fingerprint)
    assert subject.tokenizer.get_vocab() == planted.tokenizer.get_vocab()


def less(held: Tensors) -> Tensors:
    return {key: value for key, value in held.items() if key != min(held)}


def moved(held: Tensors) -> Tensors:
    return {key.replace("layers.0", "layers.7"): value for key, value in held.items()}


def shaped(held: Tensors) -> Tensors:
    return held | {min(held): torch.ones(3, 3)}


def no_number(held: Tensors) -> Tensors:
    held[min(held)][0, 0] = float("nan")
    return held


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (less, r"missing \(1\): .*layers\.0\.self_attn\.q_proj\.lora_A\.weight"),
        (moved, r"missing \(4\): .*does not have \(4\): .*layers\.7\."),
        (shaped, r"another shape \(1\): .*lora_A\.weight \(3, 3\) for \(4, 32\)"),
        (no_number, r"NaN or infinite, in 1 tensor: model\.layers\.0\.self_attn\.q_proj\.weight"),
    ],
)  # fmt: skip
def test_an_adapter_whose_tensors_do_not_fit_is_refused_by_their_names(tmp_path: Path, change: Any, says: str) -> None:
    folder = tensors(adapter(tmp_path / "lora", saved(tmp_path / "base")), change, FILES[1])
    with pytest.raises(UnsupportedModel, match=says) as refused:
        load(str(folder))
    assert "\n" not in str(refused.value)


def test_what_cannot_be_merged_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = saved(tmp_path / "base")
    folder = adapter(tmp_path / "lora", base)

    def refused(says: str, where: Path = folder, **changed: Any) -> None:
        before = (where / FILES[0]).read_text()
        with pytest.raises(UnsupportedModel, match=says) as fault:
            load(str(config(where, FILES[0], **changed)))
        assert "\n" not in str(fault.value)
        (where / FILES[0]).write_text(before)

    refused("names no base model", base_model_name_or_path=None)
    refused(r"base model of the adapter in .* is not available\. There is no model '/no/such'",
            base_model_name_or_path="/no/such")  # fmt: skip
    refused("names its own folder", base_model_name_or_path=str(folder))
    refused(
        "missing", base_model_name_or_path=str(saved(tmp_path / "more", num_hidden_layers=4)), target_modules=["k_proj"]
    )
    tied = saved(tmp_path / "tied", tie_word_embeddings=True)
    refused("cannot be merged: .* tied", where=adapter(tmp_path / "head", tied, target_modules=["lm_head"]))
    inner = adapter(tmp_path / "inner", base)
    refused("is itself an adapter", base_model_name_or_path=str(inner))
    held = load_file(folder / FILES[1])
    assert held
    (folder / FILES[1]).rename(folder / "adapter_model.bin")
    refused(r"no adapter_model\.safetensors. Pickled weights are refused")
    (folder / FILES[1]).write_bytes((folder / "adapter_model.bin").read_bytes()[:900])
    refused(r"adapter_model\.safetensors is damaged or incomplete")
    (folder / "adapter_model.bin").rename(folder / FILES[1])
    for name in [m for m in sys.modules if m.partition(".")[0] == "peft"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "peft", None)
    refused(r'pip install "lashley\[lora\]"')


def test_a_prompt_that_was_learnt_is_no_weight(tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = saved(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")).save_pretrained(
        str(tmp_path / "p")
    )
    assert json.loads((tmp_path / "p" / FILES[0]).read_text())["base_model_name_or_path"] == str(base)
    with pytest.raises(UnsupportedModel, match="cannot be merged: its type is PROMPT_TUNING"):
        load(str(tmp_path / "p"))


def test_the_command_shows_what_a_subject_was_merged_from(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "lora", saved(tmp_path / "base"))
    shown = CliRunner().invoke(cli, ["models", "check", str(folder)])
    made_of = load(str(folder)).made_of
    assert made_of is not None
    assert shown.exit_code == 0
    assert (
        f"{made_of.adapter_fingerprint}, merged into {tmp_path / 'base'} ({made_of.base_fingerprint})" in shown.output
    )
    tensors(folder, less, FILES[1])
    shown = CliRunner().invoke(cli, ["models", "check", str(folder)])
    assert (shown.exit_code, shown.output.count("\n")) == (2, 1)
    assert "Error: " in shown.output
