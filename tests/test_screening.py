"""Screens on a real model: what they choose, what is measured, and what is said about it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lashley.experiments.engine.donors import FEWEST, donors
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import load
from lashley.experiments.model.processor import speeds
from lashley.experiments.result import Result
from lashley.experiments.statistics import screening
from lashley.experiments.statistics.intervals import effects
from lashley.experiments.tasks.batch import Batch, make_batch
from lashley.experiments.tasks.donors import DONORS
from lashley.experiments.tasks.registry import task
from lashley.tests.processors import WITH_BF16, OnProcessor, on_processor

__all__ = ["on_processor"]
LAYERS = [0, 10, 20]


@functools.cache
def lab(name: str) -> Lab:
    return Lab(load("smollm2-135m", "cpu"), task(name))


@functools.cache
def swept(sweep: str) -> Result:
    config = {"layers": LAYERS, "n": 8, "sweep": sweep, "verify": 8}
    return HeadAblation.model_validate(config).run(lab("arithmetic"))


@pytest.mark.parametrize("sweep", ["screen", "attribution"])
def test_what_a_screen_reports_is_what_an_exact_sweep_measures(sweep: str) -> None:
    exact = {e.site: e for e in swept("exact").effects}
    found = swept(sweep).effects
    assert len(exact) == 27
    assert len(found) == 8 + screening.OTHERS
    for effect in found:
        assert effect.value == pytest.approx(exact[effect.site].value, abs=1e-4)
        assert effect.p == exact[effect.site].p
        # Those that were not measured count as tried, so a screen never makes anything more significant.
        assert effect.q is not None
        assert effect.q >= (exact[effect.site].q or 0)
        # What the screen saw of the others is near enough to tell how many are weaker; gradients are not.
        if sweep == "screen":
            assert effect.percentile == pytest.approx(exact[effect.site].percentile, abs=10)
        else:
            assert effect.percentile is None


def test_a_screen_finds_the_strongest_and_says_how_well_it_agrees() -> None:
    exact = sorted(swept("exact").effects, key=lambda e: -abs(e.value))
    result = swept("screen")
    assert {e.site for e in exact[:5]} <= {e.site for e in result.effects[:8]}
    assert result["screen_agreement"].value > 0.95
    # The eighth may well stand ninth.
    assert result["screen_missed"].value <= 1
    (figure,) = result.figures
    drawn = [v for row in figure.data["values"] for v in row if v is not None]
    dots = [v for row in figure.data["significant"] for v in row if v is not None]
    assert len(drawn) == len(dots) == 27
    assert ("in bf16" if speeds(torch.device("cpu")).bf16_pays else "in fp32") in figure.title
    assert result.arrays["screened"].shape == (16, 8)


def test_a_screen_by_kl_which_has_no_slope_goes_all_the_way(on_processor: OnProcessor) -> None:
    config = {"layers": LAYERS, "n": 4, "sweep": "screen", "verify": 4, "metric": "kl"}
    bench = lab("arithmetic")
    # Slow where this processor has no bf16, and right all the same.
    on_processor(WITH_BF16)
    result = HeadAblation.model_validate(config).run(bench)
    assert result["screen_agreement"].value > 0.95
    assert "first order" not in result.found
    assert "first order" in swept("screen").found


def test_a_screen_that_has_nothing_to_choose_measures_all() -> None:
    config = {"layers": [0], "n": 4, "sweep": "screen", "verify": 9}
    result = HeadAblation.model_validate(config).run(lab("arithmetic"))
    assert len(result.effects) == 9
    assert [m.name for m in result.measurements] == ["intact_logit_diff", "questions", "identity", "controls"]


def test_what_is_chosen_and_how_it_is_compared() -> None:
    guesses = np.array([[0.1, 0.2], [-3.0, -2.0], [1.0, 2.0], [0.0, 0.0], *[[0.01 * i, 0.01] for i in range(20)]])
    chosen = screening.chosen(guesses, 3, seed=5)
    assert chosen[:3] == [1, 2, 0]
    assert len(set(chosen)) == 3 + screening.OTHERS
    assert chosen == screening.chosen(guesses, 3, seed=5)
    assert chosen != screening.chosen(guesses, 3, seed=6)
    exact = guesses[chosen].copy()
    agree, missed = screening.agreement(guesses[chosen], exact, 3)
    assert (agree.value, missed.value) == (pytest.approx(1), 0)
    exact[5] = 9
    agree, missed = screening.agreement(guesses[chosen], exact, 3)
    assert agree.value < 1
    assert missed.value == 1


def test_those_that_were_not_measured_count_in_the_correction() -> None:
    differences = np.random.default_rng(0).normal(0.8, 1, (4, 12))
    alone = effects(list("abcd"), "loss", differences)
    among = effects(list("abcd"), "loss", differences, family=100)
    for a, b in zip(alone, among, strict=True):
        assert (a.value, a.p) == (b.value, b.p)
        assert b.q == pytest.approx(min(1.0, (a.q or 0) * 25))


@pytest.mark.parametrize("split", ["explore", "confirm"])
def test_prompts_with_few_donors_get_more_of_the_explore_split(split: str) -> None:
    bench = lab("ioi")
    _, batch = bench.prompts(6, split, 1)  # type: ignore[arg-type]
    more = bench.with_donors(6, split, 1)  # type: ignore[arg-type]
    assert more.ids.shape[1] == batch.length
    assert (more.ids[:6] == batch.ids).all()
    lent = donors(more, 6)
    assert lent.like.all()
    assert (lent.aligned.sum(-1) >= DONORS).all()
    assert set(more.groups) == set(batch.groups)
    shown = {tuple(row) for row in more.ids[6:].tolist()}
    assert len(shown) == len(more) - 6
    assert not shown & {tuple(row) for row in batch.ids.tolist()}
    explore = {p.text for p in task("ioi").prompts(4000, "explore", 1)}
    texts = {bench.subject.tokenizer.decode(i[m.bool()]) for i, m in zip(more.ids[6:], more.mask[6:], strict=True)}
    assert texts <= explore


def test_prompts_that_have_donors_stay_as_they_are() -> None:
    bench = lab("greater_than")
    _, batch = bench.prompts(16, "explore", 0)
    assert bench.with_donors(16, "explore", 0) is batch
    assert len(make_batch(bench.subject.tokenizer, bench.prompts(16, "explore", 0)[0])) == 16


DRAWN = ("rules", "gender", "arithmetic", "continents", "successor")


@pytest.mark.parametrize("name", ["json_closing", *(pytest.param(name, marks=pytest.mark.slow) for name in DRAWN)])
def test_every_prompt_of_a_task_has_donors_that_ask_and_answer_otherwise(name: str) -> None:
    bench = lab(name)
    prompts, _ = bench.prompts(16, "explore", 0)
    more = bench.with_donors(16, "explore", 0)
    lent = donors(more, 16)
    for row, prompt in enumerate(prompts):
        takes = (lent.aligned | lent.scattered)[row].nonzero()[:, 0].tolist()
        assert len(takes) >= FEWEST
        for donor in takes:
            assert more.questions[donor] != prompt.key
            read = int(more.answer_at[row])
            assert more.targets[donor, read] != more.targets[row, read]


def test_a_mean_over_donors_is_their_mean() -> None:
    """Against hooks on the model itself: z of all donors read, averaged by hand, put in place."""
    bench, name, layer, h = lab("ioi"), "L28.H1", 28, 1
    config = {"task": "ioi", "heads": [name, "L20.H3"], "n": 4, "method": "mean", "seed": 1}
    result = HeadAblation.model_validate(config).run(bench)
    assert "more_prompts_lent" in [note.code for note in result.notes]
    more, batch = bench.with_donors(4, "explore", 1), bench.prompts(4, "explore", 1)[1]
    model, width = bench.subject.model, slice(64 * h, 64 * (h + 1))
    o_proj = model.get_submodule(f"model.layers.{layer}.self_attn.o_proj")

    def logit_diff(which: Batch, hook: Callable[..., Any] | None) -> torch.Tensor:
        handle = o_proj.register_forward_pre_hook(hook) if hook else None
        with torch.no_grad():
            out = model(input_ids=which.ids, attention_mask=which.mask, position_ids=which.position_ids)
        if handle:
            handle.remove()
        at = out.logits.shape[1] - which.reads + which.answer_at
        rows = torch.arange(len(which))
        right, wrong = which.pair.unbind(-1)
        return out.logits[rows, at, right] - out.logits[rows, at, wrong]

    seen: list[torch.Tensor] = []
    logit_diff(more, lambda _, args: seen.append(args[0][..., width].clone()))
    means = torch.stack([
        torch.stack([
            seen[0][j] for j, g in enumerate(more.groups)
            if g == group and more.questions[j] != asked and more.targets[j, 0] != target[0]
        ]).mean(0)
        for group, asked, target in zip(batch.groups, batch.questions, batch.targets, strict=True)
    ])  # fmt: skip

    def put(_: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        z = args[0].clone()
        z[..., width] = torch.where(batch.mask[..., None].bool(), means, z[..., width])
        return (z, *args[1:])

    change = (logit_diff(batch, put) - logit_diff(batch, None)).mean()
    effect = next(e for e in result.effects if e.site == name)
    assert effect.value == pytest.approx(float(change), abs=1e-4)
