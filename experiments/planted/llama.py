"""The planted circuits of heads in the shape of a llama: rotary positions, RMS norms, heads that share keys and values.

The stream has no slot for positions. A head that attends to the position before does it by rotation: its query is the
same everywhere, in the fast planes; its key is the query turned by one step, so the score is highest one step back. A
head that compares codes holds them in the slow planes, which turn by less than a thousandth of a radian a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .build import ANCHOR, GAIN, HEIGHT, SAID, SCORE, TOKEN, TOKENS, tokenizer
from .circuits import SLOTS, PlantedCircuit, PlantedHead

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

N_HEADS, N_KV_HEADS = 4, 2
D_MODEL, D_HEAD = 320, 256
PLANES, THETA = D_HEAD // 2, 1e8
# Planes of a head: those that turn fast enough to tell positions from each other, and the first of those that hold
# codes.
FAST, SLOW = 48, 56
POSITIONS = 64


def llama_model(planted: PlantedCircuit) -> LlamaForCausalLM:
    """Raises ValueError for a circuit with an MLP, or with a head that looks for a fixed position."""
    from transformers import LlamaConfig, LlamaForCausalLM

    if planted.gate is not None or any(head.until < POSITIONS for head in planted.heads):
        raise ValueError("Only circuits of heads that attend back or match codes have this shape.")
    config = LlamaConfig(
        vocab_size=TOKENS, hidden_size=D_MODEL, intermediate_size=8, num_hidden_layers=planted.n_layers,
        num_attention_heads=N_HEADS, num_key_value_heads=N_KV_HEADS, head_dim=D_HEAD, max_position_embeddings=POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": THETA}, tie_word_embeddings=False, rms_norm_eps=1e-6,
        pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    made = LlamaForCausalLM(config)
    body: Any = made.model
    with torch.no_grad():
        for weight in made.parameters():
            weight.zero_()
        deviation = HEIGHT * (2 / D_MODEL) ** 0.5
        for norm in (body.norm, *(n for la in body.layers for n in (la.input_layernorm, la.post_attention_layernorm))):
            norm.weight.fill_(deviation)
        body.embed_tokens.weight[:, TOKEN] = torch.eye(TOKENS)
        body.embed_tokens.weight[:, ANCHOR[0]], body.embed_tokens.weight[:, ANCHOR[1]] = HEIGHT, -HEIGHT
        made.lm_head.weight[:, SAID] = GAIN * torch.eye(TOKENS)
        for head in planted.heads:
            layer, h = (int(part[1:]) for part in head.at.split("."))
            put(body.layers[layer].self_attn, h, head)
    return made


def put(attn: Any, h: int, head: PlantedHead) -> None:
    query, key, value, out = (torch.zeros(D_MODEL, D_HEAD) for _ in range(4))
    if head.attends == "back":
        query[ANCHOR[0]], key[ANCHOR[0]] = one_step_back() / HEIGHT
    else:
        codes = slice(SLOW, SLOW + TOKENS)
        query[SLOTS[head.query], codes], key[SLOTS[head.key], codes] = SCORE * torch.eye(TOKENS), torch.eye(TOKENS)
    read, written = (SLOTS[slot] for slot in head.moves)
    value[read, :TOKENS], out[written, :TOKENS] = torch.eye(TOKENS), torch.eye(TOKENS)
    mine, shared = (slice(i * D_HEAD, (i + 1) * D_HEAD) for i in (h, h * N_KV_HEADS // N_HEADS))
    attn.q_proj.weight[mine] = D_HEAD**0.5 * query.T
    attn.k_proj.weight[shared], attn.v_proj.weight[shared] = key.T, value.T
    attn.o_proj.weight[:, mine] = out


def one_step_back() -> Tensor:
    """The query and the key [2, d_head] before rotation of a head that attends to the position before: its score leads
    that of all other positions by `SCORE`."""
    turn = THETA ** (-torch.arange(FAST) / PLANES)
    lead = min(float((1 - torch.cos(turn * step)).sum()) for step in range(1, POSITIONS))
    query, key = torch.zeros(D_HEAD), torch.zeros(D_HEAD)
    # The two numbers of a plane stand half a head from each other.
    query[:FAST] = SCORE / lead
    key[:FAST], key[PLANES : PLANES + FAST] = torch.cos(turn), torch.sin(turn)
    return torch.stack([query, key])


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """That of the planted subjects, with the end token before each text: nothing else marks the first position."""
    from tokenizers import processors

    made = tokenizer()
    backend: Any = made.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(single="<end> $A", special_tokens=[("<end>", 1)])
    return made
