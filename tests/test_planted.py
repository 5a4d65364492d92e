"""Planted subjects: that their circuits are what they are said to be, and that our experiments find just that."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lashley.experiments.errors import BadTask
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.lab import Lab
from lashley.experiments.model import loading
from lashley.experiments.model.bundled import ALIASES, PARAMETERS, planted_place
from lashley.experiments.model.loading import prepare
from lashley.experiments.planted.build import model, save, tokenizer
from lashley.experiments.planted.truth import N_HEADS, TRUTHS, Truth
from lashley.experiments.result import Result
from lashley.experiments.sites import Site, parse_site
from lashley.experiments.tasks.arithmetic import ARITHMETIC
from lashley.experiments.tasks.induction import INDUCTION
from lashley.tools.workbench.catalog import models

from .slow_way import clean_values, slow_logits

N = 16
BUILT = {name: truth for name, truth in TRUTHS.items() if not truth.random}
GIVEN: dict[str, Any] = {"task": "induction", "n": N}
built = pytest.mark.parametrize("name", BUILT)


@cache
def planted_lab(name: str, noise: float = 0.0, seed: int = 0) -> Lab:
    subject = prepare(name, model(TRUTHS[name], noise, seed), tokenizer(), "cpu")
    return Lab(subject, INDUCTION.for_tokenizer(subject.tokenizer))


def heads(truth: Truth) -> list[str]:
    return [f"L{layer}.H{h}" for layer in range(truth.n_layers) for h in range(N_HEADS)]


def ids(name: str, i: int) -> Tensor:
    """The tokens of a prompt and of its answer, [1, position]."""
    prompt = INDUCTION.for_tokenizer(tokenizer()).prompts(N)[i]
    return torch.tensor([tokenizer()(prompt.text + prompt.answer)["input_ids"]])


def pattern(values: dict[Site, Tensor], name: str) -> Tensor:
    """[query, key] of a head."""
    site = parse_site(name)
    assert site.index is not None
    rows = values[Site(layer=site.layer, part="pattern")]
    return rows.unflatten(-1, (-1, rows.shape[0]))[:, site.index]


def previous_token_score(weights: Tensor) -> float:
    return float(weights.diagonal(-1).mean())


def induction_score(weights: Tensor, tokens: list[int]) -> float:
    """The mean weight on the token after the earlier occurrence of a query that has one."""
    pairs = [(q, tokens.index(t) + 1) for q, t in enumerate(tokens) if t in tokens[:q]]
    return float(torch.stack([weights[q, k] for q, k in pairs]).mean())


@built
@pytest.mark.parametrize("i", range(4))
def test_the_heads_attend_where_it_is_said_and_the_others_do_not(name: str, i: int) -> None:
    truth, tokens = TRUTHS[name], ids(name, i)[:, :-1]
    values = clean_values(planted_lab(name).subject.model, tokens)
    for head in heads(truth):
        weights = pattern(values, head)
        is_previous, is_induction = head in truth.previous_token_heads, head in truth.induction_heads
        previous, induction = previous_token_score(weights), induction_score(weights, tokens[0].tolist())
        assert previous > 0.999 if is_previous else previous < 0.3, (head, previous)
        assert induction > 0.999 if is_induction else induction < 0.01, (head, induction)


def lead(name: str, i: int, removed: tuple[str, ...], program: tuple[int, ...] | None = None) -> tuple[float, bool]:
    """By hooks, one prompt: how far the answer leads the best of all others without these heads; is it said?"""
    tokens = ids(name, i)
    edits = tuple(Edit(site=parse_site(head), op="zero") for head in removed)
    intervention = Intervention(name="by hand", edits=edits, program=program)
    slow = slow_logits(
        planted_lab(name).subject.model, tokens[:, :-1], intervention, lambda *_: True, lambda *_: None, 64
    )
    last, answer = slow[-1], int(tokens[0, -1])
    others = torch.cat([last[:answer], last[answer + 1 :]])
    return float(last[answer] - others.max()), bool(last[answer] > others.max())


@built
def test_what_is_needed_is_needed_by_hand_and_nothing_else(name: str) -> None:
    truth = TRUTHS[name]
    for i in range(4):
        intact, right = lead(name, i, ())
        assert right
        assert intact > 9
        for head in heads(truth):
            without, right = lead(name, i, (head,))
            if head in (*truth.needed, *truth.constant_heads):
                assert not right
                assert without < 0.1 * intact
            elif head in truth.redundant:
                assert right
                assert intact - without < 0.01 * intact
            else:
                assert without == intact
        if truth.redundant:
            assert lead(name, i, truth.redundant)[0] <= 0
        for layer in range(truth.n_layers):
            program = tuple(other for other in range(truth.n_layers) if other != layer)
            assert (lead(name, i, (), program)[0] == intact) == (layer in truth.dead_layers)


@built
def test_the_subject_does_the_task(name: str) -> None:
    found = {m.name: m for m in Baseline(model=name, **GIVEN).run(planted_lab(name)).measurements}
    assert found["accuracy"].value == 1.0


def test_random_weights_do_not_and_the_result_says_so() -> None:
    name = "planted:null"
    result = Baseline(model=name, **GIVEN).run(planted_lab(name))
    assert next(m.value for m in result.measurements if m.name == "accuracy") < 0.2
    assert "unable" in [note.code for note in result.notes]


def significant(result: Result, least: float = 0.0) -> set[str]:
    return {e.site for e in result.effects if (e.q or 1) < 0.05 and abs(e.value) > least}


@built
@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_a_sweep_finds_the_needed_heads_and_no_other(name: str, method: Any) -> None:
    truth = TRUTHS[name]
    result = HeadAblation(model=name, method=method, **GIVEN).run(planted_lab(name))
    # What always writes the same is missed under zero alone.
    needed = {*truth.needed, *(truth.constant_heads if method == "zero" else ())}
    assert significant(result, least=1.0) == needed
    # One of two that stand in for each other is not quite without effect: a fiftieth of the intact lead.
    assert significant(result) <= {*needed, *truth.redundant}
    assert {e.site for e in result.effects if abs(e.value) > 1e-5} <= {*needed, *truth.redundant}


@pytest.mark.parametrize("method", ["zero", "mean"])
def test_heads_that_stand_in_for_each_other_are_needed_together(method: Any) -> None:
    name = "planted:backup"
    pair = list(TRUTHS[name].redundant)
    for removed in ([pair[0]], [pair[1]], pair):
        result = HeadAblation(model=name, heads=removed, together=True, method=method, **GIVEN).run(planted_lab(name))
        found = {m.name: m.value for m in result.measurements}
        change = result.effects[0].value / found["intact_logit_diff"]
        if removed == pair:
            assert change < -0.5
            assert found["accuracy_drop"] > 0.5
            assert found["percentile"] == 100.0
        else:
            assert abs(change) < 0.1
            assert found["accuracy_drop"] == 0.0


def test_skipping_finds_the_dead_layer_and_the_needed_ones() -> None:
    name = "planted:dead-layer"
    result = LayerProgram(model=name, sweep="skip_each", **GIVEN).run(planted_lab(name))
    nothing = {e.site: (e.value, e.low, e.high) for e in result.effects if not e.value}
    assert nothing == {"skip L1": (0.0, 0.0, 0.0)}
    assert significant(result, least=1.0) == {"skip L0", "skip L2"}


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_heads_that_write_noise_have_no_effect_in_the_mean(method: Any) -> None:
    """By symmetry: noise for answer and distractor is alike. With many prompts the mean must come near to 0."""
    name = "planted:induction"
    noisy = planted_lab(name, noise=1.0)
    many = HeadAblation(model=name, method=method, task="induction", n=256).run(noisy)
    assert significant(many, least=1.0) == set(TRUTHS[name].needed)
    silent = [e for e in many.effects if e.site not in TRUTHS[name].needed]
    assert all(e.high - e.low > 0.1 for e in silent), "or there is no noise to be mistaken"
    assert all(abs(e.value) < 4 * (e.high - e.low) / 3.92 for e in silent)
    assert not significant(many) - set(TRUTHS[name].needed)


def test_aliases_are_subjects_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASHLEY_CACHE", str(tmp_path))
    states = {row["name"]: row["state"] for row in models() if row["name"] in TRUTHS}
    assert states == dict.fromkeys(TRUTHS, "built on first use")
    fingerprints: set[str] = set()
    for name, truth in TRUTHS.items():
        assert loading.canonical(name.replace(":", " ").upper()) == name
        assert loading.sizes_of(name)["n_layers"] == truth.n_layers
        subject = loading.load(name)
        fingerprints.add(subject.fingerprint)
        assert subject.name == name
        assert PARAMETERS[name] == sum(p.numel() for p in subject.model.parameters())
        assert list(planted_place(name).glob("*.safetensors"))
    assert len(fingerprints) == len(TRUTHS)
    assert set(TRUTHS) < set(ALIASES)
    assert {row["state"] for row in models() if row["name"] in TRUTHS} == {"ready"}
    again = loading.load("planted:induction")
    assert again.fingerprint in fingerprints


def test_a_folder_of_ones_own_noise_loads_too(tmp_path: Path) -> None:
    loaded = [loading.load(str(save(tmp_path / str(s), TRUTHS["planted:induction"], 0.5, s))) for s in (0, 1)]
    assert loaded[0].fingerprint != loaded[1].fingerprint


def test_a_task_of_other_words_is_refused_and_not_measured_as_unknown_tokens() -> None:
    with pytest.raises(BadTask):
        Lab(planted_lab("planted:null").subject, ARITHMETIC.for_tokenizer(tokenizer())).prompts(8, "explore", 0)
