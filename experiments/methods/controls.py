"""The controls that come with every experiment: an edit that changes nothing, and as much edited at random places.

Whoever runs interventions does it by `compare`, which runs the identity with them: the same sites, edited by the same
machinery, multiplied by 1. Where that changes anything, the machinery is broken and the result says so first.
Matched random places show what an edit of that size does elsewhere; `control_pool` says where they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..interventions import Edit, Intervention, show_layers
from ..metrics import metrics, unit_of
from ..notes import note
from ..result import Effect, Measurement, Note
from ..sites import Part, Site, sites_of
from ..statistics.excess import excess_interval
from ..statistics.intervals import Array, measurement, share
from ..statistics.p_values import p_text
from ..statistics.random_sets import can_show
from .control_pool import Pool
from .control_programs import changed

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine import Readout, Source
    from ..lab import Lab
    from ..model.subject import Subject
    from ..tasks.batch import Batch

# Float32 logits are off by some 1e-5 when they are computed in another order; ten times the effect of nothing is no 0.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Compared:
    """Scores by name: of the intact model and then of each intervention [1 + intervention, n], and under the identity
    [n]."""

    scores: dict[str, Tensor]
    unchanged: dict[str, Tensor]

    def values(self, metric: str) -> Array:
        """[1 + intervention, n], the intact model first."""
        return self.scores[metric].double().cpu().numpy()

    def identity(self, metric: str) -> Measurement:
        """The largest change, of any prompt, by an edit that changes nothing."""
        change = (self.unchanged[metric] - self.scores[metric][0]).abs()
        return Measurement(name="identity", value=float(change.max()), n=len(change),
                           unit=unit_of(metric))  # fmt: skip

    def failed(self, metric: str) -> tuple[Note, ...]:
        """The note that a result begins with where the identity did not hold; nothing else."""
        found = self.identity(metric).value
        return () if found <= TOLERANCE else (note("identity_failed", metric=metric, off=found),)


def compare(
    lab: Lab,
    doing: str,
    batch: Batch,
    interventions: Sequence[Intervention],
    readout: Readout,
    sources: Mapping[str, Source] | None = None,
    subject: Subject | None = None,
    narrowed: str | None = None,
) -> Compared:
    """`lab.run` of the interventions, of the intact model and of the identity. Costs one run of the batch more."""
    from ..lab import INTACT

    same = identity(interventions[0], lab.subject.anatomy.n_layers)
    scores = lab.run(doing, batch, [INTACT, *interventions, same], readout, sources, subject, narrowed)
    return Compared({name: s[:-1] for name, s in scores.items()}, {name: s[-1] for name, s in scores.items()})


def identity(intervention: Intervention, n_layers: int) -> Intervention:
    """What it edits, multiplied by 1; instead of its program all layers, each of them run anew.

    Nothing in it lets the engine see that it is the intact model, which it would not have to run.
    """
    edits = [Edit(site=e.site, op="scale", positions=e.positions) for e in intervention.edits]
    if intervention.program is None:
        return Intervention(name="identity", edits=tuple(edits))
    first = Edit(site=Site(layer=0, part="resid_pre"), op="scale")
    return Intervention(name="identity", edits=(first, *edits), program=tuple(range(n_layers)))


def every(part: Part, sizes: Mapping[str, int]) -> list[Site]:
    """All places of a part that there are, layer by layer."""
    return sites_of(part, sizes)


def all_heads(sizes: Mapping[str, int]) -> list[Site]:
    return every("z", sizes)


def of_layers(pool: Pool, controls: Sequence[Intervention], n_layers: int) -> str:
    """Which layers the controls of a matched pool edit, to follow what they are: " of layers 2-9, 14-28"."""
    if pool == "anywhere" or not controls:
        return ""
    layers = {edit.site.layer for one in controls for edit in one.edits}
    for one in controls:
        if one.program is not None:
            layers |= set(range(n_layers)) - set(one.program) or set(changed(one.program, n_layers))
    return f" of layer{'s' * (len(layers) != 1)} {show_layers(tuple(sorted(layers)))}"


# --- what they show ------------------------------------------------------------------------------------------


def control_measurements(
    metric: str, change: Array, controls: Array, questions: Sequence[str] | None = None
) -> list[Measurement]:
    """change [n] of what was edited and controls [set, n] of random sets -> the mean change of the sets, the largest
    one, and the share that changed less (in these n counts the sets), and what says whether it is beyond them.

    control_rank  its place among itself and the sets by damage, 1 for the worst; a set that does as much is before it
    control_p     control_rank over how many there are: how often one of so many, drawn at random, has such a place
    excess        the damage beyond the mean of the sets; positive is worse, whatever the metric; its interval counts
                  the draw of the prompts and that of the sets
    """
    if not len(controls):
        return []
    unit, means, worse = unit_of(metric), controls.mean(-1), metrics()[metric].worse
    weaker = share("percentile", (abs(means) < abs(change.mean())).astype(float))
    assert weaker.low is not None
    assert weaker.high is not None
    rank = 1 + int((worse * means >= worse * change.mean()).sum())
    excess, low, high = excess_interval(worse * change, worse * controls, questions)
    return [
        measurement("control_change", means, unit),
        Measurement(name="control_largest", value=float(max(means, key=abs)), n=len(means), unit=unit),
        Measurement(name="percentile", value=weaker.value * 100, low=weaker.low * 100, high=weaker.high * 100,
                    n=len(means), unit="%"),
        Measurement(name="control_rank", value=rank, n=len(means) + 1),
        Measurement(name="control_p", value=rank / (len(means) + 1), n=len(means)),
        Measurement(name="excess", value=excess, low=low, high=high, n=len(change), unit=unit),
    ]  # fmt: skip


def control_summary(matched: Sequence[Measurement], what: str) -> str:
    """`control_measurements` in words, to follow what was found."""
    rank = next((m for m in matched if m.name == "control_rank"), None)
    if rank is None or rank.n is None:
        return ""
    few = ", the least that so few can show" if rank.value == 1 and not can_show(rank.n - 1) else ""
    return (
        f" By damage rank {rank.value:.0f} of {rank.n} with {rank.n - 1} {what} (p {p_text(rank.value / rank.n)}{few})."
    )


def unmatched(matched: Sequence[Measurement]) -> tuple[Note, ...]:
    """The note of a result that has nothing to be compared with; nothing else."""
    return () if matched else (note("no_matched_control"),)


def among(found: Sequence[Effect], others: Sequence[float] = ()) -> tuple[Effect, ...]:
    """Each effect with its percentile among all the others and the mean changes `others` of more places."""
    sizes = np.abs([*(e.value for e in found), *others])
    if len(sizes) < 2:
        return tuple(found)
    weaker = (sizes[None] < sizes[: len(found), None]).sum(-1) / (len(sizes) - 1)
    return tuple(e.model_copy(update={"percentile": 100 * float(w)}) for e, w in zip(found, weaker, strict=True))


def per_prompt(
    scores: Mapping[str, Array], questions: Sequence[str], controls: Array | None = None
) -> dict[str, np.ndarray]:
    """What an experiment keeps beside its rows, for its artifacts: everything prompt by prompt.

    scores     by metric [1 + site, n], the intact model first and then as its effects are ordered
    questions  [n], the number of the question that each prompt asks; the same number for the same question
    controls   [set, n], the metric under each random control
    """
    numbered = {name: i for i, name in enumerate(dict.fromkeys(questions))}
    kept = {name: np.asarray(values, dtype=np.float32) for name, values in scores.items()}
    if controls is not None and len(controls):
        kept["controls"] = controls.astype(np.float32)
    return {**kept, "questions": np.array([numbered[name] for name in questions], dtype=np.int32)}
