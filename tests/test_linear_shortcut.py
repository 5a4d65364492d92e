"""Skipped layers with a map in their place: a map that does nothing is the skip, a layer that adds a constant is undone
whole, and what is told adds up."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout
from lashley.experiments.engine.activations import Activations
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.linear_shortcut import WAYS, LinearShortcut, skipping
from lashley.experiments.lab import Lab
from lashley.experiments.methods.affine import closest, fitted, unchanged
from lashley.experiments.model.loading import prepare
from lashley.experiments.result import Result
from lashley.tests.test_engine import TOLERANCE
from lashley.tests.tiny import SAMPLED, tiny_model, tiny_subject, tiny_tokenizer
from lashley.tests.word_tasks import word_lab, word_task
from lashley.tools.report.figures import draw

N = 6
GIVEN: dict[str, Any] = {"task": "words", "n": N, "train": 32}


def shortcut(**given: Any) -> LinearShortcut:
    return LinearShortcut.model_validate({**GIVEN, **given})


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize("stretch", [range(1), range(1, 3), range(2, 3)])
def test_a_map_that_does_nothing_is_the_skip(kind: str, stretch: range) -> None:
    lab = word_lab(kind)
    _, batch = lab.prompts(N, "explore", 0)
    seen = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
    same = Activations({(stretch[-1], "resid_post"): unchanged(seen[0].shape[-1])(seen[stretch[0]])})
    every = [skipping(way, stretch, 3) for way in WAYS[:2]]
    found = engine.run(lab.subject, batch, every, AnswerReadout(batch), {"shifted": same})
    assert torch.allclose(found["loss"][0], found["loss"][1], atol=TOLERANCE)


def test_layers_that_add_a_constant_are_undone_whole_and_the_first_token_by_a_map_of_its_own() -> None:
    model = tiny_model("gpt2")
    with torch.no_grad():
        block = model.transformer.h[1]
        # What is left of the layer are the biases of its two outputs.
        for part in (block.attn.c_proj, block.mlp.c_proj):
            part.weight.zero_()
    lab = Lab(prepare("constant", model, tiny_tokenizer(), "cpu"), word_task())
    result = shortcut(layers="1").run(lab)
    assert abs(by_metric(result, "skipped")["L1"]) > 0.05
    for way in ("shifted", "translated"):
        assert by_metric(result, way)["L1"] == pytest.approx(0, abs=TOLERANCE)


def test_the_map_that_is_chosen_is_the_nearest_where_it_was_not_fitted() -> None:
    generator = torch.Generator().manual_seed(2)
    x, A = torch.randn(80, 8, generator=generator), torch.randn(8, 8, generator=generator)
    y = x + x @ A + 1
    maps = fitted(x[:60], y[:60])
    assert closest(maps, x[60:], y[60:]) is maps[1]
    noise = torch.randn(80, 8, generator=generator) * 20 + 5
    # Nothing of the noise can be told from x: the constant is what is left.
    assert closest(fitted(x[:12], noise[:12], (1e-6, None)), x[12:], noise[12:]).A is None


@pytest.mark.parametrize("metric", ["loss", "logit_diff", "kl"])
def test_what_is_told_adds_up(metric: str) -> None:
    result = shortcut(metric=metric, width=2).run(word_lab("llama"))
    ways = {way: by_metric(result, way) for way in (*WAYS, "repaired", "beyond_shift")}
    assert set(ways["skipped"]) == {"L0-1", "L1-2"}
    for site, value in ways["repaired"].items():
        assert value == pytest.approx(ways["translated"][site] - ways["skipped"][site], abs=1e-6)
        assert ways["beyond_shift"][site] == pytest.approx(ways["translated"][site] - ways["shifted"][site], abs=1e-6)
    assert result["mean_skipped"].value == pytest.approx(sum(ways["skipped"].values()) / 2, abs=1e-6)
    assert result["identity"].value <= TOLERANCE
    if "undone" in {m.name for m in result.measurements}:
        wanted = 1 - result["mean_translated"].value / result["mean_skipped"].value
        assert result["undone"].value == pytest.approx(wanted, abs=1e-6)
    assert {e.metric for e in result.effects if e.p is None} == (set(WAYS) if metric == "kl" else set())


def test_a_replay_has_the_same_bits_and_its_figures_can_be_drawn() -> None:
    for given in ({}, {"layers": "0-1"}):
        first, second = (shortcut(**given).run(word_lab("gemma2")) for _ in range(2))
        assert first.model_dump() == second.model_dump()
        assert draw(first.figures[0])


@pytest.mark.parametrize(
    ("given", "said"),
    [({"layers": "0, 2"}, "not a stretch"), ({"layers": "1-0"}, "not a stretch"), ({"layers": ""}, "not a stretch"),
     ({"layers": "9"}, "no layer 9"), ({"width": 4}, "has 3 layers")],
)  # fmt: skip
def test_what_is_no_stretch_is_refused_in_a_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfiguration, match=said):
        shortcut(**given).check(tiny_subject("llama").sizes, word_task())
