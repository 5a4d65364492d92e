"""The engine against the slow way: random interventions, every architecture, mixed lengths; and the laws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.loading import load
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import ORDER, Site
from lashley.experiments.tasks.batch import Batch, make_batch
from lashley.experiments.tasks.registry import task
from lashley.tests.slow_way import clean_values, first_token, slow_logits, tokens_of
from lashley.tests.tiny import KINDS, VOCABULARY, batch_of, tiny_subject

TOLERANCE = 1e-4
# A failure is told as it was drawn; the slow twin makes it small.
UNSHRUNK = [Phase.explicit, Phase.generate]
FEW = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=UNSHRUNK
)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
INTACT = Intervention(name="intact")


# --- what is tried -------------------------------------------------------------------------------------------


def widths(subject: Subject) -> dict[str, int]:
    a = subject.anatomy
    stream = dict.fromkeys(("resid_pre", "attn_out", "mlp_out", "resid_post"), a.d_model)
    return {**stream, "z": a.n_heads * a.d_head, "k": a.n_kv_heads * a.d_head, "v": a.n_kv_heads * a.d_head,
            "neurons": a.d_mlp}  # fmt: skip


def edits(subject: Subject) -> st.SearchStrategy[Edit]:
    a = subject.anatomy
    counts = {"pattern": a.n_heads, "z": a.n_heads, "k": a.n_kv_heads, "v": a.n_kv_heads, "neurons": a.d_mlp}

    @st.composite
    def draw_edit(draw: st.DrawFn) -> Edit:
        part = draw(st.sampled_from(ORDER))
        index = draw(st.none() | st.integers(0, counts[part] - 1)) if part in counts else None
        op = draw(st.sampled_from(["zero", "replace", "add", "scale", "project_out", "freeze"]))
        sources = ["mean", "resample", "patch"] if op == "replace" else ["direction"]
        # A pattern is no vector, and prompts of different lengths cannot lend each other theirs.
        sources = ["patch"] if part == "pattern" else sources
        return Edit(
            site=Site(layer=draw(st.integers(0, a.n_layers - 1)), part=part, index=index),
            op=op,
            source=None if op in ("zero", "scale", "freeze") else draw(st.sampled_from(sources)),
            factor=draw(st.sampled_from([-1.0, 0.5, 2.0])),
            positions=draw(st.sampled_from(["all", "last", "span", "first", "all-first", "all-span"])),
        )

    return draw_edit()


@st.composite
def interventions(draw: st.DrawFn, subject: Subject) -> list[Intervention]:
    n = subject.anatomy.n_layers
    programs = st.none() | st.none() | st.lists(st.integers(0, n - 1), max_size=n + 2).map(tuple)
    return [
        Intervention(name=str(i), edits=tuple(draw(st.lists(edits(subject), max_size=3))), program=draw(programs))
        for i in range(draw(st.integers(1, 5)))
    ]


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, Batch]:
    """A batch of mixed lengths, and another of the same shape to patch from."""
    token = st.integers(3, VOCABULARY - 1)
    reads = draw(st.integers(1, 2))
    lengths = draw(st.lists(st.integers(reads + 1, 9), min_size=2, max_size=4))
    spans = []
    for length in lengths:
        first = draw(st.integers(0, length - 1))
        spans.append({"span": (first, draw(st.integers(first + 1, length)))})
    first, second = ([draw(st.lists(token, min_size=n, max_size=n)) for n in lengths] for _ in range(2))
    return nothing_asked(batch_of(first, reads, spans)), nothing_asked(batch_of(second, reads, spans))


def nothing_asked(batch: Batch) -> Batch:
    """The same tokens without answers, so that each prompt may lend to all others."""
    return replace(batch, targets=torch.full_like(batch.targets, -1))


@dataclass
class Case:
    """The same sources twice: as the engine makes them, and worked out from intact runs one prompt at a time."""

    subject: Subject
    batch: Batch
    other: Batch

    def __post_init__(self) -> None:
        a, batch = self.subject.anatomy, self.batch
        generator = torch.Generator().manual_seed(1)
        self.direction = engine.Activations(
            {(layer, part): torch.randn(1, 1, width, generator=generator)  # type: ignore[misc]
             for layer in range(a.n_layers) for part, width in widths(self.subject).items()}
        )  # fmt: skip
        clean = engine.read(self.subject, batch, ORDER)
        self.resample = engine.resample_source(clean, batch, seed=3)
        self.sources = {
            "mean": engine.mean_source(clean, batch),
            "resample": self.resample,
            "patch": engine.read(self.subject, self.other, ORDER),
            "direction": self.direction,
        }
        self.clean = [clean_values(self.subject.model, tokens_of(batch, p)) for p in range(len(batch))]
        self.twin = [clean_values(self.subject.model, tokens_of(self.other, p)) for p in range(len(batch))]

    def source(self, edit: Edit, prompt: int, position: int) -> Tensor | None:
        site = Site(layer=edit.site.layer, part=edit.site.part)
        if edit.op == "freeze":
            return self.clean[prompt][site][position]
        if edit.source is None:
            return None
        if edit.source == "direction":
            return self.direction.at(site.layer, site.part)[0, 0]
        if edit.source == "patch":
            return self.twin[prompt][site][position]
        if edit.source == "resample":
            column = position + first_token(self.batch, prompt)
            assert self.resample.rows is not None
            assert self.resample.columns is not None
            row = int(self.resample.rows[prompt, column])
            return self.clean[row][site][int(self.resample.columns[prompt, column]) - first_token(self.batch, row)]
        others = {i: c[site] for i, c in enumerate(self.clean) if i != prompt}
        alike = [c for c in others.values() if len(c) == len(self.clean[prompt][site])]
        # There are never as many as FEWEST, so any that are as long will do.
        if alike:
            return torch.stack([c[position] for c in alike]).mean(0)
        return torch.cat([c[1:] for c in others.values()]).mean(0)

    def touched(self, edit: Edit, prompt: int, position: int) -> bool:
        name = edit.positions.removeprefix("all-")
        if name == "all":
            return True
        start = first_token(self.batch, prompt)
        first, last = (start, start + 1) if name == "first" else self.batch.spans[prompt][name]
        return (first <= position + start < last) == (name == edit.positions)

    def slow(self, intervention: Intervention, prompt: int) -> Tensor:
        return slow_logits(
            self.subject.model,
            tokens_of(self.batch, prompt),
            intervention,
            lambda e, at: self.touched(e, prompt, at),
            lambda e, at: self.source(e, prompt, at),
            self.subject.anatomy.d_head,
        )


def gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp(min=1.0))


def hold_against_slow_way(subject: Subject, data: st.DataObject) -> None:
    batch, other = data.draw(batches())
    case = Case(subject, batch, other)
    tried = data.draw(interventions(subject))
    every = data.draw(st.booleans())
    tokens = data.draw(st.none() | st.just(torch.arange(2 * len(batch)).view(-1, 2) * 7 % VOCABULARY))
    chunk = data.draw(st.sampled_from([1, 30, 4096]))
    readout = Logits(every_column=every, tokens=tokens)
    fast = engine.run(subject, batch, tried, readout, case.sources, chunk_tokens=chunk)["logits"]
    for i, intervention in enumerate(tried):
        for prompt in range(len(batch)):
            slow = case.slow(intervention, prompt)
            wanted = slow if every else slow[-batch.reads :]
            wanted = wanted if tokens is None else wanted[:, tokens[prompt]]
            difference = gap(fast[i, prompt][-len(wanted) :], wanted)
            assert difference <= TOLERANCE, f"{intervention} on prompt {prompt}: {difference:.1e}"


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@FEW
def test_equals_the_slow_way(kind: str, data: st.DataObject) -> None:
    hold_against_slow_way(tiny_subject(kind), data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@MANY
def test_equals_the_slow_way_many_times(kind: str, data: st.DataObject) -> None:
    hold_against_slow_way(tiny_subject(kind), data)


# --- laws ----------------------------------------------------------------------------------------------------

ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]
OTHERS = [[71, 6, 22, 59, 13, 84], [10, 45, 38], [16, 27, 80, 63, 3, 49]]


def everywhere(part: str, layer: int, **changed: Any) -> Edit:
    return Edit(site=Site(layer=layer, part=part), **changed)  # type: ignore[arg-type]


def logits_of(subject: Subject, batch: Batch, *edits: Edit, **sources: Any) -> Tensor:
    """[batch, position, vocabulary] with the pads' columns at 0."""
    made = Intervention(name="tried", edits=edits)
    out = engine.run(subject, batch, [made], Logits(), sources)["logits"][0]
    return out * batch.mask[..., None]


