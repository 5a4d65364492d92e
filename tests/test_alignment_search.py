"""Distributed alignment search: its runs with gradients, by laws and plain hooks, and a planted subspace found."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import FirstReadout
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.interchange import Interchange
from lashley.experiments.methods.alignment_search import Training, loss_of, random_subspace, trained, within
from lashley.experiments.methods.interchange import interchanged
from lashley.experiments.methods.patching import Place
from lashley.experiments.result import Effect, Result
from lashley.experiments.sites import Site
from lashley.experiments.tasks.batch import Batch
from lashley.experiments.tasks.causal_model import causal_model
from lashley.experiments.tasks.interchange_pairs import Pairs, Runs, interchange_pairs, runs_of, shuffled_labels
from lashley.tests.planted_sum import D_MODEL, SUM, sum_lab
from lashley.tests.slow_way import clean_values, slow_logits
from lashley.tests.tiny import batch_of, tiny_subject

MODEL = causal_model("s = (a + b) % 7", "(s + c) % 7")
AT_B = Place(Site(layer=0, part="resid_post"), "b")


def row_batch() -> Batch:
    """Rows of two lengths, read at the last two columns, with a span inside."""
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(3, 90, (length,), generator=generator).tolist() for length in (9, 7, 9)]
    return batch_of(rows, reads=2, spans=[{"x": (3, 5)}] * 3)


# --- runs from a layer


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "gptj", "gpt_neox"])
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_a_run_from_a_layer_gives_the_logits_of_the_whole_model(kind: str, layer: int) -> None:
    subject, batch = tiny_subject(kind), row_batch()
    rows = torch.tensor([2, 0])
    start = engine.from_layer(subject, batch, layer, 4)
    found = start.logits(start.stream[rows], rows)
    for row, logits in zip(rows.tolist(), found, strict=True):
        ids = batch.ids[row][batch.mask[row].bool()][None]
        with torch.no_grad():
            plain = subject.model(ids).logits[0, -2:]
        assert torch.allclose(logits, plain, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_slopes_from_a_layer_are_those_of_a_small_step(kind: str) -> None:
    subject, batch = tiny_subject(kind), row_batch()
    rows, generator = torch.tensor([0, 1, 2]), torch.Generator().manual_seed(1)
    start = engine.from_layer(subject, batch, 1, 4)
    x = start.stream[rows].clone().requires_grad_()
    loss_of(batch, start.logits(x, rows), rows).backward()
    assert x.grad is not None
    step = torch.randn(x.shape, generator=generator) * 1e-2
    with torch.no_grad():
        ahead, behind = (float(loss_of(batch, start.logits(x + sign * step, rows), rows)) for sign in (1, -1))
    assert ahead - behind == pytest.approx(2 * float((x.grad * step).sum()), rel=0.02, abs=1e-4)


# --- interchanges within a subspace


@functools.cache
def held_out() -> tuple[Pairs, Runs]:
    found = interchange_pairs(sum_lab(), MODEL, 12, "confirm", 0)
    return found, runs_of(sum_lab(), found.pairs)


def test_the_whole_space_is_the_whole_interchange_and_an_empty_part_changes_nothing() -> None:
    lab, (_, runs) = sum_lab(), held_out()
    whole = interchanged(lab, "whole", runs, [AT_B]).run.values("lead")
    # Of the numbers of the stream only some are used; those of the others are no part of any difference.
    unused = torch.eye(D_MODEL)[:, D_MODEL - 8 :]
    made = within(lab, "within", runs, {"all": (AT_B, torch.eye(D_MODEL)), "unused": (AT_B, unused)}).run.values("lead")
    assert np.allclose(made[1], whole[1], atol=1e-3)
    assert np.allclose(made[2], whole[0], atol=1e-3)


def slow_lead(pair: Any, R: Tensor) -> float:
    """By plain hooks: base + R R^T (donor - base) after layer 0 at b."""
    lab, place = sum_lab(), Site(layer=0, part="resid_post")
    base, donor = (torch.tensor([lab.subject.tokenizer(p.text)["input_ids"]]) for p in (pair.base, pair.donor))
    own, lent = (clean_values(lab.subject.model, ids)[place] for ids in (base, donor))
    mixed = own + torch.einsum("pd,dk,ek->pe", lent - own, R, R)
    edit = Edit(site=place, op="replace", source="mixed")
    logits = slow_logits(lab.subject.model, base, Intervention(name="m", edits=(edit,)), lambda _, at: at == 1,
                         lambda _, at: mixed[at], lab.subject.anatomy.d_head)  # fmt: skip
    mine, rival = (lab.subject.tokenizer(text)["input_ids"][0] for text in (pair.answer, pair.base.answer))
    return float(logits[-1, mine] - logits[-1, rival])


def test_an_interchange_within_a_subspace_is_what_plain_hooks_make_of_it() -> None:
    found, runs = held_out()
    R = random_subspace(D_MODEL, 40, torch.Generator().manual_seed(5))
    made = within(sum_lab(), "within", runs, {"one": (AT_B, R)}).run.values("lead")[1]
    assert np.allclose(made, [slow_lead(pair, R) for pair in found.pairs], atol=1e-3)


# --- the planted subspace


@functools.cache
def searched() -> Result:
    given: dict[str, Any] = {"task": "sum7", "variable": "s = (a + b) % 7", "output": "(s + c) % 7", "n": 24}
    return Interchange(**given, layers=[0, 1], positions=["b", "last"], ranks=[2], steps=100).run(sum_lab())


def by_site(metric: str) -> dict[str, Effect]:
    return {e.site: e for e in searched().effects if e.metric == metric}


def test_the_planted_plane_is_found_where_it_is_and_random_ones_are_not_it() -> None:
    at = "L0.resid_post@b"
    assert by_site("rank_2")[at].value == by_site("said_2")[at].value == 1.0
    assert by_site("random_2")[at].value < 0.2
    assert by_site("labels_2")[at].value < 0.7
    for control in ("random", "labels", "weights"):
        above = by_site(f"above_{control}_2")[at]
        assert above.value > 0.3
        assert above.q is not None
        assert above.q < 0.05
    assert all(by_site("said_2")[site].value < 0.3 for site in by_site("said_2") if site != at)
    assert searched()["trained_on"].value == 64


def test_the_subspaces_are_orthonormal_and_contain_the_planted_one() -> None:
    planes = torch.tensor(searched().arrays["subspaces_2"])
    assert planes.shape == (4, D_MODEL, 2)
    assert torch.allclose(planes.transpose(1, 2) @ planes, torch.eye(2).expand(4, 2, 2), atol=1e-5)
    assert float((planes[0][SUM] ** 2).sum()) / 2 > 0.5
    assert float((random_subspace(D_MODEL, 2, torch.Generator().manual_seed(0))[SUM] ** 2).sum()) / 2 < 0.2


def test_training_is_the_same_for_the_same_seed_and_lowers_the_loss() -> None:
    lab, runs = sum_lab(), runs_of(sum_lab(), interchange_pairs(sum_lab(), MODEL, 32, "explore", 1).pairs)
    first, again, longer = (trained(lab.subject, runs, AT_B, 2, Training(steps, 0.02, 7)) for steps in (5, 5, 60))
    assert torch.equal(first, again)
    leads = within(lab, "lead", runs, {"short": (AT_B, first), "long": (AT_B, longer)}).run.values("lead").mean(-1)
    assert leads[2] > leads[1]


def test_shuffled_labels_are_answers_for_other_values() -> None:
    pairs = interchange_pairs(sum_lab(), MODEL, 24, "explore", 0).pairs
    wrong = shuffled_labels(sum_lab(), MODEL, pairs, 0)
    assert [(p.base, p.donor) for p in wrong] == [(p.base, p.donor) for p in pairs]
    assert sum(one.answer != other.answer for one, other in zip(pairs, wrong, strict=True)) == 24
    assert sorted(shuffled_labels(sum_lab(), MODEL, pairs, 0), key=str) == sorted(wrong, key=str)


def test_training_pairs_are_of_other_questions() -> None:
    found = interchange_pairs(sum_lab(), MODEL, 24, "explore", 0)
    others = interchange_pairs(sum_lab(), MODEL, 64, "explore", 0, found.questions, "pairs")
    assert not found.questions & others.questions


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ranks": []}, "at least one rank from 1 to 127, each once"),
        ({"ranks": [0]}, "at least one rank from 1 to 127"),
        ({"ranks": [1], "part": "mlp_out"}, "trained in the stream only, not at L0.mlp. Use"),
    ],
)
def test_what_cannot_be_trained_is_one_line(changed: dict[str, Any], says: str) -> None:
    lab = sum_lab()
    given: dict[str, Any] = {"task": "sum7", "variable": "s = (a + b) % 7", "output": "(s + c) % 7", "n": 4, **changed}
    with pytest.raises(BadConfiguration, match=says):
        Interchange(**given).check(lab.subject.sizes, lab.task)


def test_too_many_subspaces_or_too_few_pairs_are_refused() -> None:
    given: dict[str, Any] = {"task": "sum7", "variable": "s = (a + b) % 7", "output": "(s + c) % 7", "n": 8}
    with pytest.raises(BadConfiguration, match=r"subspaces to train, more than 64. Name fewer"):
        Interchange(**given, ranks=[1, 2, 3, 4, 5, 6]).run(sum_lab())
    with pytest.raises(BadConfiguration, match=r"\d+ are needed. Use pairs of at most \d+"):
        Interchange(**given, ranks=[1], layers=[0], positions=["b"], pairs=300).run(sum_lab())


def test_a_readout_of_the_whole_vocabulary_agrees_with_a_run_from_the_layer() -> None:
    """The engine's own path: the log-probabilities of the intact model where answers are read."""
    lab, (_, runs) = sum_lab(), held_out()
    start = engine.from_layer(lab.subject, runs.base, 1, 1)
    rows = torch.arange(len(runs.base))
    found = start.logits(start.stream, rows)[rows, runs.base.answer_at].log_softmax(-1)
    intact = engine.run(lab.subject, runs.base, [Intervention(name="i")], FirstReadout(runs.base, keep_log_probs=True))
    assert torch.allclose(found, intact["log_probs"][0], atol=1e-4)
