"""Revisions of a Hub model: from a cache laid out as the Hub's own client does it, and over HTTP on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lashley.experiments.errors import UnknownName, UnsupportedModel
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.model import hub
from lashley.experiments.model.loading import load, sizes_of
from lashley.tests import hub_on_loopback
from lashley.tests.saved_models import adapter, config, saved
from lashley.tools.replay.experiment import replay
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

COMMITS = {"main": "a" * 40, "step1000": "b" * 40}


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache with `some/model`: three layers on main, two at step1000."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.only_cached.cache_clear()
    for name, layers in (("main", 3), ("step1000", 2)):
        lay_out(tmp_path / "hub", "some/model", name, saved(tmp_path / name, num_hidden_layers=layers))
    return tmp_path / "hub"


def lay_out(cache: Path, repository: str, branch: str, files: Path) -> None:
    home = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(files, home / "snapshots" / COMMITS[branch])
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / branch).write_text(COMMITS[branch])


@pytest.mark.usefixtures("cached")
def test_a_revision_is_that_model_and_its_name_says_so() -> None:
    layers = {"some/model": 3, "some/model@main": 3, "some/model@step1000": 2, f"some/model@{COMMITS['step1000']}": 2}
    for name, wanted in layers.items():
        assert sizes_of(name)["n_layers"] == wanted
        subject = load(name)
        assert (subject.name, subject.sizes["n_layers"]) == (name, wanted)


@pytest.mark.usefixtures("cached")
def test_a_revision_that_is_not_there_is_named() -> None:
    with pytest.raises(UnsupportedModel, match="'some/model@step9' is not on this machine"):
        load("some/model@step9")
    with pytest.raises(UnsupportedModel, match=r"Only models on the Hub have revisions, and 'planted:null' is local"):
        load("planted:null@main")
    for name in ("some/model@", "some/model@a b", "@main"):
        with pytest.raises(UnknownName):
            load(name)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    with pytest.raises(UnsupportedModel, match="leave out '@main'"):
        load(f"{folder}@main")
    at = folder.rename(tmp_path / "m@main")
    assert load(str(at)).name == str(at)


@pytest.mark.usefixtures("cached")
def test_what_is_logged_on_a_revision_is_replayed_on_it(tmp_path: Path) -> None:
    task = tmp_path / "words.jsonl"
    task.write_text("".join(f'{{"text": "w{i} w{i + 1}", "answer": " w{i + 2}"}}\n' for i in range(3, 43)))
    with Context.open(str(tmp_path / "t.db")) as context:
        name = context.add_task_file(str(task)).name
        done = run_experiment(context, Baseline(model="some/model@step1000", task=name, n=4))
        assert done.error is None
        logged = context.reader.experiment(done.number)
        assert (logged.model, logged.subject.anatomy["n_layers"]) == ("some/model@step1000", 2)
    with Context.open(str(tmp_path / "t.db")) as again:
        assert replay(again, done.number)["same"]


def test_an_adapter_on_the_hub_names_its_base_with_its_revision(tmp_path: Path, cached: Path) -> None:
    pytest.importorskip("peft")
    folder = adapter(tmp_path / "lora", tmp_path / "step1000")
    config(folder, "adapter_config.json", base_model_name_or_path="some/model", revision="step1000")
    lay_out(cached, "some/lora", "main", folder)
    subject = load("some/lora")
    assert subject.made_of is not None
    assert (subject.made_of.base, subject.sizes["n_layers"]) == ("some/model@step1000", 2)
    assert subject.made_of.base_fingerprint == load("some/model@step1000").fingerprint


LOADS = """
import json, sys
from lashley.experiments.errors import ExperimentError
from lashley.experiments.model.loading import load
for name in sys.argv[1:]:
    try:
        subject = load(name)
        found = [subject.sizes["n_layers"], subject.made_of and subject.made_of.base]
    except ExperimentError as fault:
        found = str(fault)
    print(json.dumps({name: found}))
"""


def test_from_the_hub_and_from_what_it_left_in_the_cache_come_the_same_models(tmp_path: Path) -> None:
    """In processes of their own, since where the Hub is and whether it may be asked is read when they start."""
    pytest.importorskip("peft")
    folders = {layers: saved(tmp_path / str(layers), num_hidden_layers=layers) for layers in (2, 3)}
    lora = adapter(tmp_path / "lora", folders[2])
    config(lora, "adapter_config.json", base_model_name_or_path="some/model", revision="step1000")
    both = adapter(saved(tmp_path / "both"), folders[3])
    names = ("some/model", "some/model@step1000", "some/lora", "some/both", "some/model@step9", "some/other")
    with hub_on_loopback.hub(
        {"some/model": {"main": folders[3], "step1000": folders[2]}, "some/lora": {"main": lora},
         "some/both": {"main": both}}
    ) as address:  # fmt: skip
        asked = loaded(tmp_path, names, {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"})
    cached = loaded(tmp_path, names, {"HF_HUB_OFFLINE": "1"})
    wanted = {
        "some/model": [3, None], "some/model@step1000": [2, None], "some/lora": [2, "some/model@step1000"],
        "some/both": [3, "some/both"],
    }  # fmt: skip
    assert {name: asked[name] for name in wanted} == wanted == {name: cached[name] for name in wanted}
    assert asked["some/model@step9"] == "The model 'some/model' has no revision 'step9' on the Hub."
    assert "'some/model@step9' is not on this machine" in str(cached["some/model@step9"])
    assert "It was not found on the Hub" in str(asked["some/other"])


def loaded(home: Path, names: tuple[str, ...], surroundings: dict[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *names], env={**os.environ, "HF_HOME": str(home / "hf"), **surroundings},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: what for line in done.stdout.splitlines() for name, what in json.loads(line).items()}
