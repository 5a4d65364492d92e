"""An earlier result answers without the weights being loaded, and never for other weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.model import hub
from lashley.experiments.model.kept_fingerprints import seen
from lashley.experiments.model.loading import load
from lashley.experiments.model.places import Place
from lashley.experiments.model.subject import Subject
from lashley.tests.saved_models import adapter, config, saved, tensors
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

# The commands, with a line for each time that a model is read from its files.
COUNTED = """
import sys
from lashley.experiments.model import loading
read = loading.read_model
def read_and_tell(*given, **named):
    print("WEIGHTS", file=sys.stderr)
    return read(*given, **named)
loading.read_model = read_and_tell
from lashley.agent.main import main
main()
"""
LINES = [{"text": f"w{n} w{n + 1} w{n + 2}", "answer": f" w{n + 3}", "distractor": " w9"} for n in range(10, 40)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LASHLEY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, LINES)), encoding="utf-8")
    return saved(tmp_path / "model")


def again(folder: Path) -> tuple[str, int]:
    """The same experiment in a new process: which one answered, and how often weights were loaded."""
    words = ["experiment", "baseline", "--model", str(folder), "--task", "own.jsonl", "--n", "4", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, *words], cwd=folder.parent, capture_output=True, text=True, check=False,
        env={**os.environ, "LASHLEY_DB": str(folder.parent / "t.db")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["id"], done.stderr.count("WEIGHTS")


def touched_in_secret(file: Path) -> None:
    """One bit of a weight changed; its size and the time of its last change are as before."""
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_repeated_experiment_in_a_new_process_loads_no_weights(folder: Path) -> None:
    assert again(folder) == ("E1", 1)
    assert again(folder) == ("E1", 0)


def test_weights_are_loaded_where_they_have_to_be_and_nowhere_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a tracker that is opened again and again in one process."""
    loaded = list[str]()

    def load_and_tell(name: str, **given: Any) -> Subject:
        loaded.append(name)
        return load(name, **given)

    monkeypatch.setattr("lashley.experiments.model.loading.load", load_and_tell)

    def answered(fresh: bool = False, **changed: Any) -> tuple[int, int]:
        loaded.clear()
        with Context.open(str(folder.parent / "t.db")) as context:
            context.add_task_file(str(folder.parent / "own.jsonl"))
            experiment = Baseline.model_validate({"model": str(folder), "task": "own", "n": 4, **changed})
            return run_experiment(context, experiment, fresh=fresh).number, len(loaded)

    assert [answered(), answered(), answered(fresh=True), answered()] == [(1, 1), (1, 0), (2, 1), (1, 0)]
    assert [answered(n=3), answered(n=3)] == [(3, 1), (3, 0)]
    touched_in_secret(folder / "model.safetensors")
    assert [answered(), answered()] == [(4, 1), (4, 0)]
    config(folder, rms_norm_eps=1e-3)
    assert [answered(), answered()] == [(5, 1), (5, 0)]
    lines = [{**line, "distractor": " w8"} for line in LINES]
    (folder.parent / "own.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert [answered(), answered()] == [(6, 1), (6, 0)], "another task of the same name"


def test_what_is_kept_is_the_fingerprint_that_loading_gives(folder: Path) -> None:
    with Context.open(str(folder.parent / "t.db")) as context:
        context.add_task_file(str(folder.parent / "own.jsonl"))
        experiment = Baseline(model=str(folder), task="own", n=4)
        assert context.known(experiment) is None
        run_experiment(context, experiment)
        lab = context.lab(str(folder), "own")
        assert context.known(experiment) is None, "it is loaded"
    with Context.open(str(folder.parent / "t.db")) as context:
        assert context.known(experiment) == (lab.subject.fingerprint, lab.task.fingerprint())


def test_a_fingerprint_is_believed_for_the_very_same_files_alone(folder: Path) -> None:
    place, fingerprint = Place(str(folder), True), load(str(folder)).fingerprint
    before = seen(place)
    assert before is not None
    assert before.fingerprint() is None
    before.keep(fingerprint)
    assert before.fingerprint() == fingerprint
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        kept = (folder / file).read_bytes()
        touched_in_secret(folder / file)
        now = seen(place)
        assert now is not None
        assert (now.key != before.key, now.fingerprint()) == (True, None)
        (folder / file).write_bytes(kept)
    same = seen(place)
    assert same is not None
    assert same.fingerprint() == fingerprint
    (folder / "added_tokens.json").write_text("{}")
    more = seen(place)
    assert more is not None
    assert more.fingerprint() is None


def test_files_that_changed_while_they_were_loaded_are_not_remembered(folder: Path) -> None:
    before = seen(Place(str(folder), True))
    assert before is not None
    touched_in_secret(folder / "model.safetensors")
    before.keep("0" * 16)
    assert before.fingerprint() is None


@pytest.mark.parametrize("content", ["", "0" * 15, "not a fingerprint", "\xff" * 16])
def test_a_damaged_record_counts_as_none(folder: Path, cache: Path, content: str) -> None:
    now = seen(Place(str(folder), True))
    assert now is not None
    now.keep("a" * 16)
    (record,) = (cache / "fingerprints").iterdir()
    record.write_text(content, encoding="latin-1")
    assert now.fingerprint() is None


def test_an_adapter_and_the_pieces_of_a_model_count(tmp_path: Path) -> None:
    base = saved(tmp_path / "base")
    own = adapter(tmp_path / "adapter", base)
    whole, with_adapter = Place(str(base), True), Place(str(base), True, adapter=own, base="base")
    first, second = seen(whole), seen(with_adapter)
    assert first is not None
    assert second is not None
    assert first.key != second.key
    tensors(own, lambda given: {k: v * 2 for k, v in given.items()}, "adapter_model.safetensors")
    third = seen(with_adapter)
    assert third is not None
    assert third.key != second.key
    # Pieces may lie in a folder of their own.
    (base / "parts").mkdir()
    (base / "model.safetensors").rename(base / "parts/1.safetensors")
    index = {"weight_map": {"lm_head.weight": "parts/1.safetensors"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    before = seen(whole)
    touched_in_secret(base / "parts/1.safetensors")
    after = seen(whole)
    assert before is not None
    assert after is not None
    assert before.key != after.key


def test_of_a_model_on_the_hub_the_commit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.only_cached.cache_clear()
    home = tmp_path / "hub/models--some--model"
    for commit in ("a" * 40, "b" * 40):
        saved(home / "snapshots" / commit)
    tensors(home / "snapshots" / ("b" * 40), lambda given: {k: v * 1.5 for k, v in given.items()})
    (home / "refs").mkdir()
    keys: list[str] = []
    for commit in ("a" * 40, "b" * 40):
        (home / "refs/main").write_text(commit)
        now = seen(Place("some/model", True))
        assert now is not None
        keys.append(now.key)
    assert keys[0] != keys[1]
    assert seen(replace(Place("some/model", True), where="some/other")) is None
