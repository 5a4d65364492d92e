"""Tiny models saved to folders, and what goes wrong with such folders; GGUF files and adapters beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lashley.tests.tiny import VOCABULARY, tiny_model, tiny_tokenizer

Tensors = dict[str, Tensor]


def saved(folder: Path, kind: str = "llama", **changed: Any) -> Path:
    """A folder with a tiny model and its tokenizer."""
    tiny_model(kind, **changed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tensors(folder: Path, change: Callable[[Tensors], Tensors], file: str = "model.safetensors") -> Path:
    """The same folder with other tensors in its file."""
    save_file(change(load_file(folder / file)), folder / file, metadata={"format": "pt"})
    return folder


def config(folder: Path, file: str = "config.json", **changed: Any) -> Path:
    """The same folder with other values in its configuration."""
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    return folder


def adapter(folder: Path, base: Path, seed: int = 0, **settings: Any) -> Path:
    """A folder with a LoRA adapter of the model in `base`, none of whose matrices is zero."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    chosen = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **settings}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**chosen))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(str(folder))
    return folder


def gguf(
    path: Path,
    seed: int = 0,
    without: Iterable[str] = (),
    more: dict[str, np.ndarray] | None = None,
    theta: float = 1e4,
) -> Path:
    """A GGUF file of a tiny llama with three layers, four heads and a vocabulary of our own."""
    from gguf import GGUFWriter

    d_model, d_mlp, layers = 32, 48, 3
    generator = torch.Generator().manual_seed(seed)
    made = GGUFWriter(str(path), "llama")
    made.add_block_count(layers)
    made.add_context_length(64)
    made.add_embedding_length(d_model)
    made.add_feed_forward_length(d_mlp)
    made.add_head_count(4)
    made.add_head_count_kv(2)
    made.add_layer_norm_rms_eps(1e-5)
    made.add_rope_freq_base(theta)
    made.add_vocab_size(VOCABULARY)
    words = ["<pad>", "<bos>", "<eos>", "w", "Ġ", "Ġw", *(f"t{i}" for i in range(VOCABULARY - 6))]
    made.add_tokenizer_model("gpt2")
    made.add_tokenizer_pre("smollm")
    made.add_token_list(words)
    made.add_token_types([3, 3, 3] + [1] * (VOCABULARY - 3))
    made.add_token_merges(["Ġ w"])
    made.add_bos_token_id(1)
    made.add_eos_token_id(2)
    made.add_pad_token_id(0)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCABULARY, d_model), "output.weight": (VOCABULARY, d_model),
        "output_norm.weight": (d_model,),
    }  # fmt: skip
    for layer in range(layers):
        for name, shape in {
            "attn_norm": (d_model,), "attn_q": (d_model, d_model), "attn_k": (d_model // 2, d_model),
            "attn_v": (d_model // 2, d_model), "attn_output": (d_model, d_model), "ffn_norm": (d_model,),
            "ffn_gate": (d_mlp, d_model), "ffn_up": (d_mlp, d_model), "ffn_down": (d_model, d_mlp),
        }.items():  # fmt: skip
            shapes[f"blk.{layer}.{name}.weight"] = shape
    numbers = {
        name: (0.3 * torch.randn(shape, generator=generator) + (len(shape) == 1)).numpy().astype(np.float32)
        for name, shape in shapes.items()
    }
    for name, value in ({k: v for k, v in numbers.items() if k not in without} | (more or {})).items():
        made.add_tensor(name, value)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return path
