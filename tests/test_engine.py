"""The engine against the slow way: random interventions, every architecture, mixed lengths; and the laws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.batch import Batch
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import ORDER, Site
from lashley.experiments.subject import Subject
from lashley.tests.slow_way import clean_values, first_token, slow_logits, tokens_of
from lashley.tests.tiny import KINDS, VOCABULARY, batch_of, tiny_subject

TOLERANCE = 1e-4
FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
INTACT = Intervention(name="intact")


@dataclass
class Logits:
    """A readout that keeps the logits as they are, of all columns or of those that the batch reads."""

    every_column: bool = True
    at: Tensor | None = None
    tokens: Tensor | None = None

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        return {"logits": logits}


# --- what is tried -------------------------------------------------------------------------------------------


def widths(subject: Subject) -> dict[str, int]:
    a = subject.anatomy
    stream = dict.fromkeys(("resid_pre", "attn_out", "mlp_out", "resid_post"), a.d_model)
    return {**stream, "z": a.n_heads * a.d_head, "k": a.n_kv_heads * a.d_head, "v": a.n_kv_heads * a.d_head,
            "neurons": a.d_mlp}  # fmt: skip


def edits(subject: Subject) -> st.SearchStrategy[Edit]:
    a = subject.anatomy
    counts = {"z": a.n_heads, "k": a.n_kv_heads, "v": a.n_kv_heads, "neurons": a.d_mlp}

    @st.composite
    def draw_edit(draw: st.DrawFn) -> Edit:
        part = draw(st.sampled_from(ORDER))
        index = draw(st.none() | st.integers(0, counts[part] - 1)) if part in counts else None
        op = draw(st.sampled_from(["zero", "replace", "add", "scale", "project_out"]))
        sources = ["mean", "resample", "patch"] if op == "replace" else ["direction"]
        return Edit(
            site=Site(layer=draw(st.integers(0, a.n_layers - 1)), part=part, index=index),
            op=op,
            source=None if op in ("zero", "scale") else draw(st.sampled_from(sources)),
            factor=draw(st.sampled_from([-1.0, 0.5, 2.0])),
            positions=draw(st.sampled_from(["all", "last", "span"])),
        )

    return draw_edit()


@st.composite
def interventions(draw: st.DrawFn, subject: Subject) -> list[Intervention]:
    n = subject.anatomy.n_layers
    programs = st.none() | st.none() | st.lists(st.integers(0, n - 1), max_size=n + 2).map(tuple)
    return [
        Intervention(
            name=str(i), edits=tuple(draw(st.lists(edits(subject), max_size=3))), program=draw(programs)
        )
        for i in range(draw(st.integers(1, 5)))
    ]  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, Batch]:
    """A batch of mixed lengths, and another of the same shape to patch from."""
    token = st.integers(3, VOCABULARY - 1)
    reads = draw(st.integers(1, 2))
    lengths = draw(st.lists(st.integers(reads + 1, 9), min_size=1, max_size=4))
    spans = []
    for length in lengths:
        first = draw(st.integers(0, length - 1))
        spans.append({"span": (first, draw(st.integers(first + 1, length)))})
    first, second = ([draw(st.lists(token, min_size=n, max_size=n)) for n in lengths] for _ in range(2))
    return batch_of(first, reads, spans), batch_of(second, reads, spans)


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
        alike = [c[site] for c in self.clean if len(c[site]) == len(self.clean[prompt][site])]
        if len(alike) > 1:
            return torch.stack([c[position] for c in alike]).mean(0)
        others = [c[site][1:] for i, c in enumerate(self.clean) if i != prompt or len(self.clean) == 1]
        return torch.cat(others).mean(0)

    def touched(self, edit: Edit, prompt: int, position: int) -> bool:
        if edit.positions == "all":
            return True
        first, last = self.batch.spans[prompt][edit.positions]
        return first <= position + first_token(self.batch, prompt) < last

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
