"""Tiny models with random weights, one of each architecture, made from a configuration: no download.

Everything that can be left out by mistake is there and matters: biases and norms are not 0 and 1, heads are wider
than d_model / n_heads where the architecture allows it, windows are shorter than the prompts, softcaps bite.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from lashley.experiments.model.loading import prepare
from lashley.experiments.model.subject import Subject
from lashley.experiments.tasks.batch import Batch

KINDS = (
    "gpt2",
    "llama",
    "gpt_neox",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "mistral",
    "phi",
    "opt",
    "olmo2",
    "gptj",
)
# What repeats a law on every architecture runs in CI on these: grouped queries, norms behind the branches, attention
# beside the MLP, outputs as tuples. The engine's own laws (test_engine.py) run on all of them everywhere.
IN_CI = ("gpt2", "llama", "gemma2", "gptj")
SAMPLED = [pytest.param(kind, marks=() if kind in IN_CI else pytest.mark.slow) for kind in KINDS]
VOCABULARY = 96
BASE = {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 64}  # fmt: skip
GROUPED = {"num_key_value_heads": 2}
WIDE = {**GROUPED, "head_dim": 12}
GPT = {"n_layer": 3, "n_embd": 32, "n_head": 4, "n_positions": 64, "n_inner": 48}
MIXED = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
SETTINGS: dict[str, dict[str, Any]] = {
    "gpt2": GPT,
    "llama": {**BASE, **GROUPED, "attention_bias": True, "mlp_bias": True},
    "gpt_neox": {**BASE, "rotary_pct": 0.5},
    "qwen2": {**BASE, **GROUPED},
    "qwen3": {**BASE, **WIDE},
    "gemma2": {**BASE, **WIDE, **MIXED, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {**BASE, **WIDE, **MIXED},
    "mistral": {**BASE, **WIDE, "sliding_window": 4},
    "phi": {**BASE, **GROUPED, "partial_rotary_factor": 0.5},
    "opt": {**BASE, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "olmo2": {**BASE, **GROUPED},
    "gptj": {**GPT, "rotary_dim": 4},
}


def tiny_model(kind: str, **changed: Any) -> PreTrainedModel:
    """A model of this architecture in which every parameter is random, the same one each time."""
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **{"vocab_size": VOCABULARY, **ends, **SETTINGS.get(kind, BASE), **changed})
    return randomised(AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """The model with every parameter random, the same each time."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Wide enough that attention prefers some tokens to others, and that a wrong bias or norm shows.
            parameter.copy_(
                parameter + 0.3 * noise if parameter.dim() == 1 else noise * 1.5 / parameter.shape[-1] ** 0.5
            )
    return model


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A word is a token: w3 ... w95 by their own names."""
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2, **{f"w{i}": i for i in range(3, VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        clean_up_tokenization_spaces=False,
    )


@functools.cache
def tiny_subject(kind: str) -> Subject:
    """A subject that has passed its self-check. Shared between tests, so leave it as it is."""
    return prepare(f"tiny-{kind}", tiny_model(kind), tiny_tokenizer(), "cpu")


def batch_of(rows: list[list[int]], reads: int = 1, spans: list[dict[str, tuple[int, int]]] | None = None) -> Batch:
    """Rows of token ids as a batch padded on the left, read at their last `reads` columns; spans count tokens."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    placed: list[dict[str, tuple[int, int]]] = []
    for i, row in enumerate(rows):
        shift = width - len(row)
        ids[i, shift:] = torch.tensor(row)
        mask[i, shift:] = 1
        end = width - reads + 1
        named = spans[i] if spans else {}
        placed.append({**{k: (a + shift, b + shift) for k, (a, b) in named.items()}, "last": (end - 1, end)})
    return Batch(
        ids=ids, mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0), reads=reads,
        targets=ids[:, -reads:].roll(-1, 1), answer_at=torch.zeros(len(rows), dtype=torch.long), pair=ids[:, -2:],
        prompt_len=mask.sum(-1) - (reads - 1), spans=tuple(placed),
        groups=tuple(("t", len(row) - (reads - 1)) for row in rows), questions=tuple(map(str, range(len(rows)))),
    )  # fmt: skip
