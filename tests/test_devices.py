"""A model whose layers lie elsewhere, each fetched while it runs, measures the same as one that lies at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lashley.experiments import engine
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.loading import load, prepare
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import ORDER, Site
from lashley.tests.slow_way import PLACES
from lashley.tests.test_engine import TOLERANCE, everywhere, gap
from lashley.tests.tiny import SAMPLED, batch_of, tiny_model, tiny_subject, tiny_tokenizer

ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]


def tried(subject: Subject) -> list[Intervention]:
    a = subject.anatomy
    edits = [everywhere(part, layer, op="scale", factor=0.3) for part in ORDER for layer in range(a.n_layers)]
    edits += [Edit(site=Site(layer=layer, part="z", index=h)) for layer in range(a.n_layers) for h in range(a.n_heads)]
    edits += [everywhere("mlp_out", 1, op="replace", source="mean"), everywhere("attn_out", 2, positions="last")]
    return [
        Intervention(name="intact"),
        *(Intervention(name=str(i), edits=(e,)) for i, e in enumerate(edits)),
        Intervention(name="frozen", edits=(everywhere("z", 0), everywhere("mlp_out", 2, op="freeze"))),
        Intervention(name="program", program=(2, 0, 1, 1)),
    ]


def swept(subject: Subject, readout: Any) -> torch.Tensor:
    batch = batch_of(ROWS)
    source = engine.mean_source(engine.read(subject, batch, {"mlp_out"}), batch)
    return engine.run(subject, batch, tried(subject), readout, {"mean": source})["logits"]


@pytest.mark.parametrize("kind", SAMPLED)
def test_layers_on_disk_measure_the_same(kind: str, tmp_path: Path) -> None:
    tiny_model(kind).save_pretrained(tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    at_hand = prepare("at hand", plain, tiny_tokenizer(), "cpu")
    layers = PLACES[kind][0]
    others = {name.rpartition(".")[0] for name in at_hand.model.state_dict() if not name.startswith(layers)}
    places = dict.fromkeys(others, "cpu") | {f"{layers}.0": "cpu", f"{layers}.1": "disk", f"{layers}.2": "disk"}
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", dtype=torch.float32, device_map=places, offload_folder=tmp_path / "offloaded"
    )
    away = prepare("away", model, tiny_tokenizer())
    assert [block.W_O.is_meta for block in away.anatomy.blocks] == [False, True, True]
    assert away.fingerprint == at_hand.fingerprint
    pair = torch.arange(6).view(3, 2) + 7
    for readout in (Logits(every_column=False), Logits(every_column=False, tokens=pair)):
        assert gap(swept(away, readout), swept(at_hand, readout)) <= TOLERANCE
    written = [engine.generate(s, batch_of(ROWS), tried(s)[::7], 4) for s in (away, at_hand)]
    assert written[0] == written[1]


def test_a_model_that_is_spread_over_all_devices_is_loaded_and_measures_the_same(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    spread = load(str(tmp_path), "auto")
    readout = Logits(every_column=False)
    assert gap(swept(spread, readout).cpu(), swept(tiny_subject("llama"), readout)) <= TOLERANCE
