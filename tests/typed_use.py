"""What somebody writes with `import lashley`: every public name of it.

A type checker reads it (`test_stubs.py`), and nobody runs it. The test adds the kinds of experiments.
"""

from __future__ import annotations

from typing import assert_type

import pandas as pd
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import lashley


def measured(model: lashley.Model, task: lashley.Task) -> lashley.Found:
    experiment: lashley.Experiment = lashley.HeadAblation(layers=[0, 1], n=8, metric="logit_diff", method="mean")
    found = lashley.run(experiment, task, model)
    assert_type(found, lashley.Found)
    assert_type(found.result, lashley.Result)
    frame: pd.DataFrame = found.top(5, "logit_diff")
    print(frame, found.effects(), found.measurements(), found.samples(), found.notes, found.array("logit_diff").shape)
    print(found.picture("heads").data["unit"], found.picture())
    return lashley.run(experiment, model="smollm2-135m", log=True, db="lashley.db", reason="to see", fresh=True)


def tasks() -> list[lashley.Task]:
    prompt = lashley.Prompt("Grass is", " green", distractor=" blue", spans={"noun": (0, 5)})
    fields = {"text": "Snow is", "answer": " white"}
    return [lashley.Task([prompt], "colours"), lashley.Task([fields]), lashley.Task("own.csv", answer_kind="word")]


def models() -> list[lashley.Model]:
    own = LlamaForCausalLM(LlamaConfig())
    loaded = lashley.load("smollm2-135m", device="cpu")
    return [loaded, lashley.load(own, loaded.tokenizer, name="mine")]


def tensors(model: lashley.Model, direction: Tensor) -> lashley.Activations:
    seen = model.activations(["The sky is"], ["L0.H1", "L1.resid_post"])
    assert_type(seen["L0.H1"], Tensor)
    assert_type(seen.logits, Tensor)
    edit = lashley.Edit("L1.resid_post", "add", value=direction, factor=2.0, positions="last")
    return model.intervene("The sky is", [edit, "L0.H1"], read=["L1.H0"])


def studied(model: lashley.Model, task: lashley.Task) -> lashley.Study:
    study = lashley.study("Which heads add?", model=model, task=task, driver="autopilot", n=8, display="none")
    for hypothesis in study.hypotheses:
        assert_type(hypothesis, lashley.Hypothesis)
        print(hypothesis.status, [prediction.value for prediction in hypothesis.predictions])
    for experiment in study.experiments:
        assert_type(experiment, lashley.Logged)
        print(experiment.id, experiment.status, experiment.config["n"], experiment.row.kind)
    print(study.report.markdown, study.report.html, study.status, study.why)
    return study


def browsed() -> str:
    with lashley.open("lashley.db") as tracker:
        assert_type(tracker, lashley.Tracker)
        print(tracker.experiments(kind="baseline"), tracker.sql("SELECT 1"), tracker.table("effects"), tracker["E1"])
        print(tracker.study("R1").goal, tracker.experiment("E1").effects())
    try:
        lashley.HeadAblation(n=0)
    except lashley.errors.BadLines as fault:
        print(fault.faults)
    except lashley.errors.OURS as fault:
        print(fault)
    return lashley.__version__
