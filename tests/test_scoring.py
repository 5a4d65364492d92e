"""The answer's loss and its fellows, against what HuggingFace and plain arithmetic say."""

from __future__ import annotations

import math

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout, FirstReadout, PairReadout, readout_for
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import parse_site
from lashley.experiments.tasks.batch import Batch, make_batch
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.tiny import SAMPLED, tiny_subject, tiny_tokenizer

INTACT = Intervention(name="intact")
PROMPTS = [
    Prompt(text="w3 w4 w5 w9", answer=" w6 w7 w8", distractor=" w6 w17 w8", key="1"),
    Prompt(text="w30 w44", answer=" w61", distractor=" w16", key="2"),
    Prompt(text="w70 w4 w5 w11 w92", answer=" w16 w27", distractor=" w12 w8", key="3"),
]


def batch_of_prompts() -> Batch:
    return make_batch(tiny_tokenizer(), PROMPTS)


@pytest.mark.parametrize("kind", SAMPLED)
def test_equals_the_models_own_loss_with_the_prompt_masked(kind: str) -> None:
    subject = tiny_subject(kind)
    batch = batch_of_prompts()
    scores = engine.run(subject, batch, [INTACT], AnswerReadout(batch))
    for row, prompt in enumerate(PROMPTS):
        head = subject.tokenizer(prompt.text)["input_ids"]
        both = subject.tokenizer(prompt.text + prompt.answer)["input_ids"]
        labels = torch.tensor([[-100] * len(head) + both[len(head) :]])
        with torch.no_grad():
            out = subject.model(input_ids=torch.tensor([both]), labels=labels)
        answer = len(both) - len(head)
        assert float(scores["loss"][0, row]) == pytest.approx(float(out.loss), abs=1e-5)
        assert float(scores["prob"][0, row]) == pytest.approx(math.exp(-answer * float(out.loss)), rel=1e-4)
        differ = int(batch.answer_at[row])
        logits = out.logits[0, len(head) - 1 + differ]
        right = subject.tokenizer(prompt.answer)["input_ids"][differ]
        wrong = subject.tokenizer(str(prompt.distractor))["input_ids"][differ]
        assert float(scores["logit_diff"][0, row]) == pytest.approx(float(logits[right] - logits[wrong]), abs=1e-4)
        assert int(scores["rank"][0, row]) == logits.sort(descending=True).indices.tolist().index(right)


@pytest.mark.parametrize("kind", ["gpt2", "phi", "gptj", "gemma2"])
def test_two_tokens_alone_give_the_same_logit_difference(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of_prompts()
    whole = engine.run(subject, batch, [INTACT], AnswerReadout(batch))["logit_diff"]
    pair = engine.run(subject, batch, [INTACT], PairReadout(batch))["logit_diff"]
    assert torch.allclose(whole, pair, atol=1e-5)


def test_log_probs_are_kept_where_the_answers_part() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of_prompts()
    kept = engine.run(subject, batch, [INTACT], AnswerReadout(batch, keep_log_probs=True))
    assert torch.allclose(kept["log_probs"].exp().sum(-1), torch.ones(1, 3), atol=1e-5)
    pair = kept["log_probs"][0].gather(-1, batch.pair)
    assert torch.allclose(pair[:, 0] - pair[:, 1], kept["logit_diff"][0], atol=1e-5)


def test_without_distractors_there_is_no_logit_difference() -> None:
    lone = make_batch(tiny_tokenizer(), [PROMPTS[0], Prompt(text="w3 w4", answer=" w6", key="4")])
    assert "logit_diff" not in engine.run(tiny_subject("gpt2"), lone, [INTACT], readout_for("loss", lone))
    with pytest.raises(BadConfiguration, match=r"^This task has prompts without a distractor[^\n]*Use loss\.$"):
        readout_for("logit_diff", lone)


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_the_divergence_from_the_intact_model(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of_prompts()
    edited = Intervention(name="cut", edits=(Edit(site=parse_site("L1.H2")),))
    both = [INTACT, edited]
    predicted = engine.run(subject, batch, both, FirstReadout(batch, keep_log_probs=True))["log_probs"]
    expected = torch.nn.functional.kl_div(predicted[1], predicted[0], log_target=True, reduction="none").sum(-1)
    first = engine.run(subject, batch, both, FirstReadout(batch, predicted[0]))["kl"]
    whole = engine.run(subject, batch, both, AnswerReadout(batch, intact=predicted[0]))["kl"]
    assert torch.allclose(first, whole, atol=1e-6)
    assert torch.allclose(first[1], expected, atol=1e-6)
    assert float(first[1].min()) > 1e-4
    assert float(first[0].max()) < 1e-6
