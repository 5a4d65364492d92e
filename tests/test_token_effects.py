"""Tokens that rise and fall: the numbers are those of the plain way, what is chosen is not what is measured, and
probability is nowhere lost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.token_effects import TokenEffects, named
from lashley.experiments.methods.token_moves import by_class, extremes, halves
from lashley.experiments.result import Result
from lashley.experiments.sites import head
from lashley.tests.slow_way import slow_logits, tokens_of
from lashley.tests.test_engine import TOLERANCE
from lashley.tests.tiny import SAMPLED, tiny_subject
from lashley.tests.word_tasks import word_lab, word_task
from lashley.tools.report.figures import draw

N = 12
GIVEN: dict[str, Any] = {"task": "words", "n": N, "sites": ["L1.H2"], "tokens": 3}


def tokens(**changed: Any) -> TokenEffects:
    return TokenEffects.model_validate({**GIVEN, **changed})


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


@pytest.mark.parametrize("kind", SAMPLED)
def test_every_number_is_that_of_the_plain_way_on_the_other_half(kind: str) -> None:
    lab = word_lab(kind)
    prompts, batch = lab.prompts(N, "explore", 0)
    removed = Intervention(name="removed", edits=(Edit(site=head(1, 2)),))
    d_head = lab.subject.anatomy.d_head
    # Where the answer begins; what follows it is cut off.
    at = (batch.prompt_len - 1 + batch.answer_at).tolist()
    runs = [
        [slow_logits(lab.subject.model, tokens_of(batch, i), each, lambda *_: True, lambda *_: None, d_head)[at[i]]
         for i in range(N)]
        for each in (Intervention(name="intact"), removed)
    ]  # fmt: skip
    before, after = (torch.stack(run).softmax(-1) for run in runs)
    _, held = halves([p.key for p in prompts], 0)
    moved = after - before
    for row, own in enumerate(batch.pair.tolist()):
        moved[row, own] = 0
    wanted = moved[held].mean(0)
    found = by_metric(tokens().run(lab), "token_prob")
    assert 1 <= len(found) <= 6
    for site, value in found.items():
        token = int(site.removeprefix("token 'w").split("'")[0]) if "'w" in site else None
        if token is not None:
            assert value == pytest.approx(float(wanted[token]), abs=TOLERANCE)
    assert sum("'w" in site for site in found) >= 3


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=20), st.integers(0, 5))
def test_no_question_is_chosen_by_and_measured_on(questions: list[str], seed: int) -> None:
    looked, held = halves(questions, seed)
    assert sorted(looked + held) == list(range(len(questions)))
    assert not {questions[i] for i in looked} & {questions[i] for i in held}
    assert len({questions[i] for i in held}) - len({questions[i] for i in looked}) in (0, 1)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_what_rises_and_what_falls_are_the_ends_of_the_list(seed: int) -> None:
    moves = torch.randn(3, 20, generator=torch.Generator().manual_seed(seed))
    up, down = extremes(moves, 4)
    mean = moves.double().mean(0)
    assert not set(up) & set(down)
    for tokens, sign in ((up, 1), (down, -1)):
        rest = [sign * float(v) for i, v in enumerate(mean) if i not in tokens]
        assert all(sign * float(mean[t]) > 0 for t in tokens)
        assert not tokens or min(sign * float(mean[t]) for t in tokens) >= max(rest)


def test_what_is_kept_by_prompt_is_what_the_effects_are_made_of() -> None:
    result = tokens().run(word_lab("llama"))
    kept = result.arrays["token_prob"]
    found = [e for e in result.effects if e.metric == "token_prob"]
    assert [e.n for e in found] == [kept.shape[1]] * len(found) == [len(result.arrays["questions"])] * len(found)
    assert (kept[1:] - kept[0]).mean(-1) == pytest.approx([e.value for e in found], abs=1e-6)


@pytest.mark.parametrize("is_open", [False, True])
def test_probability_is_nowhere_lost(is_open: bool) -> None:
    lab = word_lab("llama", is_open=is_open)
    result = tokens().run(lab)
    classes = by_metric(result, "class_prob")
    assert sum(classes.values()) == pytest.approx(0, abs=1e-6)
    assert ("answer" in classes) == (not is_open)
    assert result["identity"].value <= TOLERANCE
    _, batch = lab.prompts(N, "explore", 0)
    each = by_class(batch, torch.eye(96)[batch.ids[:, 0]])
    assert sum(float(v.sum()) for v in each.values()) == N


def test_nothing_left_out_moves_nothing() -> None:
    result = tokens(sites=None, program="0-2").run(word_lab("llama"))
    assert set(by_metric(result, "token_prob").values()) == {0}
    assert set(by_metric(result, "class_prob").values()) == {0}
    assert "no_matched_control" in [note.code for note in result.notes]


@pytest.mark.parametrize(
    "changed",
    [{"by": "log_prob"}, {"sites": ["L1.mlp", "L0.H1"], "method": "mean"}, {"sites": None, "program": "0, 2"}],
)
def test_a_replay_has_the_same_bits_and_its_figures_can_be_drawn(changed: dict[str, Any]) -> None:
    first, second = (tokens(**changed).run(word_lab("gemma2")) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    assert all(draw(figure) for figure in first.figures)
    assert all(e.percentile is not None for e in first.effects if e.metric.startswith("token"))
    assert len(first.found) < 3000


def test_tokens_that_are_written_alike_are_told_apart() -> None:
    assert named([" a", "b", "b"], [5, 6, 7]) == ["token ' a'", "token 'b' #6", "token 'b' #7"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"sites": None}, "either sites"), ({"program": "0"}, "either sites"),
     ({"sites": ["L0.resid_pre"]}, "removed here"),
     ({"sites": ["L9.H0"]}, "no layer 9"), ({"sites": []}, "at least one"), ({"n": 2}, "fewer than 4"),
     ({"sites": None, "program": "0", "method": "mean"}, "Use method only with sites")],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_a_line(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfiguration, match=said):
        tokens(**changed).check(tiny_subject("llama").sizes, word_task())
