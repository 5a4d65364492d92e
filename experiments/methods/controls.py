"""The controls of every experiment: an edit that changes nothing, and edits of the same size at random sites.

Every kind runs its interventions with `compare`, which adds the identity: the same sites, edited by the same code,
multiplied by 1. If that changes anything, the code is broken, and the result says so first. Matched random sites show
what an edit of that size does elsewhere; `control_pool` says where they are drawn.
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
from .question_keys import KEYS, hashed

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine import Readout, Source
    from ..lab import Lab
    from ..model.subject import Subject
    from ..tasks.batch import Batch

# Float32 logits differ by about 1e-5 when computed in another order; ten times that is a failure.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Compared:
    """Scores by name: of the intact model and then of each intervention [1 + intervention, n], and under the identity
    [n]."""

    scores: dict[str, Tensor]
    unchanged: dict[str, Tensor]

    def values(self, metric: str) -> Array:
        """[1 + intervention, n], intact model first."""
        return self.scores[metric].double().cpu().numpy()

    def identity(self, metric: str) -> Measurement:
        """The largest change on any prompt by the identity edit."""
        change = (self.unchanged[metric] - self.scores[metric][0]).abs()
        return Measurement(name="identity", value=float(change.max()), n=len(change),
                           unit=unit_of(metric))  # fmt: skip

    def failed(self, metric: str) -> tuple[Note, ...]:
        """The first note of a result whose identity control failed; otherwise none."""
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
    """`lab.run` of the intact model, the interventions and the identity. Costs one more run of the batch."""
    from ..lab import INTACT

    same = identity(interventions[0], lab.subject.anatomy.n_layers)
    scores = lab.run(doing, batch, [INTACT, *interventions, same], readout, sources, subject, narrowed)
    return Compared({name: s[:-1] for name, s in scores.items()}, {name: s[-1] for name, s in scores.items()})


def identity(intervention: Intervention, n_layers: int) -> Intervention:
    """The same edits, multiplied by 1; instead of a program, all layers, each of them run again.

    The engine cannot recognise it as the intact model, so it really runs.
    """
    edits = [Edit(site=e.site, op="scale", positions=e.positions) for e in intervention.edits]
    if intervention.program is None:
        return Intervention(name="identity", edits=tuple(edits))
    first = Edit(site=Site(layer=0, part="resid_pre"), op="scale")
    return Intervention(name="identity", edits=(first, *edits), program=tuple(range(n_layers)))


def every(part: Part, sizes: Mapping[str, int]) -> list[Site]:
    """All sites of a part, layer by layer."""
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
    """change [n] of the edit and controls [set, n] of random sets -> the mean change of the sets, the largest one, and
    the share that changed less (for these n counts the sets), and the measures of whether the edit is beyond them.

    control_rank  its rank by damage among itself and the sets, 1 for the worst; a set with equal damage ranks before it
    control_p     control_rank divided by their number: the probability of such a rank under a random draw
    excess        the damage beyond the mean of the sets; positive is worse, whatever the metric; its interval includes
                  the draw of the prompts and of the sets
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
    """`control_measurements` as a sentence that follows the result."""
    rank = next((m for m in matched if m.name == "control_rank"), None)
    if rank is None or rank.n is None:
        return ""
    few = ", the smallest that so few can give" if rank.value == 1 and not can_show(rank.n - 1) else ""
    rest = rank.n - 1
    if rest == 1:
        for several, single in (("sets", "set"), ("places", "place"), ("programs that do", "program that does")):
            what = what.replace(several, single, 1)
    return (
        f" It ranks {rank.value:.0f} of {rank.n} by damage, with {rest} {what} (p {p_text(rank.value / rank.n)}{few})."
    )


def unmatched(matched: Sequence[Measurement]) -> tuple[Note, ...]:
    """The note for a result without matched controls; otherwise none."""
    return () if matched else (note("no_matched_control"),)


def among(found: Sequence[Effect], others: Sequence[float] = ()) -> tuple[Effect, ...]:
    """Each effect with its percentile among all the others and `others`, the mean changes at more sites."""
    sizes = np.abs([*(e.value for e in found), *others])
    if len(sizes) < 2:
        return tuple(found)
    weaker = (sizes[None] < sizes[: len(found), None]).sum(-1) / (len(sizes) - 1)
    return tuple(e.model_copy(update={"percentile": 100 * float(w)}) for e, w in zip(found, weaker, strict=True))


def per_prompt(
    scores: Mapping[str, Array], questions: Sequence[str], controls: Array | None = None
) -> dict[str, np.ndarray]:
    """The values by prompt, which an experiment keeps as artifacts.

    scores     by metric [1 + site, n], the intact model first and then as its effects are ordered
    questions  [n], the key of each prompt's question; kept as numbers within this experiment, and as hashes
    controls   [set, n], the metric under each random control
    """
    numbered = {name: i for i, name in enumerate(dict.fromkeys(questions))}
    kept = {name: np.asarray(values, dtype=np.float32) for name, values in scores.items()}
    if controls is not None and len(controls):
        kept["controls"] = controls.astype(np.float32)
    numbers = np.array([numbered[name] for name in questions], dtype=np.int32)
    return {**kept, "questions": numbers, KEYS: hashed(questions)}
