"""Patches from other prompts, from given places, and given vectors: what arrives, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lashley.experiments import engine
from lashley.experiments.engine import Activations
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import ORDER, Site, part_width
from lashley.experiments.tasks.batch import Batch, make_batch
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.slow_way import clean_values, first_token, slow_logits, tokens_of
from lashley.tests.test_engine import TOLERANCE, batches, everywhere, gap, logits_of
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

FEW = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]


def slowly(subject: Subject, batch: Batch, prompt: int, edit: Edit, value: Any) -> torch.Tensor:
    """The logits of one prompt under one edit, plainly; value(position) is what the edit takes there."""

    def touched(e: Edit, at: int) -> bool:
        if e.positions == "all":
            return True
        first, last = batch.spans[prompt][e.positions]
        return first <= at + first_token(batch, prompt) < last

    made = Intervention(name="tried", edits=(edit,))
    tokens = tokens_of(batch, prompt)
    return slow_logits(subject.model, tokens, made, touched, lambda _, at: value(at), subject.anatomy.d_head)


@pytest.mark.parametrize("kind", SAMPLED)
@given(data=st.data())
@FEW
def test_a_patch_takes_what_the_twin_has(kind: str, data: st.DataObject) -> None:
    subject, (batch, other) = tiny_subject(kind), data.draw(batches())
    part, layer = data.draw(st.sampled_from(ORDER)), data.draw(st.integers(0, 2))
    source = engine.patch_source(engine.read(subject, other, {part}), batch, other)
    edit = everywhere(part, layer, op="replace", source="twin", positions=data.draw(st.sampled_from(["all", "span"])))
    fast = logits_of(subject, batch, edit, twin=source)
    for prompt in range(len(batch)):
        values = clean_values(subject.model, tokens_of(other, prompt))[Site(layer=layer, part=part)]
        slow = slowly(subject, batch, prompt, edit, lambda at, values=values: values[at])
        assert gap(fast[prompt, first_token(batch, prompt) :], slow) <= TOLERANCE


@pytest.mark.parametrize("kind", SAMPLED)
@given(data=st.data())
@FEW
def test_a_place_gives_its_vector_to_every_column(kind: str, data: st.DataObject) -> None:
    subject, (batch, _), (other, _) = tiny_subject(kind), data.draw(batches()), data.draw(batches())
    part = data.draw(st.sampled_from([p for p in ORDER if p != "pattern"]))
    layer, op = data.draw(st.integers(0, 2)), data.draw(st.sampled_from(["replace", "add"]))
    rows = [data.draw(st.integers(0, len(other) - 1)) for _ in range(len(batch))]
    columns = [data.draw(st.integers(first_token(other, row), other.length - 1)) for row in rows]
    source = engine.places_source(engine.read(subject, other, {part}), batch, other, rows, columns)
    edit = everywhere(part, layer, op=op, source="place", factor=0.5)
    fast = logits_of(subject, batch, edit, place=source)
    for prompt, (row, column) in enumerate(zip(rows, columns, strict=True)):
        values = clean_values(subject.model, tokens_of(other, row))[Site(layer=layer, part=part)]
        vector = values[column - first_token(other, row)]
        slow = slowly(subject, batch, prompt, edit, lambda _, vector=vector: vector)
        assert gap(fast[prompt, first_token(batch, prompt) :], slow) <= TOLERANCE


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize("op", ["replace", "add", "project_out"])
def test_a_given_vector_is_the_same_everywhere(kind: str, op: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    for part in ORDER:
        if part == "pattern":
            continue
        vector = torch.randn(part_width(part, subject.sizes, 6), generator=torch.Generator().manual_seed(3))
        source = engine.vector_source(subject, {(1, part): vector})
        edit = everywhere(part, 1, op=op, source="v", factor=-0.7)
        fast = logits_of(subject, batch, edit, v=source)
        slow = slowly(subject, batch, 0, edit, lambda _, vector=vector: vector)
        assert gap(fast[0], slow) <= TOLERANCE, part


def test_a_shorter_twin_answer_gives_its_last_token() -> None:
    subject = tiny_subject("gpt2")
    prompts = [Prompt(key="k", text="w5 w6 w7", answer=" w8 w9 w10"), Prompt(key="k", text="w4 w6", answer=" w8")]
    twins = [Prompt(key="k", text="w15 w16 w17", answer=" w8 w19"), Prompt(key="k", text="w14 w16", answer=" w20")]
    batch, other = make_batch(subject.tokenizer, prompts), make_batch(subject.tokenizer, twins)
    clean = engine.read(subject, other, {"z"})
    values = engine.patch_source(clean, batch, other).at(1, "z")
    assert (batch.length, other.length) == (5, 4)
    assert torch.equal(values[0], clean.at(1, "z")[0][[0, 1, 2, 3, 3]])
    assert torch.equal(values[1, 1:3], clean.at(1, "z")[1, 1:3])


def test_what_does_not_fit_is_one_clear_line() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    other = batch_of([[5, 17, 40, 8, 77, 30], [61, 9], [33, 90, 4, 4, 51, 28]])
    with pytest.raises(
        BadConfiguration, match=r"^Prompt 1 has 3 tokens and its counterpart 2\. Use prompts of equal length"
    ):
        engine.patch_source(Activations(), batch, other)
    with pytest.raises(BadConfiguration, match=r"^3 prompts cannot be patched from 1\. Each needs one counterpart\.$"):
        engine.patch_source(Activations(), batch, batch_of([[3, 4]]))
    with pytest.raises(BadConfiguration, match=r"^3 prompts need a row and a column each, not 1 rows and 3 columns\.$"):
        engine.places_source(Activations(), batch, batch, [0], [1, 2, 3])
    with pytest.raises(BadConfiguration, match=r"^There is no token at row 1, column 2: the batch has 3 rows of 6"):
        engine.places_source(Activations(), batch, batch, [0, 1, 2], [1, 2, 3])
    with pytest.raises(BadConfiguration, match=r"^The vector for z of layer 1 has the shape \(5,\); it must be"):
        engine.vector_source(subject, {(1, "z"): torch.zeros(5)})
    with pytest.raises(BadConfiguration, match="not finite"):
        engine.vector_source(subject, {(1, "z"): torch.full((32,), torch.nan)})


def test_a_source_of_another_shape_is_refused_and_so_is_one_that_was_not_read() -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    edit = everywhere("z", 1, op="replace", source="mine")
    for rows in (ROWS[:2], [row[:3] for row in ROWS]):
        clean = engine.read(subject, batch_of(rows), {"z"})
        with pytest.raises(BadConfiguration, match=r"^The source 'mine' has . prompts of . columns, and the batch"):
            logits_of(subject, batch, edit, mine=clean)
    with pytest.raises(BadConfiguration, match=r"^z of layer 1 was not kept\. Name the part and layer"):
        logits_of(subject, batch, edit, mine=engine.read(subject, batch, {"mlp_out"}))
