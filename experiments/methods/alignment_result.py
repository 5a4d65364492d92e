"""What subspaces of the stream show at each place: trained ones, and next to them random ones, ones trained on shuffled
labels, and ones of a model with shuffled weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..errors import BadConfiguration
from ..lab import Lab
from ..model.shuffled_weights import permuted
from ..result import Effect
from ..statistics.intervals import Array, effects, untested
from ..statistics.strongest import clear
from ..tasks.causal_model import CausalModel
from ..tasks.interchange_pairs import Pairs, Runs, interchange_pairs, runs_of, shuffled_labels
from .alignment_search import RANDOM, Training, random_ones, trained, within
from .interchange import shares
from .patching import Place

if TYPE_CHECKING:
    from ..model.subject import Subject

# Subspaces to train in one experiment, without the controls.
MOST = 64


@dataclass
class Aligned:
    """effects; arrays: the trained subspaces by rank, [place, d_model, rank]; said: sentences; n: training pairs."""

    n: int
    effects: list[Effect] = field(default_factory=list[Effect])
    arrays: dict[str, Array] = field(default_factory=dict[str, Array])
    said: str = ""


def aligned(
    lab: Lab, model: CausalModel, found: Pairs, runs: Runs, places: Sequence[Place], ranks: Sequence[int], pairs: int,
    training: Training, shuffled_weights: bool,
) -> Aligned:  # fmt: skip
    """Trains on `pairs` pairs of other questions than those of `found`, and measures on `runs`.

    Raises BadConfiguration if there are fewer, or too many subspaces to train."""
    if len(places) * len(ranks) > MOST:
        raise BadConfiguration(
            f"{len(ranks)} ranks at {len(places)} sites and positions are {len(places) * len(ranks)} subspaces to "
            f"train, more than {MOST}. Name fewer sites, layers, positions or ranks."
        )
    others = interchange_pairs(lab, model, pairs, "explore", training.seed, found.questions, "pairs")
    labelled = runs_of(lab, others.pairs)
    shuffled = runs_of(lab, shuffled_labels(lab, model, others.pairs, training.seed))
    copy = permuted(lab.subject, training.seed) if shuffled_weights else None
    names, asked, d_model = [str(place) for place in places], found.asked, lab.subject.sizes["d_model"]
    made, per = Aligned(n=len(others.pairs)), 2 + shuffled_weights
    total, done = len(places) * len(ranks) * per, 0

    def search(of: Runs, rank: int, subject: Subject) -> dict[str, tuple[Place, Tensor]]:
        nonlocal done
        searched: dict[str, tuple[Place, Tensor]] = {}
        for place in places:
            searched[f"{place} {rank}"] = place, trained(subject, of, place, rank, training)
            done += 1
            lab.progress("subspaces trained", done, total)
        return searched

    for rank in ranks:
        best, wrong = search(labelled, rank, lab.subject), search(shuffled, rank, lab.subject)
        random = random_ones(places, d_model, rank, training.seed)
        named = {**best, **{f"labels {name}": one for name, one in wrong.items()}, **random}
        chosen = within(lab, f"rank {rank}", runs, named)
        prefers, count = chosen.prefers[1:], len(places)
        own, labels = prefers[:count], prefers[count : 2 * count]
        drawn = prefers[2 * count :].reshape(count, RANDOM, -1).mean(1)
        made.effects += shares(places, f"rank_{rank}", own, asked)
        made.effects += shares(places, f"said_{rank}", chosen.said[1 : 1 + count], asked)
        made.effects += untested(names, f"random_{rank}", drawn, asked, (0.0, 1.0))
        made.effects += shares(places, f"labels_{rank}", labels, asked)
        weights: Array | None = None
        if copy is not None:
            there = search(labelled, rank, copy)
            weights = within(lab, f"rank {rank}, shuffled weights", runs, there, copy).prefers[1:]
            made.effects += shares(places, f"weights_{rank}", weights, asked)
        above = [effects(names, f"above_{name}_{rank}", own - beside, asked)
                 for name, beside in (("random", drawn), ("labels", labels), ("weights", weights))
                 if beside is not None]  # fmt: skip
        made.effects += [e for each in above for e in each]
        at = int(own.mean(-1).argmax())
        better = all(clear(each[at]) and each[at].value > 0 for each in above)
        made.said += f" Rank {rank}: best at {names[at]}, {own[at].mean():.2f} (says it "
        made.said += f"{chosen.said[1 + at].mean():.2f}, random subspaces {drawn[at].mean():.2f}, "
        made.said += f"trained on shuffled labels {labels[at].mean():.2f}"
        made.said += f", shuffled weights {weights[at].mean():.2f}" if weights is not None else ""
        made.said += "), above each control (q < 0.05)." if better else "), not shown to be above each control."
        made.arrays[f"subspaces_{rank}"] = np.stack([R.cpu().numpy() for _, R in best.values()])
    return made
