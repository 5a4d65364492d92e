"""Text under interventions equals recomputing everything, without a cache, at each token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from lashley.experiments import engine
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site
from lashley.tests.slow_way import first_token, slow_logits, tokens_of
from lashley.tests.test_engine import Case, batches, interventions
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

# A failure is told as it was drawn; the slow twin makes it small.
UNSHRUNK = [Phase.explicit, Phase.generate]
FEW = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=UNSHRUNK
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
NEW = 5
TIE = 1e-3


def slowly_written(case: Case, intervention: Intervention, prompt: int) -> str:
    """Greedy text, one full forward per token. Gives the example up where two tokens are as good as each other."""
    ids = tokens_of(case.batch, prompt)
    ids = ids[:, : ids.shape[1] - case.batch.reads + 1]
    end = ids.shape[1]
    tokenizer = case.subject.tokenizer
    for _ in range(NEW):
        logits = slow_logits(
            case.subject.model,
            ids,
            intervention,
            lambda e, at: case.touched(e, prompt, at) if at < end else e.positions.startswith("all"),
            # What is generated has no counterpart; it takes what there is at the prompt's last token.
            lambda e, at: case.source(e, prompt, min(at, end - 1)),
            case.subject.anatomy.d_head,
        )[-1]
        best = logits.topk(2).values
        assume(float(best[0] - best[1]) > TIE)
        ids = torch.cat([ids, logits.argmax()[None, None]], dim=1)
        if int(ids[0, -1]) == tokenizer.eos_token_id:
            break
    return tokenizer.decode(ids[0, end:], skip_special_tokens=True)


def hold_against_slow_way(subject: Subject, data: st.DataObject) -> None:
    case = Case(subject, *data.draw(batches()))
    tried = data.draw(interventions(subject))[:3]
    written = engine.generate(subject, case.batch, tried, NEW, sources=case.sources)
    for i, intervention in enumerate(tried):
        for prompt in range(len(case.batch)):
            assert written[i][prompt] == slowly_written(case, intervention, prompt), (intervention, prompt)


@pytest.mark.parametrize("kind", SAMPLED)
@given(data=st.data())
@FEW
def test_equals_recomputing_everything(kind: str, data: st.DataObject) -> None:
    hold_against_slow_way(tiny_subject(kind), data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAMPLED)
@given(data=st.data())
@MANY
def test_equals_recomputing_everything_many_times(kind: str, data: st.DataObject) -> None:
    hold_against_slow_way(tiny_subject(kind), data)


ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]


@pytest.mark.parametrize("kind", SAMPLED)
def test_the_models_own_generate_says_the_same(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    own = subject.model.generate(  # type: ignore[operator]
        input_ids=batch.ids, attention_mask=batch.mask, max_new_tokens=NEW, do_sample=False
    )
    said = subject.tokenizer.batch_decode(own[:, batch.length :], skip_special_tokens=True)
    assert engine.generate(subject, batch, [Intervention(name="intact")], NEW)[0] == said


def test_it_ends_before_the_first_stop() -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    intact = Intervention(name="intact")
    whole = engine.generate(subject, batch, [intact], 8)[0]
    stop = [text.split()[3] for text in whole]
    cut = engine.generate(subject, batch, [intact], 8, stop)[0]
    for text, ended in zip(whole, cut, strict=True):
        assert ended == text[: min(text.find(s) for s in stop if s in text)]


def test_the_answer_in_the_batch_is_never_seen() -> None:
    subject = tiny_subject("gemma2")
    edit = Edit(site=Site(layer=1, part="z"), op="replace", source="mean")
    said = []
    for answers in ([[7, 8], [9, 10], [11, 12]], [[50, 51], [60, 61], [70, 71]]):
        batch = batch_of([[*row[:5], *answer] for row, answer in zip(ROWS, answers, strict=True)], reads=3)
        clean = engine.read(subject, batch, ["z"])
        sources = {"mean": engine.mean_source(clean, batch)}
        # The short second row stands alone, so its mean is taken over whole rows of the others: leave it out.
        said.append([t for i, t in enumerate(engine.generate(
            subject, batch, [Intervention(name="x", edits=(edit,))], NEW, sources=sources)[0]) if i != 1])  # fmt: skip
    assert said[0] == said[1]


def test_spans_of_the_prompt_stay_where_they_are() -> None:
    """An edit at the last token of the prompt touches that token alone, however much is generated."""
    subject, batch = tiny_subject("qwen3"), batch_of(ROWS)
    zeroed = Edit(site=Site(layer=0, part="resid_pre"), positions="last")
    text = engine.generate(subject, batch, [Intervention(name="x", edits=(zeroed,))], NEW)[0]
    other = engine.generate(
        subject, batch, [Intervention(name="x", edits=(zeroed.model_copy(update={"positions": "all"}),))], NEW
    )[0]
    assert text != other
    assert first_token(batch, 1) == 3
