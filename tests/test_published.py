"""What is published of GPT-2 small: the data are sound, and the path runs on subjects that are here, none of which has
the values of another model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import GPT2Config, GPT2LMHeadModel

from lashley.agent.main import cli
from lashley.experiments.kinds.registry import kind
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.registry import task
from lashley.tools.evidence.quantity import parse
from lashley.tools.workbench.published import Check, Trial, hold, trials

GPT2 = {"n_layers": 12, "n_heads": 12, "n_kv_heads": 12, "d_mlp": 3072}


def few(trial: Trial, n: int) -> Trial:
    return trial.model_copy(update={"config": {**trial.config, "n": n}})


def test_each_trial_can_be_done_on_gpt2_small_and_names_its_source() -> None:
    given = trials()
    for trial in given:
        experiment = kind(trial.kind).model_validate(trial.config)
        experiment.check(GPT2, task(experiment.task))
        assert re.search(r"arXiv \d{4}\.\d{5}", trial.source)
        for check in trial.checks:
            assert check.low is not None or check.high is not None
            assert parse(check.quantity).text == check.quantity
            assert check.bounds
    quantities = [(t.kind, str(t.config), c.quantity) for t in given for c in t.checks]
    assert len(set(quantities)) == len(quantities)


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random model of GPT-2's shape, and narrow."""
    folder = tmp_path_factory.mktemp("shaped")
    tokenizer = load("smollm2-135m", "cpu").tokenizer
    torch.manual_seed(0)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=48, n_positions=128, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_the_detectors_are_run_and_a_random_model_differs(shaped: str) -> None:
    given = [few(t, 4) for t in trials() if t.kind == "head_detectors" and t.config["detector"] == "induction"]
    found = list(hold(shaped, given))
    assert [one.check for one in found] == list(given[0].checks)
    assert {one.state for one in found} <= {"agrees", "differs"}
    assert all(one.value is not None and one.value < 0.5 for one in found if one.check.quantity.startswith("effect"))
    assert sum(one.state == "differs" for one in found) >= 6


@pytest.mark.slow
def test_every_trial_is_run_on_a_random_model_of_the_shape(shaped: str) -> None:
    given = [few(trial, 4) for trial in trials()]
    found = list(hold(shaped, given))
    assert [one.check for one in found] == [check for trial in given for check in trial.checks]
    # The other task needs years of two tokens, or nothing differs: then it says why.
    assert all(one.value is not None or one.why for one in found)
    assert {one.kind for one in found if one.value is not None} >= {"head_detectors", "baseline", "self_repair"}


def test_bounds_decide_and_what_cannot_be_measured_says_why() -> None:
    checks = (
        Check(quantity="accuracy", published="", low=0.0, high=1.0),
        Check(quantity="logit_diff", published="", high=-100.0),
        Check(quantity="effect[L9.H9, share]", published="", low=0.0),
    )
    given = Trial(kind="baseline", config={"task": "ioi", "n": 2}, source="", checks=checks)
    lacking = Trial(kind="path_patching", config={"task": "ioi", "receivers": ["L9.H11"]}, source="", checks=checks[:1])
    found = list(hold("smollm2-135m", [given, lacking]))
    assert [one.state for one in found] == ["agrees", "differs", *["unmeasured"] * 2]
    assert "There is no head 11" in found[3].why
    assert [one.value is None for one in found] == [False, False, True, True]


def on_smollm(trial: Trial) -> Trial:
    """The same of heads that SmolLM2 has: nine in a layer."""
    return Trial.model_validate_json(
        re.sub(r"(L\d+)\.H(\d+)", lambda m: f"{m[1]}.H{int(m[2]) % 9}", few(trial, 2).model_dump_json())
    )


@pytest.mark.slow
def test_every_trial_is_run_on_smollm2() -> None:
    given = [on_smollm(trial) for trial in trials()]
    found = list(hold("smollm2-135m", given))
    assert [one.check for one in found] == [check for trial in given for check in trial.checks]
    assert not [f"{one.check.quantity}: {one.why}" for one in found if one.value is None]


def test_without_the_model_there_is_one_line(tmp_path: Path) -> None:
    told = CliRunner().invoke(cli, ["check-published", "--model", str(tmp_path / "gpt2")])
    assert told.exit_code == 2
    assert told.stdout == ""
    assert told.stderr.startswith("Error: ")
    assert told.stderr.count("\n") == 1


def test_the_command_shows_each_check_and_says_no(shaped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [few(t, 4) for t in trials() if t.config.get("detector") == "copy_suppression"]
    monkeypatch.setattr("lashley.tools.workbench.published.trials", lambda: given)
    told = CliRunner().invoke(cli, ["check-published", "--model", shaped])
    assert told.exit_code == 1, told.stderr
    assert "effect[L10.H7, copy_suppression]" in told.stdout
    assert "arXiv 2310.04625" in told.stdout
    assert re.search(r"\d of 2 agree\.", told.stdout)
    assert max(map(len, told.stdout.splitlines())) <= 80
