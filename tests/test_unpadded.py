"""Models that take pads for tokens: in a batch of several lengths each prompt has the numbers that it has alone."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.gradients import attribution
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.selfcheck import ALONE, Logits, self_check
from lashley.experiments.model.shuffled_weights import permuted
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site
from lashley.tests.architectures import tiny_architecture
from lashley.tests.tiny import batch_of, tiny_tokenizer

KINDS = ("recurrent_gemma", pytest.param("rwkv", marks=pytest.mark.slow), "xlstm")
PROMPTS = [[5, 9, 31, 44, 12, 80, 7], [17, 3, 66, 21], [40, 8, 77, 30], [61, 12, 4, 90, 33, 52]]
NEW = 4
INTACT = Intervention(name="intact")


@cache
def subject_of(kind: str) -> Subject:
    return prepare(kind, tiny_architecture(kind), tiny_tokenizer(), "cpu")


@torch.no_grad()
def own(subject: Subject, ids: list[int]) -> Tensor:
    return subject.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_itself_would_take_pads_for_tokens(kind: str) -> None:
    subject, batch = subject_of(kind), batch_of(PROMPTS)
    with torch.no_grad():
        padded = subject.model(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids, use_cache=False
        ).logits
    assert not torch.allclose(padded[1, -4:], own(subject, PROMPTS[1]), atol=1e-2)
    found = engine.run(subject, batch, [INTACT], Logits())["logits"][0]
    for row, prompt in zip(found, PROMPTS, strict=True):
        assert torch.allclose(row[-len(prompt) :], own(subject, prompt), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_what_the_model_writes_after_each_prompt_alone(kind: str) -> None:
    subject = subject_of(kind)
    written = engine.generate(subject, batch_of(PROMPTS), [INTACT], NEW)[0]
    for text, prompt in zip(written, PROMPTS, strict=True):
        ids = list(prompt)
        for _ in range(NEW):
            ids.append(int(own(subject, ids)[-1].argmax()))
            if ids[-1] == subject.tokenizer.eos_token_id:
                break
        assert text == subject.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
def test_edits_and_slopes_are_those_of_each_prompt_alone(kind: str) -> None:
    subject = subject_of(kind)
    sites = [
        Site(layer=layer, part=part) for layer in range(subject.anatomy.n_layers) for part in ("resid_pre", "attn_out")
    ]
    edits = [Edit(site=site) for site in sites]
    scaled = [Intervention(name=str(s), edits=(Edit(site=s, op="scale", factor=0.5),)) for s in sites]
    batch = batch_of(PROMPTS)
    values = engine.run(subject, batch, scaled, PairReadout(batch))["logit_diff"]
    slopes = torch.stack(attribution(subject, batch, edits, PairReadout(batch), "logit_diff"))[..., 0]
    for i, prompt in enumerate(PROMPTS):
        one = batch_of([prompt])
        assert torch.allclose(
            values[:, i], engine.run(subject, one, scaled, PairReadout(one))["logit_diff"][:, 0], atol=1e-4
        )
        alone = torch.stack(attribution(subject, one, edits, PairReadout(one), "logit_diff"))[:, 0, 0]
        assert torch.allclose(slopes[:, i], alone, atol=1e-4 * float(alone.abs().max().clamp(min=1)))


def test_the_laws_hold_for_it_and_for_its_shuffled_twin() -> None:
    subject = subject_of("recurrent_gemma")
    assert subject.anatomy.leaves_pads_out
    for one in (subject, permuted(subject, 0)):
        checks = self_check(one)
        assert ALONE in {check.name for check in checks}
        assert all(check.passed for check in checks), checks
