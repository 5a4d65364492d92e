"""The logit lens: at each layer what the model says when its layers end there, and at the last one its own logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.lab import Lab
from lashley.experiments.methods.lenses import LensReadout, settled
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.result import Result
from lashley.experiments.tasks.batch import Batch
from lashley.experiments.tasks.tokens import labels
from lashley.tests.slow_way import reordered, tokens_of
from lashley.tests.test_engine import TOLERANCE
from lashley.tests.tiny import SAMPLED, tiny_subject
from lashley.tests.word_tasks import PROMPTS, word_lab
from lashley.tools.report.figures import draw

N = 7
GIVEN = {"task": "words", "n": N}


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


def shortened(lab: Lab, batch: Batch, prompt: int, layers: int) -> Tensor:
    """The logits [position, vocabulary] of a model that has only its first layers."""
    with torch.no_grad(), reordered(lab.subject.model, tuple(range(layers))):
        return lab.subject.model(input_ids=tokens_of(batch, prompt), use_cache=False).logits[0]


@pytest.mark.parametrize("kind", SAMPLED)
def test_each_lens_is_a_model_that_ends_there(kind: str) -> None:
    lab = word_lab(kind)
    _, batch = lab.prompts(N, "explore", 0)
    seen = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
    logits = engine.lens(lab.subject, batch, seen, Logits())["logits"]
    assert len(logits) == lab.subject.anatomy.n_layers + 1
    for layers in (1, len(logits) - 1):
        for prompt in (0, 1):
            wanted = shortened(lab, batch, prompt, layers)
            inside = batch.mask[prompt].bool()
            assert float((logits[layers, prompt, inside] - wanted).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("kind", SAMPLED)
def test_the_last_lens_is_the_models_own_prediction(kind: str) -> None:
    lab = word_lab(kind)
    result = LogitLens.model_validate(GIVEN).run(lab)
    own = lab.intact(N, "explore", 0).scores
    last = f"L{lab.subject.anatomy.n_layers - 1}.resid_post"
    for metric in ("prob", "rank", "logit_diff"):
        assert by_metric(result, metric)[last] == pytest.approx(own[metric].mean(), abs=TOLERANCE)
    assert by_metric(result, "kl")[last] == pytest.approx(0, abs=TOLERANCE)
    assert result["identity"].value <= TOLERANCE
    assert not [note for note in result.notes if note.code.endswith("_failed")]
    assert all(result.arrays[metric].shape == (lab.subject.anatomy.n_layers + 2, N) for metric in ("lead", "kl"))


def test_what_is_said_of_a_layer_is_what_a_plain_count_says() -> None:
    lab = word_lab("gemma2")
    prompts, batch = lab.prompts(N, "explore", 0)
    result = LogitLens.model_validate(GIVEN).run(lab)
    own = [shortened(lab, batch, i, 3) for i in range(N)]
    leads, ranks, diffs, distances = [], [], [], []
    answers = {int(a) for a in batch.pair[:, 0]}
    for i in range(N):
        # Prompts end where their answers begin; two prompts of three have one token of an answer at most behind them.
        at = int(batch.prompt_len[i]) - 1 + int(batch.answer_at[i])
        said, end = (logits[at].log_softmax(-1) for logits in (shortened(lab, batch, i, 2), own[i]))
        mine, other = (int(token) for token in batch.pair[i])
        leads.append(float(said[mine] - said[sorted(answers - {mine})].mean()))
        ranks.append(int((said > said[mine]).sum()))
        diffs.append(float(said[mine] - said[other]))
        distances.append(float((end.exp() * (end - said)).sum()))
    wanted = {"lead": leads, "rank": ranks, "logit_diff": diffs, "kl": distances}
    for metric, values in wanted.items():
        assert by_metric(result, metric)["L1.resid_post"] == pytest.approx(sum(values) / N, abs=1e-4), metric
    assert len({p.answer for p in prompts}) > 2


def test_settled_counts_the_layers_until_the_last_word() -> None:
    tops = torch.tensor([[1, 5, 5, 7], [2, 5, 4, 7], [2, 5, 5, 7], [3, 5, 5, 8]])
    assert settled(tops, None).value == pytest.approx((3 + 0 + 2 + 3) / 4)


def test_the_map_shows_each_token_read_and_the_likeliest_next_one() -> None:
    lab = word_lab("olmo2")
    _, batch = lab.prompts(N, "explore", 0)
    figure = next(f for f in LogitLens.model_validate({**GIVEN, "shown": 4}).run(lab).figures if f.name == "map")
    length = int(batch.prompt_len[4])
    own = shortened(lab, batch, 4, 3)[:length].softmax(-1).max(-1)
    assert figure.data["columns"] == labels(lab.subject.tokenizer, tokens_of(batch, 4)[0, :length].tolist())
    assert figure.data["texts"][-1] == labels(lab.subject.tokenizer, own.indices.tolist())
    assert figure.data["values"][-1] == pytest.approx(own.values.tolist(), abs=1e-4)
    assert len(figure.data["rows"]) == len(figure.data["values"]) == 4
    assert draw(figure)


def test_open_prompts_have_no_answer_but_a_distance() -> None:
    result = LogitLens.model_validate(GIVEN).run(word_lab("llama", is_open=True))
    assert {e.metric for e in result.effects} == {"kl"}
    assert {f.name for f in result.figures} == {"map", "kl"}


def test_one_answer_for_all_leaves_nothing_to_lead_over() -> None:
    same = tuple(p.model_copy(update={"answer": " w40"}) for p in PROMPTS)
    result = LogitLens.model_validate(GIVEN).run(word_lab("llama", same))
    assert "lead" not in {e.metric for e in result.effects}
    assert "same_answers" in [note.code for note in result.notes]


def test_a_prompt_that_is_not_there_is_refused() -> None:
    lab = word_lab("llama")
    with pytest.raises(BadConfiguration, match="there are 7 prompts, 0 to 6"):
        LogitLens.model_validate({**GIVEN, "shown": 7}).check(lab.subject.sizes, lab.task)


def test_a_lens_that_is_not_the_models_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = word_lab("llama")
    measure = LensReadout.measure

    def off(self: LensReadout, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        return measure(self, logits * 1.5, prompts)

    monkeypatch.setattr(LensReadout, "measure", off)
    result = LogitLens.model_validate(GIVEN).run(lab)
    assert result.notes[0].code == "lens_failed"


def test_a_replay_has_the_same_bits() -> None:
    first, second = (LogitLens.model_validate(GIVEN).run(word_lab("qwen3")) for _ in range(2))
    assert first.model_dump() == second.model_dump()


def test_tiny_subjects_are_left_as_they_were() -> None:
    subject = tiny_subject("gpt2")
    before = [p.clone() for p in subject.model.parameters()]
    LogitLens.model_validate(GIVEN).run(word_lab("gpt2"))
    assert all(torch.equal(a, b) for a, b in zip(before, subject.model.parameters(), strict=True))
