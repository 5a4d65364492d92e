"""A removal removes all of it: no method leaves in place what a foreign donor would take away.

The truth is known: planted subjects need a head, and a donor with another answer is put in by plain hooks, prompt by
prompt. A mean that holds the prompt's own value, or donors that all answer alike, would remove less.
"""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.saliency import Saliency
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import prepare
from lashley.experiments.planted.build import model, tokenizer
from lashley.experiments.planted.truth import TRUTHS, WORDS
from lashley.experiments.sites import Site, parse_site
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.induction import INDUCTION
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.task import Task

from .slow_way import clean_values, slow_logits

TOKENIZER = tokenizer()
NEEDED = [(name, head) for name in ("planted:induction", "planted:dead-layer") for head in TRUTHS[name].needed]


def one_answer_a_template() -> Task:
    """Lists of five words said twice; all prompts of a template have one answer, the third word."""
    rng, lines = random.Random(3), list[str]()
    for answer in WORDS[:6]:
        for _ in range(12):
            words = rng.sample([word for word in WORDS[6:] if word != answer], 4)
            said = [words[0], words[1], answer, words[2], words[3]]
            text = "".join(f" {word}" for word in (*said, *said[:2]))
            lines.append(json.dumps({"text": text, "answer": f" {answer}", "distractor": f" {words[0]}",
                                     "template": f"says {answer}"}))  # fmt: skip
    return from_jsonl("one_answer", "\n".join(lines))


TASKS = {"induction": INDUCTION.for_tokenizer(TOKENIZER), "one_answer": one_answer_a_template()}


@cache
def lab(name: str, task: str) -> Lab:
    return Lab(prepare(name, model(TRUTHS[name]), TOKENIZER, "cpu"), TASKS[task])


def ids(prompt: Prompt) -> Tensor:
    return torch.tensor([TOKENIZER(prompt.text)["input_ids"]])


def difference(logits: Tensor, prompt: Prompt) -> float:
    answer, wrong = (TOKENIZER(text)["input_ids"][0] for text in (prompt.answer, prompt.distractor))
    return float(logits[-1, answer] - logits[-1, wrong])


def with_a_foreign_donor(bench: Lab, head: str, n: int) -> float:
    """The mean change of the logit difference when the head's output comes from another prompt of the same length that
    answers otherwise, by hooks."""
    prompts, site = bench.task.prompts(n), parse_site(head)
    pool, change = bench.task.prompts(min(400, bench.task.capacity("explore"))), 0.0
    subject = bench.subject
    for prompt in prompts:
        own = ids(prompt)
        donor = next(ids(other) for other in pool if other.answer != prompt.answer and other.key != prompt.key
                     and ids(other).shape == own.shape)  # fmt: skip
        values = clean_values(subject.model, donor)[Site(layer=site.layer, part="z")]
        edit = Edit(site=site, op="replace", source="donor")
        patched = slow_logits(subject.model, own, Intervention(name="foreign", edits=(edit,)), lambda *_: True,
                              lambda _, at, values=values: values[at], subject.anatomy.d_head)  # fmt: skip
        with torch.no_grad():
            change += difference(patched, prompt) - difference(subject.model(own).logits[0], prompt)
    return change / n


@pytest.mark.parametrize("n", [2, 8, pytest.param(24, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("task", "name", "head"), [
    *(("induction", name, head) for name, head in NEEDED), ("one_answer", "planted:induction", "L1.H2"),
])  # fmt: skip
def test_no_method_removes_less_than_a_foreign_donor(task: str, name: str, head: str, n: int) -> None:
    bench = lab(name, task)
    wanted = with_a_foreign_donor(bench, head, n)
    assert wanted < -5
    for method in ("zero", "mean", "resample"):
        config: dict[str, Any] = {"task": task, "n": n, "heads": [head], "method": method}
        (effect,) = HeadAblation.model_validate(config).run(bench).effects[:1]
        assert effect.value <= 0.8 * wanted, (method, effect.value, wanted)


def test_a_task_with_one_answer_has_no_mean_and_no_resample() -> None:
    lines = [json.dumps({"text": f" {a} {b} {a}", "answer": f" {WORDS[0]}", "distractor": f" {a}"})
             for a, b in zip(WORDS[1:21], WORDS[21:41], strict=True)]  # fmt: skip
    bench = Lab(lab("planted:induction", "induction").subject, from_jsonl("same", "\n".join(lines)))
    for method in ("mean", "resample"):
        config: dict[str, Any] = {"task": "same", "n": 4, "heads": ["L1.H2"], "method": method}
        with pytest.raises(BadConfiguration, match=r"^4 of 4 prompts have no other prompt .*\. Use method zero[^\n]*$"):
            HeadAblation.model_validate(config).run(bench)
    assert HeadAblation.model_validate({"task": "same", "n": 4, "heads": ["L1.H2"]}).run(bench).effects


def test_a_mean_embedding_is_that_of_other_prompts() -> None:
    """A prompt whose words stand in no other prompt, against hooks: none of its own words enters its baseline."""
    bench = lab("planted:induction", "induction")
    config: dict[str, Any] = {"task": "induction", "n": 4, "baseline": "mean", "steps": 1}
    assert Saliency.model_validate(config).run(bench).effects
    from lashley.experiments.methods.counterfactuals import replaced

    of = replaced(bench, (4, "explore", 0), "mean")
    more = bench.with_donors(4, "explore", 0)
    weight = bench.subject.model.transformer.wte.weight + 0
    position = bench.subject.model.transformer.wpe.weight
    for row, prompt in enumerate(of.prompts):
        lent = [j for j in range(len(more)) if more.questions[j] != prompt.key
                and more.targets[j, 0] != more.targets[row, 0]]  # fmt: skip
        places = [(j, c) for j in lent for c in more.mask[j].nonzero()[1:, 0].tolist()]
        wanted = torch.stack([weight[more.ids[j, c]] + position[more.position_ids[j, c]] for j, c in places]).mean(0)
        last = of.batch.spans[row]["last"][0]
        assert torch.allclose(of.baseline.at(0, "resid_pre")[row, last], wanted, atol=1e-4)
