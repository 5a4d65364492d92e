"""Maps that are fitted on one task and read on another: on which prompts, and the same as by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.engine.donors import content
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.experiment import Experiment
from lashley.experiments.kinds.linear_shortcut import LinearShortcut
from lashley.experiments.kinds.tuned_lens import TunedLens
from lashley.experiments.lab import Lab, lab_of
from lashley.experiments.methods.affine import fitted
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.fitting_prompts import fitting, training_prompts
from lashley.experiments.tasks.registry import task

PLANTED = "planted:induction"
GIVEN: dict[str, Any] = {"model": PLANTED, "task": "induction", "n": 6, "train": 32}
KINDS = (TunedLens, LinearShortcut)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return lab_of(load(PLANTED), task("induction"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_task_by_its_name_gives_the_same_numbers(kind: Any, lab: Lab) -> None:
    plain, named = (kind.model_validate({**GIVEN, **more}).run(lab) for more in ({}, {"fit_task": "induction"}))
    assert named.effects == plain.effects
    assert "fitted on induction" in named.found


@pytest.mark.parametrize("kind", KINDS)
def test_another_task_gives_other_maps(kind: Any, lab: Lab) -> None:
    plain, other = (kind.model_validate({**GIVEN, **more}).run(lab) for more in ({}, {"fit_task": "open_prompts"}))
    assert other.effects != plain.effects
    # What needs no map stays as it was.
    assert [m for m in other.measurements if m.name == "kl_logit_lens"] == [
        m for m in plain.measurements if m.name == "kl_logit_lens"
    ]


def test_the_maps_are_those_of_the_other_tasks_prompts_by_hand(lab: Lab) -> None:
    experiment = TunedLens.model_validate({**GIVEN, "fit_task": "open_prompts"})
    maps, _ = experiment.maps(lab)
    general = task("open_prompts").for_tokenizer(lab.subject.tokenizer).prompts(24)
    batch = make_batch(lab.subject.tokenizer, general, lab.subject.device)
    streams = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
    inside = content(batch)
    # The penalty is chosen on held-out prompts, so the map is one of those that least squares gives.
    tried = fitted(streams[0][inside], streams[-1][inside])
    seen = streams[0]
    assert any(torch.allclose(maps[0](seen), each(seen), atol=1e-5) for each in tried)


@pytest.mark.parametrize("split", ["explore", "confirm"])
@pytest.mark.parametrize(
    ("read", "fit"), [("capitals", "languages"), ("ioi", "open_prompts"), ("addition", "arithmetic")]
)
def test_no_question_that_is_read_was_fitted_on(read: str, fit: str, split: Any) -> None:
    measured = task(read).prompts(16, split, 3)
    drawn, _ = training_prompts(task(read), measured, 64, 3, task(fit))
    assert not {p.key for p in measured} & {p.key for p in drawn}
    assert not {p.text for p in measured} & {p.text for p in drawn}
    there = {p.text for p in task(fit).prompts(task(fit).capacity("explore"), "explore", 3)}
    assert {p.text for p in drawn} <= there


def test_a_fit_shares_no_question_with_what_the_lab_measures(lab: Lab) -> None:
    measured, _ = lab.prompts(6, "explore", 0)
    fit = fitting(lab, measured, 32, 0, "induction")
    length = len(fit.fitted) + len(fit.apart)
    assert length == 32


@pytest.mark.parametrize("kind", KINDS)
def test_old_configurations_have_the_same_hash_and_a_task_of_ones_own_is_refused(kind: type[Experiment]) -> None:
    plain, fitted_on = (kind.model_validate({**GIVEN, **more}) for more in ({}, {"fit_task": "open_prompts"}))
    assert "fit_task" not in json.dumps(plain.config())
    assert plain.config_hash() != fitted_on.config_hash()
    mine = kind.model_validate({**GIVEN, "fit_task": "colours"})
    with pytest.raises(BadConfiguration, match=r"'colours', which is not a built-in task. Use one of: arithmetic"):
        mine.check({}, task("induction"))
    few = kind.model_validate({**GIVEN, "fit_task": "small_arithmetic"})
    with pytest.raises(BadConfiguration, match=r"small_arithmetic has only .* are needed to fit a map"):
        few.check({}, task("induction"))
