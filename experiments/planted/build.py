"""Builds the planted subjects: real GPT-2s whose weights are set by hand.

The residual stream is cut into slots that do not overlap; each holds a one-hot code, or nothing.

    position   64   which position this is, written by the position embedding
    token      60   which token this is, written by the token embedding
    previous   60   which token came before, written by a previous-token head
    said       60   which token comes next, written by an induction head, read by the unembedding
    anchor      2   +100 and -100, always, written by the position embedding
    balance     1   minus the sum of all slots
    constant    1   1 where a constant head is there
    (8 are empty)

LayerNorm is made harmless: because of the balance the mean is 0, and because of the anchor the deviation is the same
everywhere to within a part in a thousand. The norm's weight is that deviation, so what goes in comes out.

A score of 20 for one key and 0 for up to 63 others gives it a weight above 1 - 1e-6.

- A previous-token head: the query of position p is the code of p - 1, the key of p is the code of p. Its OV moves the
  code in `token` into `previous`. (Position 0 has none before it, and sees itself.)
- An induction head: the query is the code in `token`, the key the code in `previous`. So it attends to what came
  after the same token; position 0 is kept out by a score of -20. Where there is nothing of the kind it attends to all
  alike. Its OV moves the code in `token` into `said`. That is K-composition with the previous-token head, and nothing
  else joins the two.
- All other heads rest on position 0 and write nothing, or, where `noise` asks for it, a random vector for each token
  into `said`. What stands first in an induction prompt is never its answer, its distractor or its last word, and the
  words are drawn alike, so answer and distractor get noise of the same distribution: by symmetry the removal of such a
  head changes the logit difference by 0 in the mean over all prompts, by any method.
- A constant head writes 1 into `constant` at every position, whatever it reads.
- MLPs write nothing, but in two kinds of layer. In one of several induction heads one neuron (ReLU) for each token
  takes away what is above 1 in `said`. So two of them say no more than one, and each stands in for the other. In one
  that has an induction head, where the model has a constant head, one neuron for each token turns `said` round, unless
  `constant` holds it down.
- The unembedding reads `said`, times 10. The answer leads by 10 logits, and the loss is 0.003.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .truth import N_HEADS, SPECIAL, WORDS, Truth

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

POSITIONS = 64
TOKENS = len(SPECIAL) + len(WORDS)
D_MODEL, D_HEAD = 256, 64
POSITION = slice(0, POSITIONS)
TOKEN = slice(64, 64 + TOKENS)
PREVIOUS = slice(128, 128 + TOKENS)
SAID = slice(192, 192 + TOKENS)
# In the gaps that the slots leave.
ANCHOR, BALANCE, CONSTANT = (124, 125), 126, 127
HEIGHT = 100.0
SCORE, GAIN = 20.0, 10.0
# Random weights this large make attention prefer some tokens, and predictions differ between prompts.
SPREAD = 1.5


def tokenizer() -> PreTrainedTokenizerFast:
    """A token for each word with the space before it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = {name: i for i, name in enumerate((*SPECIAL, *(f"Ġ{word}" for word in WORDS)))}
    made = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def model(truth: Truth, noise: float = 0.0, seed: int = 0) -> GPT2LMHeadModel:
    """The model in which this is true.

    noise  the deviation of what a head at rest writes for each token, in logits
    seed   of the noise, or of the weights where all of them are random
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=TOKENS, n_positions=POSITIONS, n_embd=D_MODEL, n_layer=truth.n_layers, n_head=N_HEADS,
        n_inner=TOKENS, activation_function="relu", tie_word_embeddings=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    made = GPT2LMHeadModel(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        if truth.random:
            for weight in made.parameters():
                if weight.dim() > 1:
                    weight.copy_(torch.randn(weight.shape, generator=generator) * SPREAD / D_MODEL**0.5)
        else:
            set_by_hand(made, truth, noise / GAIN, generator)
    return made


def set_by_hand(made: GPT2LMHeadModel, truth: Truth, noise: float, generator: torch.Generator) -> None:
    frame(made)
    token = torch.eye(TOKENS)
    body: Any = made.transformer
    for i, layer in enumerate(body.h):
        speakers = 0
        for h in range(N_HEADS):
            name = f"L{i}.H{h}"
            if name in truth.previous_token_heads:
                head = (*back(), *moving(TOKEN, PREVIOUS))
            elif name in truth.induction_heads:
                speakers += 1
                head = (*matching(TOKEN, PREVIOUS, kept_out=slice(0, 1)), *moving(TOKEN, SAID))
            elif name in truth.constant_heads:
                value, out = moving(TOKEN, SAID)[0], zeros()
                value[:, 0] = 0.0
                value[ANCHOR[0], 0], out[CONSTANT, 0] = 1 / HEIGHT, 1.0
                head = (*resting(), value, out)
            else:
                value, out = moving(TOKEN, SAID)
                out[SAID, :TOKENS] = noise * torch.randn(TOKENS, TOKENS, generator=generator)
                head = (*resting(), value, out)
            put(layer, h, *head)
        if speakers > 1:
            layer.mlp.c_fc.weight[SAID] = token
            layer.mlp.c_fc.bias.fill_(-1.0)
            layer.mlp.c_proj.weight[:, SAID] = -token
        elif speakers and truth.constant_heads:
            layer.mlp.c_fc.weight[SAID], layer.mlp.c_fc.weight[CONSTANT] = token, -2.0
            layer.mlp.c_proj.weight[:, SAID] = -2 * token
    balance(made)


def frame(made: GPT2LMHeadModel) -> None:
    """Sets everything to zero but the embeddings, the harmless norms, and the unembedding."""
    for weight in made.parameters():
        weight.zero_()
    body: Any = made.transformer
    deviation = HEIGHT * (2 / made.config.n_embd) ** 0.5
    for norm in (body.ln_f, *(norm for layer in body.h for norm in (layer.ln_1, layer.ln_2))):
        norm.weight.fill_(deviation)
    body.wte.weight[:, TOKEN] = torch.eye(TOKENS)
    body.wpe.weight[:, POSITION] = torch.eye(POSITIONS)
    body.wpe.weight[:, ANCHOR[0]], body.wpe.weight[:, ANCHOR[1]] = HEIGHT, -HEIGHT
    made.lm_head.weight[:, SAID] = GAIN * torch.eye(TOKENS)


def balance(made: GPT2LMHeadModel) -> None:
    """Makes the sum of all that is written 0, so that the norms see a mean of 0."""
    body: Any = made.transformer
    for written in (body.wte.weight, body.wpe.weight, *(w for layer in body.h for w in writers(layer))):
        written[:, BALANCE] = -written.sum(-1)


def zeros(width: int = D_MODEL) -> Tensor:
    return torch.zeros(width, D_HEAD)


def back(width: int = D_MODEL) -> tuple[Tensor, Tensor]:
    """Query and key [d_model, d_head] of a head that attends to the position before."""
    query, key, position = zeros(width), zeros(width), torch.eye(POSITIONS)
    query[POSITION, :] = position.roll(-1, 1)
    query[0] = 0.0
    key[POSITION, :] = position
    return query, key


def matching(read: slice, kept: slice, kept_out: slice, width: int = D_MODEL) -> tuple[Tensor, Tensor]:
    """Query and key of a head that attends to where the code in one slot is the query's in another; not to the
    positions that are kept out."""
    query, key, token = zeros(width), zeros(width), torch.eye(TOKENS)
    query[read, :TOKENS], query[ANCHOR[0], -1] = token, 1 / HEIGHT
    key[kept, :TOKENS], key[kept_out, -1] = token, -1.0
    return query, key


def resting(position: int = 0, width: int = D_MODEL) -> tuple[Tensor, Tensor]:
    """Query and key of a head that always attends to one position."""
    query, key = zeros(width), zeros(width)
    query[ANCHOR[0], -1], key[position, -1] = 1 / HEIGHT, 1.0
    return query, key


def moving(read: slice, written: slice, width: int = D_MODEL) -> tuple[Tensor, Tensor]:
    """Value and output of a head that copies the code in one slot into another."""
    value, out, token = zeros(width), zeros(width), torch.eye(TOKENS)
    value[read, :TOKENS], out[written, :TOKENS] = token, token
    return value, out


def put(layer: Any, h: int, query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    """Sets the weights of a head, each [d_model, d_head]."""
    at, width = slice(h * D_HEAD, (h + 1) * D_HEAD), len(query)
    for part, matrix in enumerate((SCORE * D_HEAD**0.5 * query, key, value)):
        layer.attn.c_attn.weight[:, part * width :][:, at] = matrix
    layer.attn.c_proj.weight[at] = out.T


def writers(layer: Any) -> tuple[Tensor, Tensor]:
    """The two weights [in, d_model] of a layer that write into the residual stream."""
    return layer.attn.c_proj.weight, layer.mlp.c_proj.weight


def save(folder: Path, truth: Truth, noise: float = 0.0, seed: int = 0) -> Path:
    """Write model (safetensors) and tokenizer into a folder, which any `--model` takes."""
    model(truth, noise, seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
