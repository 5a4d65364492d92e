"""Saliency: occlusion is the model run on other tokens, gradients are torch's own, integrated gradients sum to the
whole, what is not replaced counts nothing, and on a model that is linear in its embeddings all three are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Intervention
from lashley.experiments.kinds.saliency import WAYS, Saliency
from lashley.experiments.lab import Lab
from lashley.experiments.methods import counterfactuals, saliency
from lashley.experiments.methods.counterfactuals import replaced
from lashley.experiments.model.loading import prepare
from lashley.experiments.result import Effect, Result
from lashley.experiments.tasks.batch import Batch
from lashley.tests.corrupted_lab import corrupted_lab
from lashley.tests.slow_way import slow_logits, tokens_of
from lashley.tests.test_engine import TOLERANCE
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED, tiny_model, tiny_subject, tiny_tokenizer
from lashley.tests.word_tasks import PROMPTS, word_lab, word_task
from lashley.tools.report.figures import draw

N = 5
GIVEN: dict[str, Any] = {"task": "words", "n": N, "steps": 4}
SPANNED = tuple(p.model_copy(update={"spans": {"subject": (0, p.text.index(" "))}}) for p in PROMPTS)


def configured(**changed: Any) -> Saliency:
    return Saliency.model_validate({**GIVEN, **changed})


def by_metric(result: Result, metric: str) -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


def led(batch: Batch, row: int, logits: Tensor) -> Tensor:
    """The logit difference of a prompt, from logits [position, vocabulary]."""
    at = int(batch.prompt_len[row] - 1 + batch.answer_at[row])
    answer, other = batch.pair[row].tolist()
    return logits[at, answer] - logits[at, other]


@pytest.mark.parametrize("kind", SAMPLED)
def test_occlusion_is_the_model_on_the_other_prompts_token(kind: str) -> None:
    lab = word_lab(kind)
    of = replaced(lab, (N, "explore", 0), "other")
    assert of.instead is not None
    kept = configured().run(lab).arrays["occlusion_by_token"]
    assert kept.shape == (of.longest, N)
    model, moved = lab.subject.model, 0
    for row in range(N):
        ids, length = tokens_of(of.batch, row), int(of.batch.prompt_len[row])
        assert len(of.instead[row]) == length
        with torch.no_grad():
            intact = led(of.batch, row, model(ids).logits[0])
            for k in range(1, length + 1):
                changed = ids.clone()
                changed[0, length - k] = of.instead[row][length - k]
                value = float(intact - led(of.batch, row, model(changed).logits[0]))
                assert kept[k - 1, row] == pytest.approx(value, abs=TOLERANCE), (kind, row, k)
                assert bool(of.differs[k - 1, row]) == (not torch.equal(changed, ids))
                moved += abs(value) > 1e-2
        assert not kept[length:, row].any()
    assert moved > N


@pytest.mark.parametrize("kind", SAMPLED)
def test_gradients_are_those_of_torch_on_the_plain_model(kind: str) -> None:
    lab, steps = word_lab(kind), 3
    of = replaced(lab, (N, "explore", 0), "other")
    assert of.instead is not None
    found = configured(steps=steps).run(lab).arrays
    model = lab.subject.model
    embed = model.get_input_embeddings()
    for row in range(N):
        ids, length = tokens_of(of.batch, row), int(of.batch.prompt_len[row])
        other = ids.clone()
        other[0, :length] = torch.tensor(of.instead[row])
        own, away = (embed(each).detach() for each in (ids, other))

        def slope(share: float, own: Tensor = own, away: Tensor = away, row: int = row) -> Tensor:
            at = (own + share * (away - own)).requires_grad_()
            with torch.enable_grad():
                value = led(of.batch, row, model(inputs_embeds=at).logits[0])
            return torch.autograd.grad(value, at)[0]

        mean = torch.stack([slope((i + 0.5) / steps) for i in range(steps)]).mean(0)
        for way, by_hand in (("gradient", slope(0.0)), ("integrated", mean)):
            plain = ((own - away) * by_hand).sum(-1)[0, :length].flip(0)
            assert found[f"{way}_by_token"][:length, row] == pytest.approx(plain.numpy(), abs=TOLERANCE), (kind, way)


@pytest.mark.parametrize("kind", SAMPLED)
def test_integrated_gradients_sum_to_the_whole(kind: str) -> None:
    result = configured(n=2, steps=64).run(word_lab(kind))
    assert result["gap"].value <= 0.02
    assert sum(by_metric(result, "integrated").values()) == pytest.approx(result["whole"].value, abs=0.02)
    assert result["identity"].value <= TOLERANCE
    assert "not_complete" not in [note.code for note in result.notes]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 50), metric=st.sampled_from(["logit_diff", "loss", "prob"]))
def test_more_steps_are_more_complete_whatever_is_asked(seed: int, metric: str) -> None:
    few, many = (configured(seed=seed, metric=metric, steps=steps).run(word_lab("llama")) for steps in (2, 40))
    assert many["gap"].value <= max(0.25 * few["gap"].value, 0.01)
    total = sum(by_metric(many, "integrated").values())
    assert abs(total - many["whole"].value) <= many["gap"].value + 1e-5


def test_too_few_steps_are_told() -> None:
    result = configured(steps=1, baseline="zero").run(word_lab("gemma2"))
    assert "not_complete" in [note.code for note in result.notes]


def test_doubts_are_told_where_they_are_due_and_not_elsewhere() -> None:
    def of(value: float, q: float = 0.01) -> tuple[Effect, ...]:
        return (Effect(site="s1", metric="m", value=value, low=value - 0.1, high=value + 0.1, n=8, p=q, q=q),)

    agreed = {"occlusion": of(1.0), "integrated": of(0.9), "gradient": of(-1.0, q=0.5)}
    assert configured().doubted(agreed, one=0.5, whole=1.0, tokens=5) == []
    assert configured().doubted(agreed, one=1.0, whole=1.0, tokens=1) == []
    (breaks,) = configured(baseline="mean").doubted(agreed, one=1.1, whole=1.0, tokens=5)
    assert breaks.code == "baseline_breaks_run"
    assert breaks.text.endswith("Use baseline other.")
    (turned,) = configured().doubted({**agreed, "integrated": of(-0.9)}, one=0.5, whole=1.0, tokens=5)
    assert turned.code == "signs_differ"
    assert "integrated and occlusion have opposite signs at s1 (-0.900" in turned.text


def test_what_is_replaced_by_itself_counts_nothing() -> None:
    lab = word_lab("qwen3")
    _, plain = lab.prompts(N, "explore", 0)
    batch, longest = counterfactuals.by_token(plain)
    own = engine.patch_source(engine.read(lab.subject, batch, {"resid_pre"}, [0]), batch, batch)
    readout, sources = PairReadout(batch), {"baseline": own}
    edits = saliency.occlusion(longest)
    values = engine.run(lab.subject, batch, [Intervention(name="intact"), *edits], readout, sources)["logit_diff"]
    assert (values - values[0]).abs().max() <= TOLERANCE
    slopes = engine.attribution(lab.subject, batch, [e.edits[0] for e in edits], readout, "logit_diff", sources, None,
                                own, 2)  # fmt: skip
    assert not torch.stack(slopes).any()


def test_a_twin_counts_only_where_it_differs() -> None:
    lab = corrupted_lab("llama")
    result = Saliency(task="twins", n=N, baseline="twin", steps=64).run(lab)
    assert {e.site for e in result.effects} == {"subject"}
    for way in ("occlusion", "integrated"):
        assert by_metric(result, way)["subject"] == pytest.approx(result["whole"].value, abs=1e-2)
    assert "so it must carry the whole effect" in result.found
    assert not any(m.name.startswith("agreement") for m in result.measurements)


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_a_mean_baseline_is_the_plain_way(kind: str) -> None:
    lab = word_lab(kind)
    of = replaced(lab, (N, "explore", 0), "mean")
    batch, more = of.batch, lab.with_donors(N, "explore", 0)
    embedded = engine.read(lab.subject, more, {"resid_pre"}, [0]).at(0, "resid_pre")
    content = (more.mask > 0) & (more.position_ids > 0)
    kept = configured(baseline="mean", steps=1).run(lab).arrays["occlusion_by_token"]
    model, d_head = lab.subject.model, lab.subject.anatomy.d_head
    for row, prompt in enumerate(of.prompts):
        # No word of the prompt itself is in its mean, nor of one with its answer.
        lent = [more.questions[j] != prompt.key and int(more.targets[j, more.answer_at[row]]) != int(batch.pair[row, 0])
                for j in range(len(more))]  # fmt: skip
        vector = embedded[content & torch.tensor(lent)[:, None]].mean(0)
        for k in range(1, int(batch.prompt_len[row]) + 1):
            place = int(batch.prompt_len[row]) - k
            one = Intervention(name="one", edits=(saliency.at_baseline(f"t{k}"),))
            whole, less = (
                float(led(batch, row, slow_logits(model, tokens_of(batch, row), each,
                                                  lambda _, at, place=place: at == place,
                                                  lambda *_, vector=vector: vector, d_head)))
                for each in (Intervention(name="intact"), one)
            )  # fmt: skip
            assert kept[k - 1, row] == pytest.approx(whole - less, abs=TOLERANCE), (kind, row, k)


def test_where_the_model_is_linear_all_three_ways_are_one() -> None:
    model: Any = tiny_model("gpt2")
    with torch.no_grad():
        for block in model.transformer.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight.zero_()
                part.bias.zero_()
    # A norm is the one thing left that is not linear.
    model.transformer.ln_f = torch.nn.Identity()
    lab = Lab(tiny_subject("gpt2"), word_task())
    lab.subject = prepare("linear", model, tiny_tokenizer(), "cpu")
    kept = configured(steps=1).run(lab).arrays
    for way in WAYS:
        assert np.allclose(kept[f"{way}_by_token"], kept["occlusion_by_token"], atol=TOLERANCE)
        # The last token alone is read.
        assert not np.abs(kept[f"{way}_by_token"][1:]).max() > TOLERANCE
    assert np.abs(kept["occlusion_by_token"]).max() > 0.1


@pytest.mark.parametrize("prompts", [PROMPTS, SPANNED])
def test_each_token_is_of_one_part_and_the_parts_are_all(prompts: Any) -> None:
    lab = word_lab("llama", prompts)
    of = replaced(lab, (N, "explore", 0), "other")
    names = [name for name in of.plain.spans[0] if name != "last"]
    sites, member = saliency.parts(of.batch, names, of.differs)
    assert ("subject" in sites) == (prompts is SPANNED)
    every = saliency.parts(of.batch, names, np.ones_like(of.differs))[1]
    assert (every.sum((0, 1)) == of.batch.prompt_len.numpy()).all()
    assert every.sum(0).max() == 1
    assert (member.sum(0) >= of.differs).all()
    result = configured().run(lab)
    for way in WAYS:
        kept = result.arrays[way]
        assert (kept[1:] - kept[0]).mean(-1) == pytest.approx(list(by_metric(result, way).values()), abs=1e-5)
        total = result.arrays[f"{way}_by_token"].sum(0).mean()
        assert sum(by_metric(result, way).values()) == pytest.approx(total, abs=1e-4)


def test_the_planted_circuit_rests_on_the_tokens_that_it_reads_and_on_no_other() -> None:
    name = "planted:induction"
    result = Saliency(model=name, task="induction", n=16).run(planted_lab(name))
    found = by_metric(result, "occlusion")
    read = {"before", "answer", "repeated"}
    assert set(sorted(found, key=lambda site: -abs(found[site]))[:3]) == read
    for site in read:
        assert found[site] == pytest.approx(result["whole"].value, rel=0.2)
    # Another word elsewhere can only bring a second match.
    assert all(abs(value) < 0.2 * result["whole"].value for site, value in found.items() if site not in read)


def test_another_prompt_shares_no_answer_and_is_of_the_same_form() -> None:
    lab = word_lab("llama")
    of = replaced(lab, (N, "explore", 0), "other")
    drawn = saliency.shuffles(of.batch, 0)
    assert drawn is not None
    assert drawn.shape == (N, 20)
    for own, rows in zip(of.batch.pair.tolist(), drawn.tolist(), strict=True):
        assert all(not set(own) & set(of.batch.pair[row].tolist()) for row in rows)
    assert saliency.shuffles(of.batch.rows(0, 1), 0) is None
    lent = counterfactuals.others(lab, (N, "explore", 0))
    explored = {p.text: p for p in lab.task.prompts(lab.task.capacity("explore"), "explore", 0)}
    for own, row in zip(lent.prompts, of.instead or [], strict=True):
        other = explored[lab.subject.tokenizer.decode(row)]
        assert (other.template, other.key != own.key, other.answer != own.answer) == (own.template, True, True)


def test_shuffled_answers_are_the_other_prompts_own_pairs() -> None:
    lab = word_lab("mistral")
    of = replaced(lab, (N, "explore", 0), "other")
    drawn = saliency.shuffles(of.batch, 0)
    assert drawn is not None
    edits = [Intervention(name="intact"), *saliency.occlusion(of.longest)]
    found = engine.run(lab.subject, of.batch, edits, saliency.OwnAndOthers(of.batch, drawn), {"baseline": of.baseline})
    for place in (0, 7):
        pairs = of.batch.pair[drawn[:, place]]
        one = PairReadout(replace(of.batch, pair=pairs))
        plain = engine.run(lab.subject, of.batch, edits, one, {"baseline": of.baseline})["logit_diff"]
        assert torch.allclose(found["shuffled"][..., place], plain, atol=TOLERANCE)


def test_a_replay_has_the_same_bits_and_its_figures_can_be_drawn() -> None:
    first, second = (configured(baseline="zero", shown=2).run(word_lab("gemma2")) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    assert all(draw(figure) for figure in (*first.figures, *configured().run(word_lab("gemma2")).figures))
    assert len(first.found) < 3000


def test_what_cannot_be_done_is_refused_in_a_line() -> None:
    with pytest.raises(BadConfiguration, match="no answer"):
        configured().check({}, word_task(is_open=True))
    with pytest.raises(BadConfiguration, match="0 to 4"):
        configured(shown=5).check({}, word_task())
    alone = tuple(p.model_copy(update={"template": p.text}) for p in PROMPTS)
    with pytest.raises(
        BadConfiguration, match=r"have another prompt with the same template .* baseline twin, mean or zero\.$"
    ):
        configured().run(word_lab("llama", alone))
