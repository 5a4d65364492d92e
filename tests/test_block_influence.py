"""Block Influence: what a plain loop says, 0 for a layer that writes nothing, and beside it what chance would turn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lashley.experiments.kinds.block_influence import BlockInfluence
from lashley.experiments.methods.block_influence import turns
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.sites import Site
from lashley.tests.slow_way import clean_values, tokens_of
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED
from lashley.tests.word_tasks import word_lab
from lashley.tools.report.figures import draw

N = 6
GIVEN: dict[str, Any] = {"task": "words", "n": N}


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


@pytest.mark.parametrize("tokens", ["prompt_and_answer", "prompt"])
@pytest.mark.parametrize("kind", SAMPLED)
def test_each_layer_turns_the_stream_as_far_as_a_plain_loop_says(kind: str, tokens: str) -> None:
    lab = word_lab(kind)
    prompts, batch = lab.prompts(N, "explore", 0)
    found = by_metric(BlockInfluence.model_validate({**GIVEN, "tokens": tokens}).run(lab), "influence")
    total = 0.0
    for prompt in range(N):
        values = clean_values(lab.subject.model, tokens_of(batch, prompt))
        x, y = (values[Site(layer=layer, part="resid_post")] for layer in (0, 1))
        turns = [1 - float(a @ b / (a.norm() * b.norm())) for a, b in zip(x, y, strict=True)]
        if tokens == "prompt":
            turns = turns[: len(lab.subject.tokenizer(prompts[prompt].text)["input_ids"])]
        total += sum(turns) / len(turns)
    assert found["L1"] == pytest.approx(total / N, abs=1e-5)
    assert list(found) == ["L0", "L1", "L2"]


def test_a_dead_layer_has_no_influence_and_skipping_it_does_nothing() -> None:
    (dead,) = TRUTHS["planted:dead-layer"].dead_layers
    result = BlockInfluence(model="planted:dead-layer", task="induction", n=N, skip=True).run(
        planted_lab("planted:dead-layer")
    )
    assert by_metric(result, "influence")[f"L{dead}"] == pytest.approx(0, abs=1e-6)
    assert by_metric(result, "kl")[f"L{dead}"] == pytest.approx(0, abs=1e-5)
    found = by_metric(result, "influence")
    assert all(v > 100 * abs(found[f"L{dead}"]) for site, v in found.items() if site != f"L{dead}"), found
    assert -1 <= result["agreement"].value <= 1
    assert all(draw(figure) for figure in result.figures)


def test_what_is_written_at_random_turns_the_stream_as_far_as_its_length_says() -> None:
    x = torch.randn(3, 40, 512, generator=torch.Generator().manual_seed(1))
    straight, mask = 2 * x, torch.ones(3, 40)
    own, random = turns([x, straight], mask, 0)
    # As long as x and at a right angle to it, nearly: cos is 1 / sqrt 2.
    assert float(own.abs().max()) < 1e-6
    assert float(random.mean()) == pytest.approx(1 - 0.5**0.5, abs=5e-3)
    assert torch.equal(turns([x, straight], mask, 0)[1], random)
    assert not torch.equal(turns([x, straight], mask, 1)[1], random)
    mask[:, 5:] = 0
    few, _ = turns([x[:, :5], x.flip(-1)[:, :5]], mask[:, :5], 0)
    assert torch.allclose(turns([x, x.flip(-1)], mask, 0)[0], few)


def test_a_replay_has_the_same_bits_and_open_prompts_will_do() -> None:
    first, second = (BlockInfluence.model_validate(GIVEN).run(word_lab("phi", is_open=True)) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    assert {e.metric for e in first.effects} == {"influence", "beyond_random"}
