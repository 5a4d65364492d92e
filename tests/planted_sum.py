"""A planted causal model: a GPT-2 made by hand that adds a and b modulo 7 at b, and then c at the end.

    layer 0   a head moves the code of the token before; the MLP writes a + b at b, as a point on a circle in two
              dimensions of the stream (the same at every other position, of the two tokens there)
    layer 1   one head moves that point from b to the end, another one the code of c; the MLP turns the point by c, and
              says where it is
    layer 2   writes nothing

So the variable s = a + b is after layer 0 at b, in two known dimensions, and nowhere else; after layer 1 the end holds
the answer. The norms are made harmless as in `experiments.planted.build`.
"""

from __future__ import annotations

import functools
import json
import math
from itertools import product
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from lashley.experiments.lab import Lab, lab_of
from lashley.experiments.model.loading import prepare
from lashley.experiments.planted.build import HEIGHT, SCORE, writers
from lashley.experiments.tasks.from_file import from_jsonl

K, D_MODEL, D_HEAD, HEADS, LAYERS, POSITIONS = 7, 128, 32, 4, 3, 16
SPECIAL = ("<pad>", "<end>", "=")
TOKENS = len(SPECIAL) + K
POSITION, TOKEN, BEFORE, MOVED, SAID = (slice(16 * i, 16 * i + 16) for i in range(5))
SUM, MOVED_SUM = slice(96, 98), slice(98, 100)
ANCHOR, BALANCE = (100, 101), 102


def digits(part: slice) -> slice:
    """Where a slot has the codes of the numbers."""
    return slice(part.start + len(SPECIAL), part.start + TOKENS)


def tokenizer() -> PreTrainedTokenizerFast:
    names = {name: i for i, name in enumerate((*SPECIAL, *map(str, range(K))))}
    made = Tokenizer(models.WordLevel(names, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>",
                                   clean_up_tokenization_spaces=False)  # fmt: skip


def circle() -> Tensor:
    """[number, 2]"""
    angles = torch.arange(K) * 2 * math.pi / K
    return torch.stack([angles.cos(), angles.sin()], -1)


def looks(layer: Any, head: int, at: dict[int, int], copied: slice, into: slice) -> None:
    """A head whose query at each position of `at` attends to the position given there (others to position 0), and
    moves one slot into another."""
    query, key, value, out = (torch.zeros(D_MODEL, D_HEAD) for _ in range(4))
    for position in range(POSITIONS):
        query[POSITION.start + position, at.get(position, 0)] = 1.0
        key[POSITION.start + position, position] = 1.0
    width = copied.stop - copied.start
    value[copied, :width], out[into, :width] = torch.eye(width), torch.eye(width)
    place = slice(head * D_HEAD, (head + 1) * D_HEAD)
    for part, matrix in enumerate((SCORE * D_HEAD**0.5 * query, key, value)):
        layer.attn.c_attn.weight[:, part * D_MODEL :][:, place] = matrix
    layer.attn.c_proj.weight[place] = out.T


def model() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=TOKENS, n_positions=POSITIONS, n_embd=D_MODEL, n_layer=LAYERS, n_head=HEADS, n_inner=K * K,
        activation_function="relu", tie_word_embeddings=False, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    made = GPT2LMHeadModel(config)
    body: Any = made.transformer
    with torch.no_grad():
        for weight in made.parameters():
            weight.zero_()
        for norm in (body.ln_f, *(norm for layer in body.h for norm in (layer.ln_1, layer.ln_2))):
            norm.weight.fill_(HEIGHT * (2 / D_MODEL) ** 0.5)
        body.wte.weight[:, TOKEN][:, :TOKENS] = torch.eye(TOKENS)
        body.wpe.weight[:, POSITION][:, :POSITIONS] = torch.eye(POSITIONS)
        body.wpe.weight[:, ANCHOR[0]], body.wpe.weight[:, ANCHOR[1]] = HEIGHT, -HEIGHT
        first, second = body.h[0], body.h[1]
        looks(first, 1, {p: p - 1 for p in range(1, POSITIONS)}, TOKEN, BEFORE)
        looks(second, 0, {3: 1}, SUM, MOVED_SUM)
        looks(second, 2, {3: 2}, TOKEN, MOVED)
        for neuron, (i, j) in enumerate(product(range(K), repeat=2)):
            first.mlp.c_fc.weight[digits(BEFORE).start + i, neuron] = 1.0
            first.mlp.c_fc.weight[digits(TOKEN).start + j, neuron] = 1.0
            first.mlp.c_fc.bias[neuron] = -1.0
            first.mlp.c_proj.weight[neuron, SUM] = circle()[(i + j) % K]
            # 4 (1 + cos) where c is j, nothing where it is not.
            second.mlp.c_fc.weight[MOVED_SUM, neuron] = 4 * circle()[i]
            second.mlp.c_fc.weight[digits(MOVED).start + j, neuron] = 10.0
            second.mlp.c_fc.bias[neuron] = -6.0
            second.mlp.c_proj.weight[neuron, digits(SAID).start + (i + j) % K] = 1.0
        made.lm_head.weight[:, SAID] = 3 * torch.eye(16)[:TOKENS]
        for written in (body.wte.weight, body.wpe.weight, *(w for layer in body.h for w in writers(layer))):
            written[:, BALANCE] = -written.sum(-1)
    return made


@functools.cache
def sum_lab() -> Lab:
    """The planted model with its task: "a b c =" of numbers below 7."""
    lines: list[str] = []
    for a, b, c in product(range(K), repeat=3):
        text, answer = f"{a} {b} {c} =", (a + b + c) % K
        spans = {"a": [0, 1], "b": [2, 3], "c": [4, 5]}
        lines.append(json.dumps({"text": text, "answer": f" {answer}", "distractor": f" {(answer + 1) % K}",
                                 "spans": spans, "template": "sum"}))  # fmt: skip
    return lab_of(prepare("planted-sum", model(), tokenizer(), "cpu"), from_jsonl("sum7", "\n".join(lines)))
