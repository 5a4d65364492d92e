"""Laws that hold whatever the prompts, the layer and the damage: random cases on every architecture."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lashley.experiments import engine
from lashley.experiments.interventions import Edit
from lashley.experiments.model.loading import load
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import ORDER, Site
from lashley.tests.test_engine import (
    TOLERANCE,
    batches,
    edits,
    everywhere,
    gap,
    hold_against_slow_way,
    logits_of,
    own_logits,
)
from lashley.tests.tiny import SAMPLED, tiny_subject

FEW = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
law = pytest.mark.parametrize("kind", SAMPLED)


def damage(subject: Subject) -> st.SearchStrategy[list[Edit]]:
    """Some edits that need no source."""
    without = edits(subject).filter(lambda e: e.op in ("zero", "scale"))
    return st.lists(without, min_size=1, max_size=4)


@law
@given(data=st.data())
@FEW
def test_frozen_branches_undo_whatever_was_done_inside_them(kind: str, data: st.DataObject) -> None:
    subject, (batch, _) = tiny_subject(kind), data.draw(batches())
    inside = [e for e in data.draw(damage(subject)) if e.site.part not in ("resid_pre", "resid_post")]
    layers = range(subject.anatomy.n_layers)
    frozen = [everywhere(part, layer, op="freeze") for layer in layers for part in ("attn_out", "mlp_out")]
    assert gap(logits_of(subject, batch, *inside, *frozen), own_logits(subject, batch)) <= TOLERANCE


@law
@given(data=st.data())
@FEW
def test_a_stream_frozen_after_the_damage_gives_the_intact_logits(kind: str, data: st.DataObject) -> None:
    subject, (batch, _) = tiny_subject(kind), data.draw(batches())
    done = data.draw(damage(subject))
    last = max(e.site.layer for e in done)
    healed = logits_of(subject, batch, *done, everywhere("resid_post", last, op="freeze"))
    assert gap(healed, own_logits(subject, batch)) <= TOLERANCE


@law
@given(data=st.data())
@FEW
def test_freezes_alone_change_nothing(kind: str, data: st.DataObject) -> None:
    subject, (batch, _) = tiny_subject(kind), data.draw(batches())
    parts = st.tuples(st.sampled_from(ORDER), st.integers(0, subject.anatomy.n_layers - 1))
    frozen = [everywhere(part, layer, op="freeze") for part, layer in data.draw(st.lists(parts, max_size=4))]
    assert gap(logits_of(subject, batch, *frozen), own_logits(subject, batch)) <= TOLERANCE


@law
@given(data=st.data())
@FEW
def test_what_is_put_where_it_was_changes_nothing(kind: str, data: st.DataObject) -> None:
    subject, (batch, _) = tiny_subject(kind), data.draw(batches())
    parts = st.tuples(st.sampled_from(ORDER), st.integers(0, subject.anatomy.n_layers - 1), st.booleans())
    positions = st.sampled_from(["all", "last", "span"])
    made = [
        everywhere(part, layer, positions=data.draw(positions),
                   **({"op": "scale"} if by_scale else {"op": "replace", "source": "clean"}))
        for part, layer, by_scale in data.draw(st.lists(parts, min_size=1, max_size=5))
    ]  # fmt: skip
    clean = engine.read(subject, batch, ORDER)
    assert gap(logits_of(subject, batch, *made, clean=clean), own_logits(subject, batch)) <= TOLERANCE


@law
@given(data=st.data())
@FEW
def test_all_heads_of_the_clean_run_give_its_attention(kind: str, data: st.DataObject) -> None:
    subject, (batch, _) = tiny_subject(kind), data.draw(batches())
    a, clean = subject.anatomy, engine.read(subject, batch, {"z"})
    inside = [e for e in data.draw(damage(subject)) if e.site.part in ("k", "v", "pattern", "z")]
    heads = [
        Edit(site=Site(layer=layer, part="z", index=h), op="replace", source="clean")
        for layer in range(a.n_layers) for h in range(a.n_heads)
    ]  # fmt: skip
    assert gap(logits_of(subject, batch, *inside, *heads, clean=clean), own_logits(subject, batch)) <= TOLERANCE


@law
@given(data=st.data())
@FEW
def test_the_stream_of_a_twin_gives_the_twins_logits_whatever_came_before(kind: str, data: st.DataObject) -> None:
    subject, (batch, other) = tiny_subject(kind), data.draw(batches())
    layer = data.draw(st.integers(0, subject.anatomy.n_layers - 1))
    before = [e for e in data.draw(damage(subject)) if e.site.layer < layer]
    source = engine.patch_source(engine.read(subject, other, {"resid_pre"}), batch, other)
    patch = everywhere("resid_pre", layer, op="replace", source="twin")
    assert gap(logits_of(subject, batch, *before, patch, twin=source), own_logits(subject, other)) <= TOLERANCE


@law
@given(data=st.data())
@FEW
def test_nothing_changes_before_the_first_edited_position(kind: str, data: st.DataObject) -> None:
    subject, (batch, _) = tiny_subject(kind), data.draw(batches())
    done = [e.model_copy(update={"positions": "span"}) for e in data.draw(damage(subject))]
    changed, own = logits_of(subject, batch, *done), own_logits(subject, batch)
    for prompt, spans in enumerate(batch.spans):
        first = spans["span"][0]
        if first > 0:
            assert gap(changed[prompt, :first], own[prompt, :first]) <= TOLERANCE


# --- the same call, the same bits ----------------------------------------------------------------------------

SWEEP = """
import hashlib
from lashley.experiments import engine
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.sites import Site
from lashley.tests.tiny import batch_of, tiny_subject

