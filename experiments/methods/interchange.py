"""Interchange interventions: a site of the base gets the donor's value, and the answer is compared with the one that a
causal model gives (Geiger et al. 2021, arXiv 2106.02997).

The whole value is interchanged, or only its part in a subspace: with an orthonormal R [d_model, k], the new value is
base + (donor - base) R R^T (distributed alignment search, arXiv 2303.02536).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import engine
from ..interventions import Intervention
from ..lab import INTACT, Lab, numbers
from ..result import Effect
from ..statistics.intervals import Array, share
from ..tasks.batch import Batch, make_batch
from ..tasks.interchange_pairs import Pairs, Runs
from .controls import Compared, compare
from .patching import Place

if TYPE_CHECKING:
    from ..engine import Source
    from ..engine.activations import Activations
    from ..model.subject import Subject
    from ..sites import Part

DONOR = "donor"


@dataclass
class ChoiceReadout:
    """For each prompt, `lead` (by how much its answer's logit exceeds the other answer's where they first differ) and
    `said` (1 if each token of the answer is the likeliest after those before it, so greedy decoding says it)."""

    batch: Batch
    at: Tensor | None = None
    tokens: Tensor | None = None
    every_column: bool = False

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        targets = self.batch.targets[prompts]
        right = (logits.argmax(-1) == targets) | (targets < 0)
        rows = torch.arange(len(prompts), device=logits.device)
        pair = logits[rows, self.batch.answer_at[prompts]].float().gather(-1, self.batch.pair[prompts])
        return {"lead": pair[:, 0] - pair[:, 1], "said": right.all(-1).float()}


@dataclass(frozen=True)
class Within:
    """What base has outside a subspace, and donor within it. `bases` has R [d_model, k] by (layer, part)."""

    base: Activations
    donor: Source
    bases: dict[tuple[int, str], Tensor]

    def at(self, layer: int, part: Part) -> Tensor:
        own, lent = self.base.at(layer, part), self.donor.at(layer, part)
        R = self.bases[layer, part].to(own)
        return own + (lent - own) @ R @ R.T


@dataclass(frozen=True)
class Chosen:
    """lead and said [1 + place, n], the intact model first, and the run itself."""

    run: Compared

    @property
    def prefers(self) -> Array:
        """Whether the answer is preferred to the other one, [1 + place, n] of 0 and 1."""
        return (self.run.values("lead") > 0).astype(float)

    @property
    def said(self) -> Array:
        return self.run.values("said")


def interchanged(lab: Lab, doing: str, runs: Runs, places: Sequence[Place], subject: Subject | None = None) -> Chosen:
    """Each place with the donor's whole value."""
    parts: set[Part] = {place.site.part for place in places}
    clean = engine.read(subject or lab.subject, runs.donor, parts, {place.site.layer for place in places})
    source = engine.patch_source(clean, runs.base, runs.donor)
    patches: list[Intervention] = [place.patch(DONOR) for place in places]
    return Chosen(compare(lab, doing, runs.base, patches, ChoiceReadout(runs.base), {DONOR: source}, subject))


def shares(places: Sequence[Place], metric: str, values: Array, asked: Sequence[str]) -> tuple[Effect, ...]:
    """values [place, n] of 0 and 1 -> the share of each place, with Wilson's interval over the questions."""
    found = [share(str(place), row, asked) for place, row in zip(places, values, strict=True)]
    return tuple(
        Effect(site=m.name, metric=metric, value=m.value, low=m.low or 0.0, high=1.0 if m.high is None else m.high,
               n=values.shape[-1])
        for m in found
    )  # fmt: skip


def own_answers(lab: Lab, found: Pairs) -> Array:
    """Whether greedy decoding says each base's own answer, [n] of 0 and 1."""
    batch = make_batch(lab.subject.tokenizer, [pair.base for pair in found.pairs], lab.subject.device)
    return numbers(lab.run("own answers", batch, [INTACT], ChoiceReadout(batch))["said"][0])
