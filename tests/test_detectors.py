"""Detectors: they find the planted heads and no other, and what they read is what a plain loop reads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.head_detectors import HeadDetectors
from lashley.experiments.lab import Lab
from lashley.experiments.methods import detectors
from lashley.experiments.model.shuffled_weights import permuted
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.sites import Site
from lashley.experiments.tasks.registry import task
from lashley.tests.slow_way import clean_values
from lashley.tests.test_planted import BUILT, heads, planted_lab
from lashley.tests.test_weights import by_name, folded
from lashley.tests.tiny import SAMPLED, tiny_subject

GIVEN: dict[str, Any] = {"task": "induction", "n": 4}


def score(result: Result, name: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == name}


@pytest.mark.parametrize("name", BUILT)
def test_the_planted_heads_score_1_and_all_others_0(name: str) -> None:
    truth = TRUTHS[name]
    result = HeadDetectors(model=name, **GIVEN).run(planted_lab(name))
    resting = set(heads(truth)) - {*truth.previous_token_heads, *truth.induction_heads}
    wanted = {"previous_token": truth.previous_token_heads, "induction": truth.induction_heads, "duplicate_token": (),
              "first_token": resting, "copying": truth.induction_heads, "copy_suppression": ()}  # fmt: skip
    for detector, found in wanted.items():
        for head, value in score(result, detector).items():
            assert value == pytest.approx(1.0 if head in found else 0.0, abs=1e-3), (detector, head)
    assert all(e.percentile == 100.0 for e in result.effects if e.value > 0.9)
    assert {m.name: m.value for m in result.measurements}["induction_shuffled"] < 0.2


def test_a_head_that_lowers_what_it_attends_to_is_found() -> None:
    name = "planted:backup"
    subject = permuted(planted_lab(name).subject, 0)  # a copy that may be changed
    for own, copy in zip(planted_lab(name).subject.model.parameters(), subject.model.parameters(), strict=True):
        copy.data = own.data.clone()
    truth = TRUTHS[name]
    projection: Any = subject.model.get_submodule("transformer.h.1.attn.c_proj")
    projection.weight.data[3 * 64 : 4 * 64] *= -1
    result = HeadDetectors(model=name, **GIVEN).run(Lab(subject, planted_lab(name).task))
    lowered = {head for head, value in score(result, "copy_suppression").items() if value > 0.9}
    assert lowered == {"L1.H3"} < set(truth.induction_heads)
    assert {head for head, value in score(result, "copying").items() if value > 0.9} == {"L1.H0"}


@pytest.mark.parametrize("kind", SAMPLED)
def test_attention_is_read_as_a_plain_loop_reads_it(kind: str) -> None:
    """And what goes to four different places is never more than all of it."""
    subject, length = tiny_subject(kind), 9
    ids = detectors.repeated_tokens(subject, 3, length, "law")
    assert ids.shape == (3, 2 * length + 1)
    assert all(len(set(row[1 : length + 1])) == length for row in ids.tolist())
    found = detectors.attended(subject, ids, length)
    total = torch.stack(list(found.values())).sum(0)
    assert float(total.max()) <= 1 + 1e-5
    assert min(float(each.min()) for each in found.values()) >= 0
    tokens = ids[1].tolist()
    values = clean_values(subject.model, ids[1:2])
    for layer in range(3):
        pattern = values[Site(layer=layer, part="pattern")].unflatten(1, (4, -1))
        for h in range(4):
            sums = dict.fromkeys(found, 0.0)
            for q in range(length + 1, 2 * length + 1):
                earlier = tokens.index(tokens[q])
                at = {"previous_token": q - 1, "duplicate_token": earlier, "induction": earlier + 1, "first_token": 0}
                for name, key in at.items():
                    sums[name] += float(pattern[q, h, key]) / length
            for name, wanted in sums.items():
                assert float(found[name][layer * 4 + h, 1]) == pytest.approx(wanted, abs=1e-5)


def test_what_heads_say_of_tokens_is_what_the_parameters_say() -> None:
    subject, tokens = tiny_subject("llama"), [40, 17, 5, 33]
    found = detectors.said(subject, tokens)
    norm: Any = subject.model.get_submodule("model.norm")
    for i, token in enumerate(tokens):
        values = clean_values(subject.model, torch.tensor([[1, token]]))
        for layer in (0, 2):
            pre: Any = subject.model.get_submodule(f"model.layers.{layer}.input_layernorm")
            x = values[Site(layer=0, part="resid_pre" if layer == 0 else "resid_post")][1]
            attn: Any = subject.model.get_submodule(f"model.layers.{layer}.self_attn")
            v = attn.v_proj(pre(x)).view(2, -1)
            for h in range(4):
                out = v[h // 2] @ by_name(subject, "llama", layer)["O"][h]
                logits = out @ folded(norm, "llama") @ subject.anatomy.unembedding.weight[tokens].T  # type: ignore[index]
                seen = found[layer * 4 + h, i]
                assert torch.nn.functional.cosine_similarity(seen, logits, dim=0) > 1 - 1e-4


def test_texts_that_do_not_fit_are_refused_in_a_line() -> None:
    with pytest.raises(BadConfiguration, match="at most 31 repeated tokens"):
        HeadDetectors(model="planted:induction", length=40, **GIVEN).run(planted_lab("planted:induction"))


def test_a_permuted_twin_keeps_every_singular_value_and_leaves_the_subject_alone() -> None:
    subject = tiny_subject("llama")
    before = [p.clone() for p in subject.model.parameters()]
    twin = permuted(subject, 3)
    for own, old, other in zip(subject.model.parameters(), before, twin.model.parameters(), strict=True):
        assert torch.equal(own, old)
        if own.dim() == 2:
            assert not torch.equal(own, other)
            a, b = (torch.linalg.svdvals(w.detach()) for w in (own, other))
            assert torch.allclose(a, b, atol=1e-4)
        else:
            assert own is other
    again = permuted(subject, 3)
    assert all(torch.equal(a, b) for a, b in zip(twin.model.parameters(), again.model.parameters(), strict=True))


def test_texts_of_the_two_splits_differ_and_a_replay_has_the_same_bits() -> None:
    made = Lab(tiny_subject("gemma2"), task("induction"))
    results = [HeadDetectors(n=3, split=split, length=8).run(made) for split in ("explore", "explore", "confirm")]
    assert results[0].model_dump() == results[1].model_dump()
    assert results[0].effects != results[2].effects
