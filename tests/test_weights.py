"""The weights of heads as matrices: against the parameters by their names, architecture by architecture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from lashley.experiments import engine
from lashley.experiments.interventions import Intervention
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.model.subject import Subject
from lashley.tests.slow_way import PLACES, layers_of
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

every_kind = pytest.mark.parametrize("kind", SAMPLED)
# By name: the norm before the attention, then where queries, keys and values are made.
PRE = {"gpt2": "ln_1", "gpt_neox": "input_layernorm", "opt": "self_attn_layer_norm", "gptj": "ln_1", "olmo2": ""}
GEMMAS = ("gemma2", "gemma3_text")


def folded(module: Any, kind: str) -> Tensor:
    """A norm as a matrix, by its formula."""
    size = len(module.weight)
    weight = 1 + module.weight if kind in GEMMAS else module.weight
    centred = torch.eye(size) - 1 / size if getattr(module, "bias", None) is not None else torch.eye(size)
    return centred * weight


def by_name(subject: Subject, kind: str, layer: int) -> dict[str, Tensor]:
    """Q, K, V [head, d_model, d_head] and O [head, d_head, d_model], from the parameters."""
    a = subject.anatomy
    block: Any = layers_of(subject.model)[layer]
    attn: Any = block.get_submodule(PLACES[kind][2].rpartition(".")[0])
    if kind == "gpt2":
        q, k, v = attn.c_attn.weight.split(a.d_model, dim=1)
    elif kind == "gpt_neox":
        fused = attn.query_key_value.weight.view(a.n_heads, 3, a.d_head, a.d_model)
        q, k, v = (fused[:, i].reshape(-1, a.d_model).T for i in range(3))
    else:
        q, k, v = (getattr(attn, f"{name}_proj").weight.T for name in "qkv")
    pre = PRE.get(kind, "input_layernorm")
    first = folded(getattr(block, pre), kind) if pre else torch.eye(a.d_model)
    q, k, v = (first @ w for w in (q, k, v))
    if kind in ("qwen3", "gemma3_text"):
        q, k = ((w.unflatten(1, (-1, a.d_head)) @ folded(n, kind)).flatten(1)
                for w, n in ((q, attn.q_norm), (k, attn.k_norm)))  # fmt: skip
    if kind == "olmo2":
        q, k = q @ folded(attn.q_norm, kind), k @ folded(attn.k_norm, kind)
    project: Any = block.get_submodule(PLACES[kind][2])
    o = project.weight
    o = o if kind == "gpt2" else o.T
    if kind in (*GEMMAS, "olmo2"):
        o = o @ folded(block.get_submodule("post_attention_layernorm"), kind)
    heads = {"Q": q, "K": k, "V": v}
    found = {name: w.unflatten(1, (-1, a.d_head)).transpose(0, 1) for name, w in heads.items()}
    shared = {"Q": 1, "K": a.n_heads // a.n_kv_heads, "V": a.n_heads // a.n_kv_heads}
    return {name: torch.stack([w[h // shared[name]] for h in range(a.n_heads)]) for name, w in found.items()} | {
        "O": o.unflatten(0, (a.n_heads, -1))
    }


@every_kind
@pytest.mark.parametrize("layer", [0, 2])
def test_the_matrices_are_those_of_the_parameters_but_for_a_factor(kind: str, layer: int) -> None:
    subject = tiny_subject(kind)
    wanted, found = by_name(subject, kind, layer), engine.head_weights(subject, layer)
    for name, matrix in wanted.items():
        seen = getattr(found, name)
        assert seen.shape == matrix.shape, name
        # One factor for all heads: the whole tensor points the same way.
        assert float(cosine_similarity(seen.flatten(), matrix.flatten(), dim=0)) > 1 - 1e-5, name


@every_kind
def test_what_heads_write_of_one_token_alone_sums_to_the_attention(kind: str) -> None:
    """A single token attends to itself. Where a norm follows the attention, only the direction can be compared."""
    subject = tiny_subject(kind)
    clean = engine.read(subject, batch_of([[40], [17], [5]]), {"resid_pre", "attn_out"})
    for layer, block in enumerate(subject.anatomy.blocks):
        x, out = (clean.at(layer, part)[:, 0] for part in ("resid_pre", "attn_out"))
        total = engine.written(subject, layer, x).sum(0)
        bias = getattr(block.o_proj, "bias", None)
        if block.attn_post:
            assert bias is None
            assert float(cosine_similarity(total, out).min()) > 0.999
        else:
            assert torch.allclose(total + (0 if bias is None else bias), out, atol=2e-5)


@every_kind
def test_the_unembedding_ranks_tokens_as_the_model_does(kind: str) -> None:
    """Logits without their bias, but for a factor that the final norm decides."""
    subject, tokens = tiny_subject(kind), torch.arange(3, 96)
    batch = batch_of([[5, 17, 40], [61, 9, 12]])
    x = engine.read(subject, batch, {"resid_pre"}).at(3, "resid_pre")[:, -1]
    guessed = x @ engine.unembedding(subject, tokens)
    logits = engine.run(subject, batch, [Intervention(name="intact")], Logits(every_column=False))["logits"][0, :, 0]
    head: Any = subject.anatomy.unembedding
    norm: Any = None
    for name in ("transformer.ln_f", "model.norm", "gpt_neox.final_layer_norm", "model.final_layernorm",
                 "model.decoder.final_layer_norm"):  # fmt: skip
        norm = norm or dict(subject.model.named_modules()).get(name)
    assert norm is not None
    own = logits[:, 3:]
    if kind == "gemma2":
        own = 3.0 * torch.atanh(own / 3.0)
    given = torch.zeros(96)
    if getattr(norm, "bias", None) is not None:
        given = given + head.weight @ norm.bias
    if getattr(head, "bias", None) is not None:
        given = given + head.bias
    assert float(cosine_similarity(guessed, own - given[3:]).min()) > 0.999
