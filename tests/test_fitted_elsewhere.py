"""Maps that are fitted on one task and read on another: on which prompts, and the same as by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.engine.donors import content
from lashley.experiments.errors import BadConfiguration, UnknownName
from lashley.experiments.experiment import Experiment
from lashley.experiments.kinds.linear_shortcut import LinearShortcut
from lashley.experiments.kinds.tuned_lens import TunedLens
from lashley.experiments.lab import Lab, lab_of
from lashley.experiments.methods.affine import fitted
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.fitting_prompts import fitting, training_prompts
from lashley.experiments.tasks.from_file import as_jsonl, from_jsonl
from lashley.experiments.tasks.registry import task
from lashley.tools.replay.experiment import replay
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

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
def test_old_configurations_have_the_same_hash_and_an_unknown_task_is_refused(kind: type[Experiment]) -> None:
    plain, fitted_on = (kind.model_validate({**GIVEN, **more}) for more in ({}, {"fit_task": "open_prompts"}))
    assert "fit_task" not in json.dumps(plain.config())
    assert plain.config_hash() != fitted_on.config_hash()
    mine = kind.model_validate({**GIVEN, "fit_task": "colours"})
    with pytest.raises(BadConfiguration, match=r"'colours', which is not a built-in task, nor .*\. Use one of: arithm"):
        mine.check({}, task("induction"))
    few = kind.model_validate({**GIVEN, "fit_task": "small_arithmetic"})
    with pytest.raises(BadConfiguration, match=r"small_arithmetic has only .* are needed to fit a map"):
        few.check({}, task("induction"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_of_ones_own_is_fitted_on_logged_by_its_version_and_replayed(kind: Any, tmp_path: Path) -> None:
    """Its prompts are those of another task, so the numbers must be those of fitting on that one."""
    file = tmp_path / "mine.jsonl"
    copied = list(task("induction").for_tokenizer(load(PLANTED).tokenizer).prompts(120, "explore", 5))
    given = {**GIVEN, "fit_task": "mine"}
    with Context.open(str(tmp_path / "t.db")) as context:
        with pytest.raises(UnknownName, match="mine"):
            run_experiment(context, kind.model_validate(given))
        file.write_text(as_jsonl(copied))
        version = context.add_task_file(str(file)).fingerprint()
        done = run_experiment(context, kind.model_validate(given))
        assert done.error is None
        row = context.reader.experiment(done.number)
        assert row.config["fit_task"] == f"mine@{version}"
        # The same request is the same experiment.
        assert run_experiment(context, kind.model_validate(given)).reused
        # Another version under the same name is another experiment, and the first is still found and repeated.
        file.write_text(as_jsonl(copied[: len(copied) - 1]))
        context.add_task_file(str(file))
        again = run_experiment(context, kind.model_validate(given))
        assert not again.reused
        assert context.reader.experiment(again.number).config["fit_task"] != row.config["fit_task"]
    with Context.open(str(tmp_path / "t.db")) as context:
        found = replay(context, done.number)
        assert (found["same"], found["differences"]) == (True, [])
    # The maps are those of the file's prompts, which its lab has under that name.
    own = {f"mine@{version}": from_jsonl("mine", as_jsonl(copied))}
    here = Lab(load(PLANTED), task("induction").for_tokenizer(load(PLANTED).tokenizer), own=own)
    alone = kind.model_validate({**GIVEN, "fit_task": f"mine@{version}"}).run(here)
    assert [e.value for e in alone.effects] == pytest.approx([e.value for e in row.effects], abs=1e-5)
    assert alone.effects != kind.model_validate(GIVEN).run(here).effects
    texts = {p.text for p in copied}
    drawn = fitting(here, here.prompts(6, "explore", 0)[0], 32, 0, f"mine@{version}")
    assert all(any(t in one for t in texts) for one in map(here.subject.tokenizer.decode, drawn.fitted.ids))
