"""Direct shares: on every architecture they add up to the logits, and each is what a plain computation says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lashley.experiments import engine
from lashley.experiments.errors import BadConfiguration, UnsupportedModel
from lashley.experiments.kinds.direct_logit_attribution import DirectLogitAttribution
from lashley.experiments.methods.answer_directions import answer_directions, of_other_prompts
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.sites import Site
from lashley.tests.slow_way import clean_values, tokens_of
from lashley.tests.test_planted import BUILT, planted_lab
from lashley.tests.tiny import SAMPLED
from lashley.tests.word_tasks import PROMPTS, word_lab
from lashley.tools.report.figures import draw

N = 7
GIVEN: dict[str, Any] = {"task": "words", "n": N}
CLOSE = 1e-3
NORMS = {
    "gpt2": "transformer.ln_f",
    "gptj": "transformer.ln_f",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "opt": "model.decoder.final_layer_norm",
    "phi": "model.final_layernorm",
}
POST = {"gemma2": "post_attention_layernorm", "gemma3_text": "post_attention_layernorm",
        "olmo2": "post_attention_layernorm"}  # fmt: skip


def shares(result: Result, metric: str = "share") -> dict[str, float]:
    return {e.site: e.value for e in result.effects if e.metric == metric}


def with_scale_of(norm: nn.Module, x: Tensor, part: Tensor) -> Tensor:
    """A part of x through a norm that keeps the scale it has at x, as the norm's own formula says; no bias."""
    weight: Any = norm.weight
    eps = getattr(norm, "eps", getattr(norm, "variance_epsilon", None))
    assert eps is not None
    if isinstance(norm, nn.LayerNorm):
        return (part - part.mean()) / (x.var(unbiased=False) + eps).sqrt() * weight
    if "Gemma" in type(norm).__name__:
        weight = 1 + weight
    return part / (x.pow(2).mean() + eps).sqrt() * weight


@pytest.mark.parametrize("kind", SAMPLED)
def test_shares_add_up_and_each_is_what_the_parameters_say(kind: str) -> None:
    lab = word_lab(kind)
    model = lab.subject.model
    _, batch = lab.prompts(N, "explore", 0)
    own = answer_directions(lab.subject, batch, False)
    found = engine.direct(lab.subject, batch, own.vectors[:, None])
    total = found.values.sum(0)[:, 0] + found.biases[:, 0]
    assert float((total - found.whole[:, 0]).abs().max()) <= CLOSE
    by_site = {str(site): found.values[i, :, 0] for i, site in enumerate(found.sites)}
    norm = model.get_submodule(NORMS.get(kind, "model.norm"))
    n_layers = lab.subject.anatomy.n_layers
    for prompt in (0, 1):
        at = int(batch.prompt_len[prompt]) - 1 + int(batch.answer_at[prompt])
        values = clean_values(model, tokens_of(batch, prompt))
        final = values[Site(layer=n_layers - 1, part="resid_post")][at]
        mlp = values[Site(layer=1, part="mlp_out")][at]
        wanted = with_scale_of(norm, final, mlp) @ own.vectors[prompt]
        assert float(by_site["L1.mlp"][prompt]) == pytest.approx(float(wanted), abs=CLOSE)
        block = lab.subject.anatomy.blocks[2]
        z = values[Site(layer=2, part="z")][at].view(4, -1)[3]
        W_O = block.W_O.view(4, -1, final.shape[0])
        written = z @ W_O[3]
        if kind in POST:
            raw = values[Site(layer=2, part="z")][at] @ block.W_O
            written = with_scale_of(block.layer.get_submodule(POST[kind]), raw, written)
        wanted = with_scale_of(norm, final, written) @ own.vectors[prompt]
        assert float(by_site["L2.H3"][prompt]) == pytest.approx(float(wanted), abs=CLOSE)


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize("towards", ["distractor", "others"])
def test_the_shares_of_an_experiment_add_up_to_the_logit_difference(kind: str, towards: str) -> None:
    lab = word_lab(kind)
    result = DirectLogitAttribution.model_validate({**GIVEN, "towards": towards}).run(lab)
    assert result["identity"].value <= CLOSE
    assert sum(shares(result).values()) == pytest.approx(result["whole"].value, abs=CLOSE)
    assert not [note for note in result.notes if note.code.endswith("_failed")]
    if towards == "distractor":
        capped = kind == "gemma2"
        assert (abs(result["intact_logit_diff"].value - result["whole"].value) > CLOSE) == capped
        assert ("shares_before_cap" in [note.code for note in result.notes]) == capped
    assert len(shares(result)) == 2 + 3 * 5


def value_bias(kind: str, block: Any) -> Tensor:
    """The values of a token whose stream is empty, [d_head of all heads], from the parameters."""
    if kind == "gpt2":
        width = block.attn.embed_dim
        return block.ln_1.bias @ block.attn.c_attn.weight[:, 2 * width :] + block.attn.c_attn.bias[2 * width :]
    if kind == "opt":
        values = block.self_attn.v_proj
        return values.weight @ block.self_attn_layer_norm.bias + values.bias
    return block.self_attn.v_proj.bias


