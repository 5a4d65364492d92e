"""What heads move and look for: against the patterns and outputs of the models, on planted heads, on SmolLM2."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from lashley.experiments import engine
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.ov_qk import OvQk
from lashley.experiments.lab import Lab
from lashley.experiments.methods.detectors import first_token, seen_by
from lashley.experiments.methods.ov_qk import circuits, positive_eigenvalues, scores, whole_eigenvalues
from lashley.experiments.model.loading import load
from lashley.experiments.model.subject import Subject
from lashley.experiments.planted.truth import TRUTHS, WORDS
from lashley.experiments.result import Result
from lashley.experiments.sites import Site
from lashley.experiments.tasks.registry import task
from lashley.tests.slow_way import PLACES, clean_values, hooked, layers_of
from lashley.tests.test_planted import planted_lab
from lashley.tests.test_weights import GEMMAS, folded
from lashley.tests.tiny import SAMPLED, tiny_subject
from lashley.tools.report.figures import draw

GIVEN: dict[str, Any] = {"model": "planted:induction", "task": "induction", "n": 8}
every_kind = pytest.mark.parametrize("kind", SAMPLED)
FINAL_NORMS = {"gpt2": "transformer.ln_f", "gptj": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm",
               "phi": "model.final_layernorm", "opt": "model.decoder.final_layer_norm"}  # fmt: skip


def value(result: Result, site: str, metric: str) -> float:
    return next(e.value for e in result.effects if (e.site, e.metric) == (site, metric))


def pattern_sought(subject: Subject, layer: int, stream: Tensor) -> Tensor:
    """[query, head, key]: the attention on a text, put together from `sought` at each distance."""
    block: Any = layers_of(subject.model)[layer]
    attn = block.get_submodule(PLACES[subject.model.config.model_type][2].rpartition(".")[0])
    # OPT scales its queries before the product, all others after it.
    scale = 1.0 if subject.model.config.model_type == "opt" else getattr(attn, "scaling", subject.anatomy.d_head**-0.5)
    length = len(stream)
    products = torch.full((subject.anatomy.n_heads, length, length), -torch.inf)
    for distance in range(length):
        found = engine.sought(subject, layer, stream, distance)
        for query in range(distance, length):
            products[:, query, query - distance] = found[:, query, query - distance] * scale
    cap = getattr(subject.model.config, "attn_logit_softcapping", None)
    if cap:
        products = torch.where(products.isinf(), products, cap * torch.tanh(products / cap))
    return products.softmax(-1).transpose(0, 1)


@every_kind
def test_what_is_sought_at_each_distance_is_the_attention_of_the_model(kind: str) -> None:
    """Four tokens are within every window of the tiny models."""
    subject = tiny_subject(kind)
    seen = clean_values(subject.model, torch.tensor([[5, 17, 40, 17]]))
    for layer in range(3):
        stream = seen[Site(layer=layer, part="resid_pre")]
        wanted = seen[Site(layer=layer, part="pattern")].unflatten(-1, (-1, 4))
        assert torch.allclose(pattern_sought(subject, layer, stream), wanted, atol=2e-5)


@every_kind
def test_ov_is_what_the_model_writes_when_a_head_attends_to_one_token_alone(kind: str) -> None:
    """In the model itself the pattern of layer 1 is set to 1 at a token behind a BOS, and its output goes through the
    projection by name, the norms by their formulas and the unembedding; its own bias apart, which no token changes."""
    subject = tiny_subject(kind)
    tokens, anatomy = [40, 17, 61, 9], subject.anatomy
    moved, _ = circuits(subject, tokens, 0)
    block: Any = layers_of(subject.model)[1]
    project: Any = block.get_submodule(PLACES[kind][2])
    out = project.weight if kind == "gpt2" else project.weight.T
    if kind in (*GEMMAS, "olmo2"):
        out = out @ folded(block.get_submodule("post_attention_layernorm"), kind)
    final = folded(subject.model.get_submodule(FINAL_NORMS.get(kind, "model.norm")), kind)
    head: Any = subject.model.get_output_embeddings()
    directions = final @ head.weight[tokens].T
    for i, token in enumerate(tokens):
        kept: list[Tensor] = []

        def change(site: Site, x: Tensor, kept: list[Tensor] = kept) -> Tensor:
            if site.layer == 1 and site.part == "pattern":
                only = torch.zeros_like(x)
                only[:, -1, 1::3] = 1
                return only
            if site.layer == 1 and site.part == "z":
                kept.append(x[0, -1])
            return x

        with hooked(subject.model, change) as cache, torch.no_grad():
            ids = torch.tensor([[first_token(subject), token, 5]])
            subject.model(input_ids=ids, past_key_values=cache, use_cache=True)
        z = kept[-1].unflatten(0, (anatomy.n_heads, -1))
        written = torch.stack([z[h] @ out.unflatten(0, (anatomy.n_heads, -1))[h] for h in range(anatomy.n_heads)])
        wanted, found = (written @ directions).detach().double(), moved[4:8, i]
        assert float(cosine_similarity(found.flatten(), wanted.flatten(), dim=0)) > 1 - 1e-5


def test_the_planted_induction_head_copies_and_the_others_do_not() -> None:
    truth = TRUTHS["planted:induction"]
    result = OvQk(**GIVEN).run(planted_lab("planted:induction"))
    for site in {e.site for e in result.effects}:
        assert value(result, site, "copying") == float(site in truth.induction_heads)
        assert value(result, site, "copy_suppression") == 0
    assert result["eigenvalues[L1.H2]"].value > 0.99
    assert {f.name for f in result.figures} >= {"L1.H2.OV", "L1.H2.QK"}
    assert result["copying_shuffled"].value < 0.5
    assert "successor" not in {e.metric for e in result.effects}


def test_scores_of_matrices_by_hand() -> None:
    eye = torch.eye(3)
    moved = 3 * torch.stack([eye, -eye, eye.roll(1, 1), 0 * eye])
    looked = torch.tensor([[[9.0, 1, 1], [9, 1, 1], [9, 1, 2]]] * 4)
    found = scores(moved, looked, ends=False, top=1)
    assert found["copying"].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert found["copy_suppression"].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert found["successor"].tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert found["same_token"].tolist() == [[1, 0, 0]] * 4
    assert scores(moved, looked, ends=True, top=1)["successor"].shape == (4, 2)
    two = scores(moved, looked, ends=None, top=2)
    assert "successor" not in two
    assert two["same_token"].tolist() == [[1, 0, 1]] * 4
    # A cycle has the roots of unity, without 1 when centred: they sum to -1.
    assert np.allclose(positive_eigenvalues(moved), [1, -1, -1 / 2, 0])


def test_eigenvalues_by_power_sums() -> None:
    """No eigenvalues are computed: their sum is the trace, and of a symmetric matrix the sizes sum to the trace of the
    root of its square."""
    x = torch.randn(5, 7, 7, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    middle = torch.eye(7, dtype=torch.double) - 1 / 7
    symmetric = middle @ (x + x.transpose(1, 2)) @ middle
    wanted = [float(m.trace() / torch.linalg.matrix_norm(m, "nuc")) for m in symmetric]
    # What every seen token is raised by alike makes no difference.
    assert np.allclose(positive_eigenvalues(symmetric + x[:, :1]), wanted)


def test_the_eigenvalues_of_the_whole_circuit_are_those_of_the_large_matrix_by_hand() -> None:
    """On a llama, from its parameters: every token's embedding through norm, values, output, last norm, unembedding."""
    subject = tiny_subject("llama")
    model: Any = subject.model
    width, group = subject.anatomy.d_head, subject.anatomy.n_heads // subject.anatomy.n_kv_heads
    found = whole_eigenvalues(subject).reshape(3, -1)
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            for h in range(subject.anatomy.n_heads):
                own, shared = slice(h * width, (h + 1) * width), slice(h // group * width, (h // group + 1) * width)
                read = model.model.embed_tokens.weight * block.input_layernorm.weight
                ov = block.self_attn.v_proj.weight[shared].T @ block.self_attn.o_proj.weight[:, own].T
                whole = (read @ ov * model.model.norm.weight @ model.lm_head.weight.T).double().numpy()
                values = np.linalg.eigvals(whole)
                assert found[layer, h] == pytest.approx(values.real.sum() / np.abs(values).sum(), abs=1e-4)


def test_the_eigenvalues_of_the_vocabulary_have_a_name_of_their_own() -> None:
    result = OvQk(**GIVEN, eigenvalues="vocabulary").run(planted_lab("planted:induction"))
    assert result["vocabulary_eigenvalues[L1.H2]"].value > 0.9
    assert not [m.name for m in result.measurements if m.name.startswith("eigenvalues")]
    assert "vocabulary eigenvalues: L1.H2" in result.found


def test_top_counts_more_tokens_and_never_fewer() -> None:
    bench = planted_lab("planted:null")
    one, four = (OvQk(model="planted:null", task="induction", n=8, top=top).run(bench) for top in (1, 4))
    for a, b in zip(one.effects, four.effects, strict=True):
        assert b.value >= a.value
    size = one.effects[0].n
    assert math.isclose(four["copying_chance"].value, 4 / size)
    mean = np.mean([e.value for e in four.effects if e.metric == "copying"])
    assert abs(mean - 4 / size) < 0.15


def test_what_is_not_there_is_one_clear_line() -> None:
    bench = planted_lab("planted:induction")
    for wrong, says in (
        ({"tokens": ["xylophone quartet", "a", "b", "c"]}, "is not a single token of this model"),
        ({"tokens": ["qwertz", "a", "b", "c"]}, "'qwertz' is not a single token"),
        ({"tokens": list(WORDS[:3])}, "At least 4"),
        ({"tokens": [WORDS[0]] * 4}, "each once"),
        ({"n": 1}, "At least 4"),
    ):
        with pytest.raises(BadConfiguration, match=says):
            OvQk.model_validate({**GIVEN, **wrong}).run(bench)
    with pytest.raises(BadConfiguration, match="There is no head 9"):
        OvQk(**GIVEN, heads=["L0.H9"]).check(bench.subject.sizes, bench.task)


def test_smollm_copies_months_and_its_circuits_are_those_of_its_attention() -> None:
    bench = Lab(load("smollm2-135m", "cpu"), task("capitals"))
    result = OvQk(task="capitals", tokens=["month"]).run(bench)
    best = max((e for e in result.effects if e.metric == "copying"), key=lambda e: e.value)
    assert best.value > 0.9 > result["copying_shuffled"].value
    # Named tokens are no sample, so no prediction can be tested on them.
    assert result["questions"].value == 1
    assert len(result.found) < 2000
    assert all("␣January" in draw(figure) for figure in result.figures)
    ids = torch.tensor([bench.subject.tokenizer("In January and in March")["input_ids"]])
    seen = clean_values(bench.subject.model, ids)
    for layer in (0, 12, 29):
        wanted = seen[Site(layer=layer, part="pattern")].unflatten(-1, (-1, ids.shape[1]))
        found = pattern_sought(bench.subject, layer, seen[Site(layer=layer, part="resid_pre")])
        assert torch.allclose(found, wanted, atol=1e-4)
    early, late = seen_by(bench.subject, [100])
    assert early.shape == late.shape == (1, 576)
