"""Narrowed runs against a slow twin that drops the same positions by hooks, and against the exact engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout, PairReadout
from lashley.experiments.engine import narrowing
from lashley.experiments.engine.cost import SLOPES, whole_runs
from lashley.experiments.engine.forward import record_batch
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import load, prepare
from lashley.experiments.model.low_precision import rounded
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Part, Site, head
from lashley.experiments.tasks.batch import Batch
from lashley.experiments.tasks.registry import task
from lashley.tests.processors import WITH_BF16, WITHOUT_BF16, OnProcessor, on_processor
from lashley.tests.slow_way import cut, first_token, hooked, one_position, tokens_of
from lashley.tests.tiny import SAMPLED, batch_of, tiny_model, tiny_subject

__all__ = ["on_processor"]
# Of different lengths, so that there are pads.
ROWS = [[5, 17, 40, 8, 77, 30, 12], [61, 9, 12, 4], [90, 6, 33, 21, 8, 52]]
# Their MLPs see the stream as it was before the attention.
SEEN_BEFORE = {"gpt_neox", "phi", "gptj"}
PLACES: list[tuple[Part, int | None]] = [
    ("resid_pre", None), ("k", 0), ("v", 1), ("z", 2), ("attn_out", None), ("neurons", 7), ("mlp_out", None),
    ("resid_post", None),
]  # fmt: skip


def edits_of(subject: Subject) -> list[Intervention]:
    """At every layer and part, at all positions or the last one."""
    layers, kv = range(subject.anatomy.n_layers), subject.anatomy.n_kv_heads
    sites = [
        Site(layer=layer, part=p, index=None if i is None else min(i, kv - 1) if p in "kv" else i)
        for layer in layers
        for p, i in PLACES
    ]
    return [
        Intervention(name=f"{s} {at}", edits=(Edit(site=s, op="scale", factor=0.3, positions=at),))
        for s in sites
        for at in ("all", "last")
    ]


def scheduled(subject: Subject, batch: Batch) -> narrowing.Narrowing:
    recording = record_batch(subject.model, subject.anatomy, batch)
    clean = engine.read(subject, batch, {"k", "v"})
    return narrowing.narrowing(subject, batch, clean, recording, PairReadout(batch), "logit_diff")


def narrowed(subject: Subject, batch: Batch, made: list[Intervention], **limits: Any) -> Tensor:
    """[intervention, prompt]"""
    return engine.run(subject, batch, made, PairReadout(batch), narrowed="logit_diff", **limits)["logit_diff"]


Half = tuple[list[Tensor], list[Tensor]]


def slow_streams(subject: Subject, batch: Batch, prompt: int) -> tuple[Half, Half]:
    """One prompt's streams before each layer and after each attention, and the slopes of its logit difference there,
    [position, d_model]. What an attention adds has the slope of what it is added to."""
    streams: list[Tensor] = []
    added: list[Tensor] = []

    def keep(site: Site, value: Tensor) -> Tensor:
        if site.part == "resid_pre":
            value = value.detach().requires_grad_() if not streams else value
            streams.append(value)
        if site.part == "attn_out":
            added.append(value)
        return value

    with torch.enable_grad(), hooked(subject.model, keep) as cache:
        out = subject.model(input_ids=tokens_of(batch, prompt), past_key_values=cache, use_cache=True).logits[0, -1]
        right, wrong = batch.pair[prompt]
        slopes = torch.autograd.grad(out[right] - out[wrong], [*streams, *added])
    n = len(streams)
    middles = [(x + a).detach()[0] for x, a in zip(streams, added, strict=True)]
    return ([s.detach()[0] for s in streams], middles), ([s[0] for s in slopes[:n]], [s[0] for s in slopes[n:]])


@torch.no_grad()
def slowly(
    subject: Subject, batch: Batch, prompt: int, made: Intervention, gone_at: list[int], streams: Half, slopes: Half,
) -> float:  # fmt: skip
    """The prompt's estimated logit difference, where each position [position] is dropped before the layer `gone_at`.

    What the layer after the edit's does not have counts by the slope in the middle of the edit's layer, if the edit
    lies before that, the MLP sees it, and it is not the last layer."""
    (edit,), counted, entered = made.edits, 0.0, torch.empty(0)
    edited, last = edit.site.layer, subject.anatomy.n_layers - 1
    sees_the_middle = subject.model.config.model_type not in SEEN_BEFORE
    early = sees_the_middle and edit.site.part not in ("neurons", "mlp_out", "resid_post")

    def first_order(half: int, layer: int, position: int, value: Tensor) -> float:
        clean, slope = streams[half][layer][position], slopes[half][layer][position]
        share = float((value - clean).norm() / clean.norm())
        return float((value - clean) @ slope) * min(1, 0.2 / max(share, 1e-9))

    def change(site: Site, value: Tensor) -> Tensor:
        nonlocal counted, entered
        value = value.clone()
        if site.part == "resid_pre" and site.layer > edit.site.layer:
            for position, gone in enumerate(gone_at):
                if gone <= site.layer:
                    if (site.layer == edited + 1 and not early) or gone == site.layer > edited + 1:
                        counted += first_order(0, site.layer, position, value[0, position])
                    value[0, position] = streams[0][site.layer][position]
        if (site.layer, site.part) == (edit.site.layer, edit.site.part):
            where = cut(value, edit.site, subject.anatomy.d_head)
            for position in range(value.shape[1]) if edit.positions == "all" else [value.shape[1] - 1]:
                value[0, position, where] = one_position(edit, value[0, position, where], None)
        if site.part == "resid_pre" and site.layer == edited:
            entered = value
        if site.part == "attn_out" and site.layer == edited < last and early:
            for position, gone in enumerate(gone_at):
                if gone <= edited + 1:
                    counted += first_order(1, edited, position, (entered + value)[0, position])
        return value

    with hooked(subject.model, change) as cache:
        out = subject.model(input_ids=tokens_of(batch, prompt), past_key_values=cache, use_cache=True).logits[0, -1]
    right, wrong = batch.pair[prompt]
    return float(out[right] - out[wrong]) + counted


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_narrowed_run_is_what_hooks_that_drop_the_same_positions_give(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "SHARES", (0.9, 0.4))
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    plan = scheduled(subject, batch)
    assert 0 < plan.first[-1] < batch.length
    made = edits_of(subject)
    found = narrowed(subject, batch, made)
    exact = engine.run(subject, batch, made, PairReadout(batch))["logit_diff"]
    assert float((found - exact).abs().max()) > 1e-3
    for prompt in range(len(batch)):
        begin = first_token(batch, prompt)
        place = plan.place[prompt, begin:].tolist()
        gone_at = [next((m for m, first in enumerate(plan.first) if at < first), 99) for at in place]
        streams, slopes = slow_streams(subject, batch, prompt)
        for theirs, ours in zip(slopes, (plan.slopes, plan.middles), strict=True):
            for layer, slope in enumerate(theirs):
                assert torch.allclose(ours[layer][prompt, begin:], slope, atol=1e-4)
        for i, one in enumerate(made):
            wanted = slowly(subject, batch, prompt, one, gone_at, streams, slopes)
            assert float(found[i, prompt]) == pytest.approx(wanted, abs=2e-4), f"{one.name} on prompt {prompt}"


@pytest.mark.parametrize("kind", SAMPLED)
def test_where_nothing_is_dropped_it_is_exact_in_whatever_order_the_columns_stand(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    generator = torch.Generator().manual_seed(3)

    monkeypatch.setattr(narrowing, "how_many", lambda *_: (0,) * subject.anatomy.n_layers)
    any_order = torch.randint(100, batch.ids.shape, generator=generator)
    monkeypatch.setattr(narrowing, "when_dropped", lambda *_: any_order)
    made = [Intervention(name="intact"), *edits_of(subject)]
    exact = engine.run(subject, batch, made, PairReadout(batch))["logit_diff"]
    assert torch.allclose(narrowed(subject, batch, made), exact, atol=1e-4)


def test_what_is_read_is_never_dropped_and_nothing_comes_back() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = batch_of(ROWS, reads=2)
    for _ in range(20):
        slopes = [torch.randn(3, 7, 5, generator=generator) ** 3 for _ in range(6)]
        readout = AnswerReadout(batch)
        first = narrowing.how_many(tiny_subject("llama"), batch, readout, "loss", slopes)
        gone_at = narrowing.when_dropped(tuple(slopes), batch, torch.tensor([[5, 6]] * 3), first)
        assert list(first) == sorted(first)
        assert first[-1] <= 5
        assert (gone_at[:, 5:] == 6).all()
        # As many of every prompt, so that their runs can travel together.
        for layer, count in enumerate(first):
            assert (gone_at <= layer).sum(1).tolist() == [count] * 3


def test_neither_chunks_nor_what_was_kept_change_it_and_it_says_how_far_it_is() -> None:
    subject, batch = tiny_subject("gemma2"), batch_of(ROWS)
    made, told, kept = edits_of(subject), list[tuple[int, int]](), {}
    whole = narrowed(subject, batch, made, progress=lambda *at: told.append(at), kept=kept)
    assert told[-1] == (len(made) * 3, len(made) * 3)
    assert torch.allclose(narrowed(subject, batch, made, chunk_tokens=8), whole, atol=1e-5)
    assert torch.equal(narrowed(subject, batch, made, kept=kept), whole)
    assert torch.equal(narrowed(subject, batch, made), whole)
    # Nor how many prompts go through at once, which is a matter of memory.
    assert torch.allclose(narrowed(subject, batch, made, memory=40_000), whole, atol=1e-5)


def test_an_attention_that_goes_by_the_place_of_its_keys_stays_whole(on_processor: OnProcessor) -> None:
    lab = Lab(load("smollm2-135m", "cpu"), task("arithmetic"))
    settings = {"num_layers": 3, "hidden_size": 32, "num_heads": 4, "intermediate_size": 48, "window_size": 4,
                "attention_types": [[["global", "local", "global"], 1]], "vocab_size": 49152}  # fmt: skip
    neo = prepare("tiny-neo", tiny_model("gpt_neo", **settings), lab.subject.tokenizer, "cpu")
    _, batch = lab.prompts(4, "explore", 0)
    assert engine.narrowable(lab.subject, batch)
    assert engine.narrowable(rounded(lab.subject), batch)
    assert not engine.narrowable(neo, batch)
    assert not engine.narrowable(rounded(neo), batch)
    with pytest.raises(BadConfiguration, match="depends on key order"):
        narrowed(neo, batch, [Intervention(name="head", edits=(Edit(site=head(0, 1)),))])
    screen = HeadAblation(n=4, sweep="screen", verify=3)
    on_processor(WITH_BF16)
    assert "screened in bf16;" in screen.run(Lab(neo, task("arithmetic"))).found
    on_processor(WITHOUT_BF16)
    assert "screen_no_faster" in [note.code for note in screen.run(Lab(neo, task("arithmetic"))).notes]


@pytest.mark.parametrize("kind", SAMPLED)
def test_all_that_go_by_mask_and_angles_can_be_narrowed(kind: str) -> None:
    for subject in (tiny_subject(kind), rounded(tiny_subject(kind))):
        assert engine.narrowable(subject, batch_of(ROWS))


def test_edits_of_several_layers_and_programs_are_refused() -> None:
    subject, batch = tiny_subject("llama"), batch_of(ROWS)
    two = Intervention(name="two", edits=(Edit(site=head(0, 1)), Edit(site=head(1, 1))))
    for made in (two, Intervention(name="program", program=(0, 1))):
        with pytest.raises(BadConfiguration, match="one layer at a time"):
            narrowed(subject, batch, [made])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) for name in ("capitals", "arithmetic", "ioi", "induction")]
)
def test_on_smollm2_it_finds_the_strongest_heads_and_ranks_all(name: str) -> None:
    lab = Lab(load("smollm2-135m", "cpu"), task(name))
    _, batch = lab.prompts(8, "explore", 0)
    a = lab.subject.anatomy
    made = [Intervention(name=str(s), edits=(Edit(site=s),))
            for s in (head(layer, h) for layer in range(a.n_layers) for h in range(a.n_heads))]  # fmt: skip
    plan = scheduled(lab.subject, batch)
    assert plan.width < 0.6 * batch.length
    # What it is expected to take, and what it computes; the slopes beside it.
    width = [(batch.length - first) / batch.length for first in (*plan.first[1:], plan.first[-1])]
    # A layer and those above it, of which each computes what the next one has (nearly: its attention, a little more).
    computed = 1 + SLOPES + sum(sum(width[edit.site.layer :]) for one in made for edit in one.edits) / a.n_layers
    assert computed / 1.5 < whole_runs(made, a.n_layers, narrowed=True) < 1.5 * computed
    exact = engine.run(lab.subject, batch, [Intervention(name="intact"), *made], PairReadout(batch))["logit_diff"]
    wanted = (exact[1:] - exact[0]).mean(1).numpy()
    top = set(np.argsort(-abs(wanted))[:10].tolist())
    for subject in (lab.subject, rounded(lab.subject)):
        found = (narrowed(subject, batch, made) - exact[0]).mean(1).numpy()
        assert spearmanr(wanted, found).statistic > 0.92
        assert len(top & set(np.argsort(-abs(found))[:24].tolist())) >= 9
