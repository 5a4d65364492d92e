"""Edge attribution is the slope of an exact circuit run: an edge is taken out by a small part of its replacement."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.circuit_run import replaced, run_circuits, wiring
from lashley.experiments.engine.edges import edge_attribution
from lashley.experiments.engine.graph import ranked
from lashley.experiments.engine.writing import Written, written_in
from lashley.tests.test_circuit_run import OTHERS, ROWS, SEPARABLE
from lashley.tests.tiny import batch_of, tiny_subject

STEP = 0.02


def part_of(own: Written, other: Written, share: float) -> Written:
    """What is written at a share of the way."""

    def between(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
        return None if a is None or b is None else a + share * (b - a)

    embedded = own.embedded + share * (other.embedded - own.embedded)
    z = [between(a, b) for a, b in zip(own.z, other.z, strict=True)]
    return replace(own, embedded=embedded, z=z, mlp=[between(a, b) for a, b in zip(own.mlp, other.mlp, strict=True)])


@pytest.mark.parametrize("kind", SEPARABLE)
def test_an_edge_is_the_slope_of_an_exact_run_without_it(kind: str) -> None:
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    wired, readout = wiring(subject), PairReadout(batch)
    parts = ("resid_pre", "z", "attn_out", "mlp_out")
    clean, twin = engine.read(subject, batch, parts), engine.read(subject, batch_of(OTHERS), parts)
    own, other = (written_in(subject, run, wired.writings) for run in (clean, twin))
    found = edge_attribution(wired, batch, own, other, readout, "logit_diff")
    after = wired.graph.after
    assert found.shape == (3, *after.shape)
    assert not found[:, ~after].any()
    order = ranked(wired.graph, found.abs().mean(0))
    chosen = [*order[:12], *order[30::40]]
    masks = [after.clone() for _ in chosen]
    for mask, (s, r) in zip(masks, chosen, strict=True):
        mask[s, r] = False
    more, less = (
        run_circuits(wired, batch, masks, replaced(wired, clean, own, part_of(own, other, share)), readout, prune=False)
        for share in (STEP, -STEP)
    )
    slope = (more["logit_diff"] - less["logit_diff"]).T / (2 * STEP)
    estimated = torch.stack([found[:, s, r] for s, r in chosen], 1)
    assert torch.allclose(estimated, slope, atol=5e-3 * float(found.abs().max()), rtol=0.03)


@pytest.mark.parametrize("kind", SEPARABLE)
def test_integrated_edges_of_the_embeddings_add_up_to_the_whole_change(kind: str) -> None:
    """All that differs between the two runs follows from the embeddings, and their edges are all ways out of them."""
    subject, batch = tiny_subject(kind), batch_of(ROWS)
    wired, readout = wiring(subject), PairReadout(batch)
    parts = ("resid_pre", "z", "attn_out", "mlp_out")
    clean, twin = engine.read(subject, batch, parts), engine.read(subject, batch_of(OTHERS), parts)
    own, other = (written_in(subject, run, wired.writings) for run in (clean, twin))
    masks = [wired.graph.after, torch.zeros_like(wired.graph.after)]
    ends = run_circuits(wired, batch, masks, replaced(wired, clean, own, other), readout)["logit_diff"]
    found = edge_attribution(wired, batch, own, other, readout, "logit_diff", steps=48)
    change = ends[1] - ends[0]
    assert torch.allclose(found[:, 0].sum(-1), change, atol=0.02 * float(change.abs().max()))