def swept():
    digest = hashlib.sha256()
    batch = batch_of([[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]] * 5)
    for kind in ("gpt2", "gemma2", "mistral"):
        subject = tiny_subject(kind)
        tried = [
            Intervention(name=str(i), edits=(Edit(site=Site(layer=l, part=p, index=h), op=op, source=s),))
            for i, (l, h, p, op, s) in enumerate(
                (l, h, p, op, s) for l in range(3) for h in range(4) for p in ("z", "pattern")
                for op, s in (("zero", None), ("replace", "other")) if (p, op) != ("pattern", "replace")
            )
        ]
        source = engine.resample_source(engine.read(subject, batch, {"z"}), batch, 0)
        out = engine.run(subject, batch, tried, Logits(every_column=False), {"other": source}, chunk_tokens=200)
        digest.update(out["logits"].numpy().tobytes())
    return digest.hexdigest()
"""


def test_a_sweep_has_the_same_bits_again_here_and_in_another_process() -> None:
    here: dict[str, Any] = {}
    exec(SWEEP, here)
    first = here["swept"]()
    assert here["swept"]() == first
    script = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n{SWEEP}\nprint(swept())"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == first


# --- the bundled model ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2() -> Subject:
    return load("smollm2-135m", "cpu")


@given(data=st.data())
@settings(FEW, max_examples=2)
def test_smollm2_equals_the_slow_way_at_random_places(smollm2: Subject, data: st.DataObject) -> None:
    hold_against_slow_way(smollm2, data)


@pytest.mark.slow
@given(data=st.data())
@settings(FEW, max_examples=30, derandomize=False)
def test_smollm2_equals_the_slow_way_many_times(smollm2: Subject, data: st.DataObject) -> None:
    hold_against_slow_way(smollm2, data)


@pytest.mark.slow
@given(data=st.data())
@settings(FEW, max_examples=10, derandomize=False)
def test_smollm2_keeps_the_laws(smollm2: Subject, data: st.DataObject) -> None:
    subject, (batch, other) = smollm2, data.draw(batches())
    own, clean = own_logits(subject, batch), engine.read(subject, batch, ORDER)
    layer = data.draw(st.integers(0, subject.anatomy.n_layers - 1))
    part = data.draw(st.sampled_from(ORDER))
    itself = everywhere(part, layer, op="replace", source="clean")
    assert gap(logits_of(subject, batch, itself, clean=clean), own) <= TOLERANCE
    done = data.draw(damage(subject))
    last = max(e.site.layer for e in done)
    healed = logits_of(subject, batch, *done, everywhere("resid_post", last, op="freeze"))
    assert gap(healed, own) <= TOLERANCE
    patch = everywhere("resid_pre", layer, op="replace", source="twin")
    twin = engine.patch_source(engine.read(subject, other, {"resid_pre"}), batch, other)
    assert gap(logits_of(subject, batch, patch, twin=twin), own_logits(subject, other)) <= TOLERANCE
