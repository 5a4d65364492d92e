"""Distributed alignment search (Geiger et al. 2023, arXiv 2303.02536): a subspace of the stream that holds a variable.

An orthonormal R [d_model, k] is trained by gradients so that an interchange within its span gives the counterfactual
answer. Training can find a subspace that works without any variable being there (arXiv 2311.17030), so it is always
compared with random subspaces, with training on shuffled labels, and with a model whose weights are shuffled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import engine
from ..engine.edits import columns_of
from ..interventions import Edit, Intervention
from ..lab import Lab
from ..tasks.batch import Batch
from ..tasks.interchange_pairs import Runs
from .controls import compare
from .interchange import ChoiceReadout, Chosen, Within
from .patching import Place

if TYPE_CHECKING:
    from ..engine import Source
    from ..model.subject import Subject
    from ..sites import Part

# Pairs for one training step.
STEP_PAIRS = 16
# Random subspaces for each place and rank.
RANDOM = 4


@dataclass(frozen=True)
class Training:
    """How long, how fast (Adam; the rate falls to 0), and the seed of start and order."""

    steps: int
    rate: float
    seed: int


def entry_of(place: Place) -> int:
    """The layer before which a stream site is; n_layers is behind the last."""
    return place.site.layer + (place.site.part == "resid_post")


def trained(subject: Subject, runs: Runs, place: Place, rank: int, training: Training) -> Tensor:
    """The subspace of a stream site, [d_model, rank], trained on these pairs; the same for the same seed."""
    base, entry = runs.base, entry_of(place)
    chosen = columns_of(base, place.positions)
    first = int(chosen.any(0).nonzero()[0])
    start = engine.from_layer(subject, base, entry, first)
    lent = engine.read(subject, runs.donor, {place.site.part}, {place.site.layer})
    donor = engine.patch_source(lent, base, runs.donor).at(place.site.layer, place.site.part).clone()
    own = start.stream
    change = (donor[:, start.first :].to(own) - own) * chosen[:, start.first :, None].to(own)
    generator = torch.Generator().manual_seed(training.seed)
    weights = random_subspace(own.shape[-1], rank, generator).to(own.device).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=training.rate)
    slower = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / training.steps)
    order: list[int] = []
    with torch.enable_grad():
        for _ in range(training.steps):
            if len(order) < min(STEP_PAIRS, len(base)):
                order = torch.randperm(len(base), generator=generator).tolist()
            rows, order = torch.tensor(order[:STEP_PAIRS], device=own.device), order[STEP_PAIRS:]
            R = torch.linalg.qr(weights)[0]
            logits = start.logits(own[rows] + (change[rows] @ R) @ R.T, rows)
            optimizer.zero_grad()
            loss_of(base, logits, rows).backward()
            optimizer.step()
            slower.step()
    return torch.linalg.qr(weights.detach())[0]


def loss_of(batch: Batch, logits: Tensor, rows: Tensor) -> Tensor:
    """The mean over prompts of the mean negative log-likelihood of the answer's tokens."""
    targets = batch.targets[rows].to(logits.device)
    there = targets >= 0
    picked = logits.float().log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return -((picked * there).sum(-1) / there.sum(-1)).mean()


def random_subspace(d_model: int, rank: int, generator: torch.Generator) -> Tensor:
    """[d_model, rank], orthonormal."""
    return torch.linalg.qr(torch.randn(d_model, rank, generator=generator))[0]


def within(
    lab: Lab, doing: str, runs: Runs, subspaces: Mapping[str, tuple[Place, Tensor]], subject: Subject | None = None
) -> Chosen:
    """Interchanges within subspaces, in their order."""
    places = [place for place, _ in subspaces.values()]
    parts: set[Part] = {place.site.part for place in places}
    layers = {place.site.layer for place in places}
    own, other = (engine.read(subject or lab.subject, batch, parts, layers) for batch in (runs.base, runs.donor))
    lent = engine.patch_source(other, runs.base, runs.donor)
    sources: dict[str, Source] = {
        name: Within(own, lent, {(place.site.layer, place.site.part): R}) for name, (place, R) in subspaces.items()
    }
    patches = [
        Intervention(name=name, edits=(Edit(site=place.site, op="replace", source=name, positions=place.positions),))
        for name, (place, _) in subspaces.items()
    ]
    return Chosen(compare(lab, doing, runs.base, patches, ChoiceReadout(runs.base), sources, subject))


def random_ones(places: Sequence[Place], d_model: int, rank: int, seed: int) -> dict[str, tuple[Place, Tensor]]:
    """RANDOM random subspaces for each place, place by place."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"random {place} {i}": (place, random_subspace(d_model, rank, generator))
        for place in places
        for i in range(RANDOM)
    }
