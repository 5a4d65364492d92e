"""The scores from which `component_roles` names what each part of a circuit does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import engine
from ..engine.graph import components
from ..interventions import Edit, Intervention
from ..lab import numbers
from ..result import Effect
from ..sites import Site
from ..statistics.intervals import effects, share
from .answer_directions import answer_directions
from .circuits import mean_written
from .component_inputs import joints_of
from .component_places import places_of
from .component_roles import Compared, Evidence, bound_of, roles_of
from .controls import all_heads, compare
from .detectors import copied

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine import Source
    from ..sites import Part
    from ..statistics.intervals import Array
    from .circuits import Prepared

REMOVALS = ("zero", "mean", "corrupted")
# Named parts and others, each with what a removal of it changes [n].
Changes = dict[Site, "Array"]


@dataclass(frozen=True)
class Midway:
    """Half of the way from one source to another."""

    one: Source
    other: Source

    def at(self, layer: int, part: Part) -> Tensor:
        return (self.one.at(layer, part) + self.other.at(layer, part)) / 2


def evidence_of(
    made: Prepared, parts: Sequence[Site], controls: int, steps: int, seed: str, texts: int
) -> tuple[list[Evidence], Array]:
    """The scores of each part, and the metric under each removal of them, [removal * part, n].

    controls  the most other heads, and the most other MLPs, to compare with
    texts     how many random texts of each length
    """
    heads = [part for part in parts if part.part == "z"]
    removed, halves, values = removals(made, parts, others_than(made, parts, controls, seed))
    direct = direct_shares(made, parts)
    places = dict(zip(heads, places_of(made, heads, steps, seed, texts), strict=True)) if heads else {}
    moved = copying(made, heads, seed) if heads else {}
    found = {p: Evidence(removed[p], direct[p], places.get(p), *moved.get(p, (None, None))) for p in parts}
    # What two inputs do together takes by far the most time, and of a head it decides only if nothing else does.
    undecided = {part: halves[part] for part, each in found.items() if asks_for_inputs(each)}
    joints = joints_of(with_means(made), undecided, steps) if undecided else {}
    return [replace(each, joint=joints.get(part)) for part, each in found.items()], values


def asks_for_inputs(evidence: Evidence) -> bool:
    """Whether what two inputs do together can change the part's roles."""
    role, is_mlp = roles_of(evidence)[0], evidence.place is None
    open_to_it = role == "unclear" or (is_mlp and role in ("suppresses", "writes_answer"))
    return open_to_it and any(one.beyond for one in (evidence.direct, *evidence.removed.values()))


def with_means(made: Prepared) -> Prepared:
    """The same with means in place of the corrupted prompts: what the parts write on other prompts of the task.

    Not on corrupted ones: where only two answers are possible, those of other answers have the prompt's own.
    """
    other = mean_written(made.lab, made.pair, made.wired, made.clean)
    return replace(made, other=other, between=engine.replaced(made.wired, made.clean, made.own, other))


def others_than(made: Prepared, parts: Sequence[Site], most: int, seed: str) -> list[Site]:
    """The control parts: up to `most` other heads and as many other MLPs, drawn at random."""
    rng, found = random.Random(seed), list[Site]()
    for kind in ("z", "mlp_out"):
        rest = [c for c in components(made.lab.subject.anatomy) if c.part == kind and c not in parts]
        if any(part.part == kind for part in parts):
            found += rng.sample(rest, min(most, len(rest)))
    return found


def like(other: Site, part: Site) -> bool:
    """Whether a part's scores are compared with the other's: both are heads, or both MLPs."""
    return other.part == part.part and other != part


def sources_of(made: Prepared) -> dict[str, Source]:
    """What replaces a part's output: its value on the corrupted prompt, its mean over other prompts, and half of the
    way to the mean."""
    subject, pair = made.lab.subject, made.pair
    other = engine.read(subject, pair.corrupted, ("z", "mlp_out"))
    mean = engine.mean_source(made.clean, pair.clean)
    return {
        "mean": mean,
        "corrupted": engine.patch_source(other, pair.clean, pair.corrupted),
        "half": Midway(engine.patch_source(made.clean, pair.clean, pair.clean), mean),
    }


def removals(
    made: Prepared, parts: Sequence[Site], others: Sequence[Site]
) -> tuple[dict[Site, dict[str, Compared]], Changes, Array]:
    """By part and removal, the share of the difference that is lost; by part, the change by half of its replacement by
    the mean and by all of it [2, n]; and the metric under the removals of the parts [removal * part, n]."""
    every = [*parts, *others]
    ways = [(part, by) for by in REMOVALS for part in every] + [(part, "half") for part in parts]
    run = compare(made.lab, "removals of the parts and of others", made.pair.clean, [removal(*way) for way in ways],
                  made.readout, sources_of(made))  # fmt: skip
    values = run.values(made.metric)[1:]
    changes = dict(zip(ways, values - made.scale.clean, strict=True))
    named = [(part, by) for by in REMOVALS for part in parts]
    tested = made.scale.effects([str(part) for part, _ in named], np.stack([changes[way] for way in named]))
    removed: dict[Site, dict[str, Compared]] = {part: {} for part in parts}
    for (part, by), effect in zip(named, tested, strict=True):
        beside = [float(made.scale.mean(changes[one, by])) for one in every if like(one, part)]
        removed[part][by] = Compared(effect.model_copy(update={"metric": by}), bound_of(beside))
    halves = {part: np.stack([changes[part, "half"], changes[part, "mean"]]) for part in parts}
    at = {way: i for i, way in enumerate(ways)}
    return removed, halves, values[[at[way] for way in named]]


def removal(part: Site, by: str) -> Intervention:
    edit = Edit(site=part) if by == "zero" else Edit(site=part, op="replace", source=by)
    return Intervention(name=f"{part} {by}", edits=(edit,))


def direct_shares(made: Prepared, parts: Sequence[Site]) -> dict[Site, Compared]:
    """By part, what it adds directly to the logit of the answer minus the corrupted prompt's."""
    batch = made.pair.clean
    own = answer_directions(made.lab.subject, batch, others=False)
    added = engine.direct(made.lab.subject, batch, own.vectors[:, None])
    shares = dict(zip(added.sites, numbers(added.values[..., 0]), strict=True))
    tested = effects(list(map(str, parts)), "direct", np.stack([shares[part] for part in parts]), made.pair.asked)
    return {
        part: Compared(effect, bound_of([float(rows.mean()) for site, rows in shares.items() if like(site, part)]))
        for part, effect in zip(parts, tested, strict=True)
    }  # fmt: skip


def copying(made: Prepared, heads: Sequence[Site], seed: str) -> dict[Site, tuple[Compared, Compared]]:
    """By head, the share of random tokens that it raises above all others when it attends to them, and the share that
    it lowers below all others."""
    subject = made.lab.subject
    scores = {name: numbers(rows) for name, rows in copied(subject, seed).items()}
    sites = all_heads(subject.sizes)

    def compared(name: str, head: Site) -> Compared:
        rows = dict(zip(sites, scores[name], strict=True))
        s = share(name, rows[head])
        bound = bound_of([float(row.mean()) for site, row in rows.items() if site != head])
        effect = Effect(site=str(head), metric=name, value=s.value, low=s.low or 0.0, high=s.high or 0.0,
                        n=len(rows[head]))  # fmt: skip
        return Compared(effect, max(bound, 1 / len(rows[head])))

    return {head: (compared("copying", head), compared("copy_suppression", head)) for head in heads}
