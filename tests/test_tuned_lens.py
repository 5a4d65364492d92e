"""The tuned lens: the closed form is what it says it is, nothing is measured on what was fitted, the last lens is the
model's own prediction, and the fit does not harm."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.tuned_lens import TunedLens
from lashley.experiments.methods.affine import fitted
from lashley.experiments.result import Result
from lashley.experiments.tasks.fitting_prompts import training_prompts
from lashley.experiments.tasks.registry import task
from lashley.tests.test_engine import TOLERANCE
from lashley.tests.tiny import SAMPLED
from lashley.tests.word_tasks import PROMPTS, word_lab, word_task
from lashley.tools.report.figures import draw

N = 6
GIVEN: dict[str, Any] = {"task": "words", "n": N, "train": 32}


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


def test_the_fit_finds_the_map_that_made_the_data() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 12, generator=generator, dtype=torch.float64)
    A, b = torch.randn(12, 12, generator=generator, dtype=torch.float64), torch.arange(12).double()
    y = x + x @ A + b
    same, free, strong, shift = fitted(x, y, (1e-9, 1e9, None))
    assert torch.equal(same(x), x)
    assert torch.allclose(free(x), y, atol=1e-5)
    weight = 1 / (y**2).mean(-1, keepdim=True)
    wanted = (weight * (y - x)).sum(0) / weight.sum()
    assert torch.allclose(shift(x), x + wanted)
    assert torch.allclose(strong(x), shift(x), atol=1e-5)


def test_the_fit_is_where_its_own_loss_is_flat() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(40, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    found = fitted(x, y, (0.1,))[1]
    assert found.A is not None
    A, b = found.A.clone().requires_grad_(), found.b.clone().requires_grad_()
    weight = 1 / (y**2).mean(-1)
    weight = weight / weight.sum()
    middle = (weight[:, None] * x).sum(0)
    scale = (weight[:, None] * (x - middle) ** 2).sum(0).mean()
    loss = (weight * (x + x @ A + b - y).pow(2).sum(-1)).sum() + 0.1 * scale * A.pow(2).sum()
    loss.backward()
    assert float(A.grad.abs().max()) < 1e-10  # type: ignore[union-attr]
    assert float(b.grad.abs().max()) < 1e-10  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", SAMPLED)
def test_the_last_lens_is_the_models_own_and_the_others_are_no_worse_than_before(kind: str) -> None:
    lab = word_lab(kind)
    result = TunedLens.model_validate(GIVEN).run(lab)
    own = lab.intact(N, "explore", 0).scores
    last = f"L{lab.subject.anatomy.n_layers - 1}.resid_post"
    for metric in ("prob", "rank", "logit_diff"):
        assert by_metric(result, metric)[last] == pytest.approx(own[metric].mean(), abs=TOLERANCE)
    assert by_metric(result, "gain")[last] == pytest.approx(0, abs=TOLERANCE)
    assert result["identity"].value <= TOLERANCE
    # Random weights and 24 prompts leave little to learn, and still the fit does not harm by more than chance.
    low = result["kl_change"].low
    assert low is not None
    assert low <= 0
    assert result["kl_change"].value == pytest.approx(
        result["kl_tuned"].value - result["kl_logit_lens"].value, abs=1e-6
    )


def test_a_replay_has_the_same_bits_and_its_figure_can_be_drawn() -> None:
    first, second = (TunedLens.model_validate(GIVEN).run(word_lab("gemma2")) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    assert [s["name"] for s in first.figures[0].data["series"]][:2] == ["tuned lens", "logit lens"]
    assert draw(first.figures[0])


def test_open_prompts_will_do() -> None:
    result = TunedLens.model_validate(GIVEN).run(word_lab("llama", is_open=True))
    assert {e.metric for e in result.effects} == {"gain", "specific", "kl"}


@pytest.mark.parametrize("split", ["explore", "confirm"])
@pytest.mark.parametrize("name", ["ioi", "capitals", "arithmetic"])
def test_nothing_is_fitted_on_what_is_measured(name: str, split: Any) -> None:
    measured = task(name).prompts(16, split, 3)
    drawn, notes = training_prompts(task(name), measured, 64, 3)
    assert not {p.text for p in measured} & {p.text for p in drawn}
    assert {p.split for p in drawn} == {"explore"}
    shared = {p.key for p in measured} & {p.key for p in drawn}
    assert bool(shared) == bool(notes)
    assert training_prompts(task(name), measured, 64, 3) == (drawn, notes)


def test_too_few_prompts_are_refused_in_a_line() -> None:
    few = word_task(PROMPTS[:24])
    measured = few.prompts(4)
    with pytest.raises(BadConfiguration, match="16 are needed"):
        training_prompts(few, measured, 64, 0)
    with pytest.raises(BadConfiguration, match="n of at least 2"):
        TunedLens.model_validate({**GIVEN, "n": 1}).check({}, word_task())