def own_logits(subject: Subject, batch: Batch) -> Tensor:
    with torch.no_grad():
        out = subject.model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids)
    return out.logits * batch.mask[..., None]


@pytest.mark.parametrize("kind", KINDS)
def test_what_changes_nothing_changes_nothing(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    own, clean = own_logits(subject, batch), engine.read(subject, batch, ORDER)
    assert gap(logits_of(subject, batch), own) <= TOLERANCE
    for layer in range(subject.anatomy.n_layers):
        for part in ORDER:
            by_scale = logits_of(subject, batch, everywhere(part, layer, op="scale", factor=1.0))
            by_itself = logits_of(subject, batch, everywhere(part, layer, op="replace", source="clean"), clean=clean)
            assert max(gap(by_scale, own), gap(by_itself, own)) <= TOLERANCE, (layer, part)


@pytest.mark.parametrize("kind", KINDS)
def test_all_heads_and_mlps_of_the_clean_run_undo_any_damage_between_them(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    layers = range(subject.anatomy.n_layers)
    clean = engine.read(subject, batch, ORDER)
    heads = [
        Edit(site=Site(layer=layer, part="z", index=h), op="replace", source="clean")
        for layer in layers for h in range(subject.anatomy.n_heads)
    ]  # fmt: skip
    mlps = [everywhere("mlp_out", layer, op="replace", source="clean") for layer in layers]
    # Keys, values and neurons reach the stream only through what is put back.
    damage = [everywhere(part, layer) for layer in layers for part in ("k", "v", "neurons")]
    assert gap(logits_of(subject, batch, *damage), own_logits(subject, batch)) > 0.01
    healed = logits_of(subject, batch, *damage, *heads, *mlps, clean=clean)
    assert gap(healed, own_logits(subject, batch)) <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_stream_of_another_prompt_gives_its_logits(kind: str) -> None:
    subject, batch, other = tiny_subject(kind), batch_of(ROWS), batch_of(OTHERS)
    source = engine.read(subject, other, ["resid_pre", "resid_post"])
    for part in ("resid_pre", "resid_post"):
        for layer in range(subject.anatomy.n_layers):
            patch = everywhere(part, layer, op="replace", source="other")
            assert gap(logits_of(subject, batch, patch, other=source), own_logits(subject, other)) <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_heads_an_attention_writes_its_bias(kind: str) -> None:
    """Exactly: what rounding leaves where nothing should be, a norm after it would make a thousand times as large."""
    subject = tiny_subject(kind)
    for layer, block in enumerate(subject.anatomy.blocks):
        bias = getattr(block.o_proj, "bias", None)
        written = torch.zeros(1, 1, subject.anatomy.d_model) if bias is None else bias[None, None]
        for norm in block.attn_post:
            written = norm(written)
        source = engine.Activations({(layer, "attn_out"): written})
        heads = [Edit(site=Site(layer=layer, part="z", index=h)) for h in range(subject.anatomy.n_heads)]
        for rows in (ROWS, [[87, 88]], [[11, 84, 23]]):
            batch = batch_of(rows)
            by_heads, at_once = logits_of(subject, batch, *heads), logits_of(subject, batch, everywhere("z", layer))
            by_bias = logits_of(subject, batch, everywhere("attn_out", layer, op="replace", source="bias"), bias=source)
            assert max(gap(by_heads, by_bias), gap(at_once, by_bias)) <= TOLERANCE / 10


@pytest.mark.parametrize("kind", KINDS)
def test_neither_chunks_nor_neighbours_matter_and_the_same_call_gives_the_same_bits(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    tried = [
        INTACT,
        *(Intervention(name=f"{l}.{h}", edits=(Edit(site=Site(layer=l, part="z", index=h)),))
          for l in range(3) for h in range(4)),
        Intervention(name="late", edits=(everywhere("v", 1, positions="last"),)),
        Intervention(name="program", program=(2, 0, 0, 1)),
    ]  # fmt: skip
    readout = Logits(every_column=False)
    whole = engine.run(subject, batch, tried, readout)["logits"]
    assert torch.equal(whole, engine.run(subject, batch, tried, readout)["logits"])
    for chunk in (1, 20, 70):
        assert gap(engine.run(subject, batch, tried, readout, chunk_tokens=chunk)["logits"], whole) <= TOLERANCE
    for i, row in enumerate(ROWS):
        assert gap(engine.run(subject, batch_of([row]), tried, readout)["logits"][:, 0], whole[:, i]) <= TOLERANCE


def test_progress_counts_every_run_once() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    tried = [INTACT, Intervention(name="x", edits=(everywhere("z", 1),)), Intervention(name="y", program=(0, 2))]
    seen: list[tuple[int, int]] = []
    engine.run(subject, batch, tried, Logits(), progress=lambda done, total: seen.append((done, total)), chunk_tokens=9)
    assert seen[-1] == (9, 9)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_position_or_source_that_is_not_there_is_one_clear_line() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    with pytest.raises(BadConfiguration, match=r"^There are no positions 'nowhere'\. Positions: all, first, last, "):
        logits_of(subject, batch, everywhere("z", 1, positions="nowhere"))
    with pytest.raises(BadConfiguration, match=r"^The edit at L1\.mlp needs a source\. Given: mine\.$"):
        logits_of(subject, batch, everywhere("mlp_out", 1, op="add", source="yours"), mine=engine.Activations())


# --- the bundled model ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2() -> tuple[Subject, Batch]:
    subject = load("smollm2-135m", "cpu")
    return subject, make_batch(subject.tokenizer, task("arithmetic").prompts(2))


@pytest.mark.parametrize(
    "intervention",
    [
        Intervention(name="L11.H4", edits=(Edit(site=Site(layer=11, part="z", index=4)),)),
        Intervention(name="program", program=(*range(10), 12, 11, 11, *range(15, 30))),
    ],
    ids=["head", "program"],
)
def test_smollm2_equals_the_slow_way(smollm2: tuple[Subject, Batch], intervention: Intervention) -> None:
    subject, batch = smollm2
    fast = engine.run(subject, batch, [intervention], Logits(every_column=False))["logits"][0]
    for prompt in range(len(batch)):
        slow = slow_logits(
            subject.model,
            tokens_of(batch, prompt),
            intervention,
            lambda *_: True,
            lambda *_: None,
            subject.anatomy.d_head,
        )
        shown = int(batch.targets[prompt].ge(0).sum())
        assert gap(fast[prompt, :shown], slow[-shown:]) <= TOLERANCE
