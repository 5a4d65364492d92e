"""Every causal language model of the installed transformers, tiny and with random weights.

There are too many to write each down: a configuration is shrunk wherever it has one of the usual names for a size.
SPECIAL says what that leaves out: layers of each sort where layers differ, and sizes with names of their own.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from lashley.tests.tiny import VOCABULARY, randomised

# Their parts have sizes that no configuration shrinks, or take minutes to build.
TOO_LARGE = ("blt", "dots3_note_text", "git", "phi4_multimodal", "roc_bert")
ALL = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers")
WIDTH = ("hidden_size", "n_embd", "d_model", "embedding_size", "emb_dim", "word_embed_proj_dim", "embedding_dim")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads",
         "encoder_attention_heads", "swa_num_attention_heads")  # fmt: skip
GROUPS = ("num_key_value_heads", "swa_num_key_value_heads")
D_HEAD = ("head_dim", "swa_head_dim", "global_head_dim", "v_head_dim", "qk_nope_head_dim", "dim_head", "d_head")
NEURONS = ("intermediate_size", "n_inner", "ffn_dim", "dim_ff", "dff", "ffn_hidden_size", "d_inner",
           "decoder_ffn_dim", "encoder_ffn_dim", "dense_intermediate_size", "intermediate_size_mlp")  # fmt: skip
EXPERT_NEURONS = ("moe_intermediate_size", "shared_expert_intermediate_size", "shared_experts_intermediate_size",
                  "moe_shared_expert_intermediate_size", "shared_intermediate_size",
                  "expert_ffn_hidden_size")  # fmt: skip
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "num_experts_per_topk")
GROUPED_EXPERTS = ("n_group", "topk_group", "num_expert_group")
OTHERS: dict[str, Any] = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "max_position_embeddings": 64, "n_positions": 64,
    "n_ctx": 64, "max_seq_len": 64, "sliding_window": 4, "sliding_window_size": 4, "window_size": 4,
    "local_attention": 8,
    "rotary_dim": 4, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 4, "first_k_dense_replace": 1,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_head_dim": 8, "linear_num_heads": 4, "state_size": 8, "ssm_state_size": 8, "mamba_d_state": 8,
    "mamba_dt_rank": 4,
    "time_step_rank": 4, "chunk_size": 8, "mamba_chunk_size": 8, "attention_window_size": 4, "lru_width": 32,
    "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8, "block_size": 8, "dropout": 0.0,
    "attention_dropout": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "activation_dropout": 0.0, "moe_intermediate_size": 16, "laurel_rank": 8,
    "attention_chunk_size": 4, "moe_layer_end_index": 3, "moe_layer_start_index": 1, "gated_norm_rank": 4,
    "intermediate_multiple_size": 2, "type_vocab_size": 2, "router_hidden_size": 16, "d_rel": 4, "rel_extent": 16,
    "attention_hidden_size": 32, "multiple_of": 8, "block_multiple_of": 8, "ffn_round_up_to_multiple_of": 8,
}  # fmt: skip
FOUR = {"num_hidden_layers": 4}
LINEAR = {**FOUR, "layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"]}
SPECIAL: dict[str, dict[str, Any]] = {
    "gpt_neo": {"num_layers": 4, "attention_types": [[["global", "local"], 2]]},
    "qwen3_next": LINEAR,
    "qwen3_5_text": LINEAR,
    "qwen3_5_moe_text": LINEAR,
    "olmo_hybrid": LINEAR,
    "minimax": LINEAR,
    "bailing_hybrid": {**LINEAR, "mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
    "zaya": {"num_experts_per_tok": 1},
    "dots1": {"layer_types": None, "n_shared_experts": 1, "n_routed_experts": 4},
    "kimi_linear": {**LINEAR, "mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
    "jamba": {**FOUR, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
              "expert_layer_offset": 0},
    "bamba": {**FOUR, "attn_layer_indices": [1, 3], "mamba_n_heads": 4, "mamba_d_head": 16},
    "granitemoehybrid": {
        **FOUR, "layer_types": ["mamba", "attention", "mamba", "attention"], "mamba_n_heads": 4, "mamba_d_head": 16,
        "residual_multiplier": 0.7,
    },
    "falcon_h1": {
        "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1, "attention_in_multiplier": 0.9,
        "attention_out_multiplier": 0.7, "ssm_out_multiplier": 1.3, "mlp_multipliers": [0.8, 0.6],
    },
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"], "mamba_num_heads": 4,
        "mamba_head_dim": 16, "n_groups": 1,
    },
    "lfm2": {**FOUR, "layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {**FOUR, "layer_types": ["conv", "full_attention", "conv", "full_attention"], "num_dense_layers": 1},
    "lfm3": {**FOUR, "layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "zamba2": {
        **FOUR, "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"], "n_mamba_heads": 4,
        "mamba_headdim": 16, "adapter_rank": 4, "num_mem_blocks": 1, "attention_head_dim": 16, "kv_channels": 8,
        "attention_hidden_size": 64, "mamba_ngroups": 1, "num_key_value_heads": 4,
    },
    "zamba": {
        **FOUR, "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"], "n_mamba_heads": 2,
        "attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4,
    },
    "recurrent_gemma": {**FOUR, "block_types": ["recurrent", "attention"], "num_key_value_heads": 1, "head_dim": 8},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1},
    "granite": {"residual_multiplier": 0.5, "embedding_multiplier": 2.0, "attention_multiplier": 0.3},
    "granitemoe": {"residual_multiplier": 0.5, "embedding_multiplier": 2.0, "attention_multiplier": 0.3},
    "granitemoeshared": {"residual_multiplier": 0.5, "shared_intermediate_size": 16},
    "granite_swa": {"residual_multiplier": 0.5},
    "granitemoe_swa": {"residual_multiplier": 0.5},
    "gemma4_text": {
        **FOUR, "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        "global_head_dim": 16, "num_kv_shared_layers": 0,
    },
    "gemma4_unified_text": {
        **FOUR, "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        "global_head_dim": 16,
    },
    "gemma3n_text": {
        **FOUR, "layer_types": ["sliding_attention", "full_attention"] * 2, "intermediate_size": [48] * 4,
        "num_kv_shared_layers": 2, "activation_sparsity_pattern": [0.0] * 4,
    },
    "falcon": {"num_kv_heads": 4, "new_decoder_architecture": False, "parallel_attn": True, "multi_query": True},
    "deepseek_v2": {**FOUR, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    "deepseek_v3": {**FOUR, "first_k_dense_replace": 1},
    "llama4_text": {**FOUR, "moe_layers": [1, 3], "no_rope_layers": [1, 1, 1, 0], "layer_types": None},
    "glm4_moe": {**FOUR, "first_k_dense_replace": 1},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0},
             "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32}},
    "reformer": {"axial_pos_embds": False, "is_decoder": True, "attn_layers": ["local"] * 3, "attention_head_size": 8,
                 "feed_forward_size": 48, "local_attn_chunk_length": 8},
    "xlstm": {"num_blocks": 3, "qk_dim_factor": 0.5, "v_dim_factor": 1.0},
    "prophetnet": {"num_decoder_layers": 3, "num_encoder_layers": 3, "num_decoder_attention_heads": 4,
                   "num_encoder_attention_heads": 4},
    "xglm": {"num_layers": 3},
    "openai-gpt": {},
    "phi3": {"pad_token_id": 0, "original_max_position_embeddings": 64},
    "ctrl": {"dff": 48},
    "lm": {},
    "blenderbot": {"is_decoder": True, "is_encoder_decoder": False},
}  # fmt: skip
DECODERS = ("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
            "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl",
            "xmod")  # fmt: skip


def small(names: dict[str, Any]) -> dict[str, Any]:
    """What shrinks a configuration that has these names."""
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        **dict.fromkeys(LAYERS, 3), **dict.fromkeys(WIDTH, 32), **dict.fromkeys(HEADS, 4), **dict.fromkeys(GROUPS, 2),
        **dict.fromkeys(D_HEAD, 8), **dict.fromkeys(NEURONS, 48), **dict.fromkeys(EXPERTS, 4),
        **dict.fromkeys(CHOSEN, 2), **dict.fromkeys(GROUPED_EXPERTS, 1), **OTHERS, **dict.fromkeys(EXPERT_NEURONS, 16),
    }  # fmt: skip
    if "kv_lora_rank" in names:  # latent attention has keys and values for every head, and turns a part of each
        sizes |= {**dict.fromkeys(GROUPS, 4), "head_dim": 4}
    return {name: value for name, value in sizes.items() if name in names}


def tiny_architecture(kind: str, **changed: Any) -> PreTrainedModel:
    """A causal language model of this `model_type`, every parameter random. Raises what transformers raises where the
    sizes do not fit each other."""
    from transformers import AutoModelForCausalLM

    defaults = AutoConfig.for_model(kind).to_dict()
    settings = {
        **small(defaults),
        **({"is_decoder": True} if kind in DECODERS else {}),
        **SPECIAL.get(kind, {}),
        **changed,
    }
    text = defaults.get("text_config")
    if isinstance(text, dict) and "model_type" in text:
        inner = str(text["model_type"])
        own = AutoConfig.for_model(inner).to_dict()
        settings = {"text_config": {**small(own), **SPECIAL.get(inner, {}), **changed}}
        for other in ("vision_config", "audio_config", "image_config"):
            if isinstance(defaults.get(other), dict):
                settings[other] = small(defaults[other])
    config = AutoConfig.for_model(kind, **settings)
    return randomised(AutoModelForCausalLM.from_config(config))