@pytest.mark.parametrize("kind", ["gpt2", "opt", "qwen2"])
def test_value_biases_that_are_folded_out_leave_the_heads_and_join_the_biases(kind: str) -> None:
    lab = word_lab(kind)
    _, batch = lab.prompts(N, "explore", 0)
    own = answer_directions(lab.subject, batch, False)
    plain, folded = (engine.direct(lab.subject, batch, own.vectors[:, None], folded=fold) for fold in (False, True))
    norm, anatomy = lab.subject.model.get_submodule(NORMS.get(kind, "model.norm")), lab.subject.anatomy
    moved = 0.0
    for prompt in (0, 1):
        at = int(batch.prompt_len[prompt]) - 1 + int(batch.answer_at[prompt])
        values = clean_values(lab.subject.model, tokens_of(batch, prompt))
        final = values[Site(layer=2, part="resid_post")][at]
        bias = value_bias(kind, anatomy.blocks[2].layer).view(-1, anatomy.d_head)
        bias = bias.repeat_interleave(4 // len(bias), 0)
        written = bias[3] @ anatomy.blocks[2].W_O.view(4, -1, len(final))[3]
        wanted = float(with_scale_of(norm, final, written.detach()) @ own.vectors[prompt])
        i = [str(site) for site in plain.sites].index("L2.H3")
        assert float(plain.values[i, prompt, 0] - folded.values[i, prompt, 0]) == pytest.approx(wanted, abs=CLOSE)
        moved = max(moved, abs(wanted))
    assert moved > CLOSE, "or nothing was tested"
    for each in (plain, folded):
        assert float((each.values.sum(0) + each.biases - each.whole).abs().max()) <= CLOSE


@pytest.mark.parametrize("kind", SAMPLED)
def test_shares_with_folded_value_biases_add_up_as_well(kind: str) -> None:
    lab = word_lab(kind)
    plain, folded = (
        DirectLogitAttribution.model_validate({**GIVEN, "value_biases": way}).run(lab) for way in ("heads", "folded")
    )
    assert folded["identity"].value <= CLOSE
    assert folded["whole"].value == pytest.approx(plain["whole"].value, abs=CLOSE)
    if kind == "mistral":
        assert shares(folded) == pytest.approx(shares(plain), abs=1e-5), "a mistral has no such biases"


def test_what_is_specific_is_what_a_head_does_not_add_for_other_answers() -> None:
    lab = word_lab("llama")
    _, batch = lab.prompts(N, "explore", 0)
    result = DirectLogitAttribution.model_validate(GIVEN).run(lab)
    own = answer_directions(lab.subject, batch, False)
    pairs = [tuple(p) for p in batch.pair.tolist()]
    assert 2 < len(set(pairs)) < N
    total = 0.0
    for i in range(N):
        others = [j for j in range(N) if pairs[j] != pairs[i]]
        mine = engine.direct(lab.subject, batch, own.vectors[[i, *others]][None].repeat(N, 1, 1))
        site = [str(s) for s in mine.sites].index("L1.H2")
        total += float(mine.values[site, i, 0] - mine.values[site, i, 1:].mean())
    assert shares(result, "specific")["L1.H2"] == pytest.approx(total / N, abs=1e-4)


def test_prompts_that_all_ask_the_same_have_nothing_specific() -> None:
    same = tuple(p.model_copy(update={"answer": " w40", "distractor": " w60"}) for p in PROMPTS)
    lab = word_lab("llama", same)
    _, batch = lab.prompts(N, "explore", 0)
    assert of_other_prompts(answer_directions(lab.subject, batch, False), batch, False) is None
    result = DirectLogitAttribution.model_validate(GIVEN).run(lab)
    assert {e.metric for e in result.effects} == {"share"}
    assert "nothing_specific" in [note.code for note in result.notes]
    with pytest.raises(BadConfiguration, match="same answer"):
        DirectLogitAttribution.model_validate({**GIVEN, "towards": "others"}).check(lab.subject.sizes, lab.task)


def test_what_cannot_be_done_is_refused_in_a_line() -> None:
    nothing = word_lab("llama", is_open=True)
    with pytest.raises(BadConfiguration, match="no answer"):
        DirectLogitAttribution.model_validate(GIVEN).check({}, nothing.task)
    lone = word_lab("llama", tuple(p.model_copy(update={"distractor": None}) for p in PROMPTS))
    with pytest.raises(BadConfiguration, match="Use towards others"):
        DirectLogitAttribution.model_validate(GIVEN).check({}, lone.task)


def test_a_last_norm_that_is_no_norm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = word_lab("llama")
    norm = lab.subject.model.get_submodule("model.norm")
    monkeypatch.setattr(norm, "forward", lambda h: torch.tanh(h))
    with pytest.raises(UnsupportedModel, match="not a linear map with a scale"):
        DirectLogitAttribution.model_validate(GIVEN).run(lab)


def test_its_figures_can_be_drawn_and_a_replay_has_the_same_bits() -> None:
    first, second = (DirectLogitAttribution.model_validate(GIVEN).run(word_lab("gpt2")) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    assert all(draw(figure) for figure in first.figures)
    assert {f.name for f in first.figures} == {"heads", "layers"}


@pytest.mark.parametrize("name", BUILT)
def test_only_the_induction_heads_of_a_planted_subject_write_the_answer(name: str) -> None:
    truth = TRUTHS[name]
    result = DirectLogitAttribution(model=name, task="induction", n=6).run(planted_lab(name))
    found = {site: value for site, value in shares(result).items() if ".H" in site and abs(value) > 0.1}
    assert set(found) == set(truth.induction_heads)
    assert all(value > 1 for value in found.values())
