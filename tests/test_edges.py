"""Edge attribution: a sender's edges add up to its attribution, and an edge to a last receiver is what path patching
finds when everything else is frozen."""

from __future__ import annotations

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.edges import edge_attribution
from lashley.experiments.engine.gradients import attribution
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import Site, head
from lashley.tests.tiny import SAMPLED, batch_of, tiny_subject

ROWS = [[5, 17, 40, 8, 77, 30, 12], [61, 9, 12, 4], [90, 6, 33, 21, 8, 52]]
STEP = 0.004


@pytest.mark.parametrize("kind", SAMPLED)
def test_the_edges_of_a_sender_add_up_to_its_attribution(kind: str) -> None:
    subject = tiny_subject(kind)
    a, batch = subject.anatomy, batch_of(ROWS)
    readout = PairReadout(batch)
    nudge = Edit(site=head(0, 0), op="scale", factor=1 - STEP)
    edges = edge_attribution(subject, batch, nudge, readout, "logit_diff")
    assert edges.values.shape == (3, len(edges.senders), len(edges.receivers))
    wanted: dict[Site, torch.Tensor] = {}
    for layer in range(a.n_layers):
        z, mlp_out = (
            attribution(subject, batch, [nudge.model_copy(update={"site": Site(layer=layer, part=part)})], readout,
                        "logit_diff")[0]
            for part in ("z", "mlp_out")
        )  # fmt: skip
        wanted |= {head(layer, h): z[:, h] for h in range(a.n_heads)}
        wanted[Site(layer=layer, part="mlp_out")] = mlp_out[:, 0]
    entry = nudge.model_copy(update={"site": Site(layer=0, part="resid_pre")})
    wanted[entry.site] = attribution(subject, batch, [entry], readout, "logit_diff")[0][:, 0]
    assert set(wanted) == set(edges.senders)
    scale = max(float(v.abs().max()) for v in wanted.values())
    for i, sender in enumerate(edges.senders):
        assert torch.allclose(edges.values[:, i].sum(-1), wanted[sender], atol=2e-3 * scale, rtol=0.02), str(sender)


@pytest.mark.parametrize("kind", SAMPLED)
def test_an_edge_is_what_path_patching_finds(kind: str) -> None:
    subject = tiny_subject(kind)
    batch = batch_of(ROWS)
    readout, last = PairReadout(batch), subject.anatomy.n_layers - 1
    edges = edge_attribution(subject, batch, Edit(site=head(0, 0), op="scale", factor=1 - STEP), readout, "logit_diff")
    scale = float(edges.values.abs().max())
    for sender in (head(0, 1), head(1, 2), Site(layer=0, part="mlp_out")):
        for receiver in (head(last, 3), Site(layer=last, part="mlp_out"), Site(layer=last, part="resid_post")):
            # Everything after the sender is held; then the receiver is let go. Behind it are only the logits, and the
            # last MLP, which is let go both times where the receiver is a head.
            held = [s for s in edges.senders[1:] if s.layer > sender.layer or (s.layer == sender.layer and s != sender)]
            held = [s for s in held if receiver.part != "z" or s != Site(layer=last, part="mlp_out")]
            runs = [
                Intervention(
                    name=f"{factor} {len(kept)}",
                    edits=(
                        Edit(site=sender, op="scale", factor=factor),
                        *(Edit(site=s, op="freeze") for s in kept),
                    ),
                )
                for factor in (1 - STEP, 1 + STEP)
                for kept in (held, [s for s in held if s != receiver])
            ]
            less, less_open, more, more_open = engine.run(subject, batch, runs, readout)["logit_diff"]
            direct = (less - more) / 2
            found = edges.values[:, edges.senders.index(sender), edges.receivers.index(receiver)]
            path = direct if receiver.part == "resid_post" else (less_open - more_open) / 2 - direct
            assert torch.allclose(found, path, atol=5e-3 * scale, rtol=0.05), (str(sender), str(receiver))
