"""What kinds say of the texts of a subject: failures before and after, and open prompts, which have no answer."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.lab import Lab
from lashley.experiments.result import Result
from lashley.experiments.tasks.from_file import Lines
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.task import Task
from lashley.tests.tiny import tiny_subject
from lashley.tools.report.figures import draw

WORDS = [f"w{3 + i * 7 % 90} w{3 + i * 11 % 90} w{3 + i * 13 % 90}" for i in range(24)]
CLOSED = tuple(
    Prompt(text=text, answer=f" w{40 + i % 5}", distractor=" w70", template="t", key=text)
    for i, text in enumerate(WORDS)
)
# Nothing is asked: no answer, and none to be wrong.
OPEN = tuple(p.model_copy(update={"answer": "", "distractor": None}) for p in CLOSED)


def lab(prompts: tuple[Prompt, ...], kind: str) -> Lab:
    made = Task(
        name="tiny", title="Tiny", description="Words.", keywords=(), answer_kind=kind, max_new_tokens=6,  # type: ignore[arg-type]
        source=Lines(prompts),
    )  # fmt: skip
    return Lab(tiny_subject("llama"), made)


def values(result: Result) -> dict[str, float]:
    return {m.name: m.value for m in result.measurements}


HEADS = HeadAblation(task="tiny", n=6, heads=["L0.H1", "L1.H2"], together=True)
LAYERS = LayerProgram(task="tiny", n=6, program="0-1")


@pytest.mark.parametrize("experiment", [HEADS, LAYERS])
def test_failures_before_and_after_add_up(experiment: HeadAblation | LayerProgram) -> None:
    place = lab(CLOSED, "word")
    result = experiment.run(place)
    (figure,) = result.figures
    assert figure.kind == "stacked_bars"
    assert figure.title == f"What {place.subject.name} answers: {place.task.name}"
    assert [sum(counts) for counts in figure.data["counts"]] == [6, 6]
    changes = {e.site.removeprefix("answers "): e.value for e in result.effects if e.metric == "answer_share"}
    assert set(changes) == set(figure.data["labels"])
    before, after = (np.array(counts) for counts in figure.data["counts"])
    assert list(changes.values()) == pytest.approx(list((after - before) / 6))
    assert sum(changes.values()) == pytest.approx(0)
    assert "Answers, intact to edited: " in result.found
    assert draw(figure).startswith("<svg")
    assert values(result)["kl"] > 0


@pytest.mark.parametrize(
    "experiment",
    [Baseline(task="tiny", n=6), HEADS, LAYERS, HeadAblation(task="tiny", n=6, metric="loss", layers=[0]),
     LayerProgram(task="tiny", n=6, sweep="skip_each")],
)  # fmt: skip
def test_a_subject_that_cannot_do_the_task_is_told(experiment: Baseline) -> None:
    """Random weights know nothing: every result says so."""
    result = experiment.run(lab(CLOSED, "word"))
    assert "unable" in [note.code for note in result.notes]


def test_the_divergence_can_be_swept() -> None:
    ours = lab(CLOSED, "word")
    heads = HeadAblation(task="tiny", n=6, metric="kl").run(ours)
    assert len(heads.effects) == 12
    assert all(e.value > 0 and e.p is None and e.q is None for e in heads.effects)
    alone = HeadAblation(task="tiny", n=6, metric="kl", heads=["L1.H2"], together=True).run(ours)
    assert alone.effects[0].value == pytest.approx(next(e.value for e in heads.effects if e.site == "L1.H2"), abs=1e-6)
    layers = LayerProgram(task="tiny", n=6, metric="kl", sweep="keep_first").run(ours)
    assert all(nearer.value <= further.value * 50 for further, nearer in pairwise(layers.effects))
    twice = LayerProgram(task="tiny", n=6, metric="kl", program="0-1").run(ours)
    assert twice.effects[0].value == pytest.approx(layers.effects[2].value, abs=1e-6)
    with pytest.raises(BadConfiguration, match="no gradient"):
        HeadAblation(task="tiny", n=6, metric="kl", sweep="attribution").check(ours.subject.sizes, ours.task)


@pytest.mark.parametrize("experiment", [Baseline(task="tiny", n=6), HEADS, LAYERS])
def test_open_prompts_are_measured_by_how_the_text_is_written(experiment: Baseline) -> None:
    if not isinstance(experiment, Baseline):
        experiment = experiment.model_copy(update={"metric": "kl"})
    result = experiment.run(lab(OPEN, "open"))
    found = values(result)
    assert {"repetition", "distinct_1", "distinct_2", "perplexity"} <= set(found)
    assert found["perplexity"] >= 1
    assert not {"accuracy", "loss"} & set(found)
    assert not result.notes
    assert all(s.correct is None and s.failure is None for s in result.samples)


def test_open_prompts_have_no_loss_to_sweep() -> None:
    ours = lab(OPEN, "open")
    with pytest.raises(BadConfiguration, match=r"have no answer.*Use metric kl"):
        HeadAblation(task="tiny", n=6).check(ours.subject.sizes, ours.task)
    with pytest.raises(BadConfiguration, match=r"have no answer.*Use metric kl"):
        LayerProgram(task="tiny", n=6, sweep="skip_each").check(ours.subject.sizes, ours.task)


def test_the_surprise_of_a_text_is_its_loss_under_the_intact_model() -> None:
    ours = lab(OPEN, "open")
    prompts = OPEN[:3]
    said = [" w5 w9 w12", " w4", ""]
    found = ours.surprise(prompts, said)
    for prompt, text, value in zip(prompts, said, found, strict=True):
        if not text:
            assert math.isnan(value)
            continue
        head = ours.subject.tokenizer(prompt.text)["input_ids"]
        both = ours.subject.tokenizer(prompt.text + text)["input_ids"]
        labels = torch.tensor([[-100] * len(head) + both[len(head) :]])
        with torch.no_grad():
            loss = ours.subject.model(input_ids=torch.tensor([both]), labels=labels).loss
        assert value == pytest.approx(float(loss), abs=1e-5)
