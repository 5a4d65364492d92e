"""Activations on disk: the same bits as in memory, of use wherever those are, and no memory taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.sites import ORDER, Site
from lashley.tests.test_engine import TOLERANCE, gap, logits_of, own_logits
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28], [71, 6, 22, 59, 13], [10, 45, 38, 9, 9, 3]]


@pytest.mark.parametrize("kind", SAMPLED)
def test_what_is_stored_equals_what_is_kept_bit_for_bit(kind: str, tmp_path: Path) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    for tokens in (None, 13):
        kept = engine.read(subject, batch, ORDER, slice_tokens=tokens)
        stored = engine.read(subject, batch, ORDER, to=tmp_path / str(tokens), slice_tokens=tokens)
        for layer in range(subject.anatomy.n_layers):
            for part in (*ORDER, "attn_raw"):
                assert torch.equal(stored.at(layer, part), kept.at(layer, part)), (layer, part)
            assert torch.equal(stored.pattern(layer), kept.pattern(layer))


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_stored_run_serves_as_the_clean_run_and_as_a_source(kind: str, tmp_path: Path) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    stored = engine.read(subject, batch, ORDER, to=tmp_path / "kept", slice_tokens=12)
    edits = tuple(Edit(site=Site(layer=layer, part="z", index=1)) for layer in range(3))
    mean = Edit(site=Site(layer=2, part="mlp_out"), op="replace", source="mean", positions="last")
    tried = [Intervention(name="heads", edits=edits), Intervention(name="mean", edits=(mean,))]
    sources = {"mean": engine.mean_source(stored, batch)}
    own = {"mean": engine.mean_source(engine.read(subject, batch, {"mlp_out"}), batch)}
    from_disk = engine.run(subject, batch, tried, Logits(every_column=False), sources, stored)["logits"]
    in_memory = engine.run(subject, batch, tried, Logits(every_column=False), own)["logits"]
    assert gap(from_disk, in_memory) <= TOLERANCE
    itself = Edit(site=Site(layer=1, part="resid_pre"), op="replace", source="clean")
    assert gap(logits_of(subject, batch, itself, clean=stored), own_logits(subject, batch)) <= TOLERANCE


def test_what_lies_on_disk_stays_as_it_is(tmp_path: Path) -> None:
    subject, batch = tiny_subject("gpt2"), batch_of(ROWS)
    stored = engine.read(subject, batch, {"z"}, layers=[1], to=tmp_path / "kept")
    before = stored.at(1, "z").clone()
    stored.at(1, "z").zero_()
    assert torch.equal(stored.at(1, "z"), before)
    with pytest.raises(BadConfiguration, match=r"^z of layer 0 was not kept"):
        stored.at(0, "z")
    with pytest.raises(BadConfiguration, match=r"kept is not empty\. Name a new one for the activations\.$"):
        engine.read(subject, batch, {"z"}, to=tmp_path / "kept")
    assert torch.equal(stored.at(1, "z"), before)


MEASURED = """
import sys
from lashley.experiments import engine
from lashley.tests.peak import peak
from lashley.tests.tiny import batch_of, tiny_subject

subject, parts = tiny_subject("gpt2"), {"resid_pre", "z", "attn_out", "mlp_out", "neurons", "k", "v"}
batch = batch_of([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]] * 9000)
engine.read(subject, batch.rows(0, 400), parts)
begin = peak()
stored = engine.read(subject, batch, parts, to=sys.argv[1])
on_disk = peak() - begin
kept = engine.read(subject, batch, parts)
in_memory = peak() - begin
size = sum(v.nbytes for v in kept.values.values())
print(size, on_disk, in_memory)
"""


def test_activations_on_disk_take_no_memory(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "kept")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    size, on_disk, in_memory = map(int, made.stdout.split())
    assert sum(p.stat().st_size for p in (tmp_path / "kept").iterdir()) == size
    # The second number shows that the measure would see it.
    assert on_disk < size / 4 < size * 0.8 < in_memory, (size, on_disk, in_memory)
