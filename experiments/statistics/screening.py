"""Screen many sites quickly, measure a few exactly, and find out how far to trust the screen.

The method depends on what is faster: bf16 by a measurement on this machine (`processor`), narrowed runs by the layers
that they save. If neither is faster, all sites are measured.

In addition to the strongest sites of a screen, some random others are measured: they show what the screen misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from .. import engine
from ..engine.cost import runs_of
from ..metrics import metrics
from ..model.low_precision import rounded
from ..model.processor import speeds
from ..model.subject import Subject
from ..result import Measurement
from ..tasks.batch import Batch
from .intervals import Array

OTHERS = 8
TOP = 10


@dataclass(frozen=True)
class Look:
    """A quick look: through which subject (a rounded twin, or the subject itself), the metric by whose slopes its runs
    are narrowed (None: they are not), and the same in words."""

    subject: Subject
    narrowed: str | None
    how: str


def look(subject: Subject, batch: Batch, metric: str, layers: Sequence[int]) -> Look | None:
    """The fastest screen of edits in these layers (one each) by this metric; None if measuring is as fast."""
    pays, n_layers = speeds(subject.device).bf16_pays, subject.anatomy.n_layers
    above = [n_layers - layer for layer in layers]
    fewer = runs_of(above, n_layers, narrowed=True) < runs_of(above, n_layers)
    seen = rounded(subject) if pays else subject
    narrowed = metric if fewer and metrics()[metric].has_slope and engine.narrowable(seen, batch) else None
    if narrowed is None and not pays:
        return None
    how = "in bf16" if pays else "in fp32 (this processor is not faster in bf16)"
    return Look(seen, narrowed, how if narrowed is None else f"{how} and partly to first order")


def chosen(guesses: Array, strongest: int, seed: int) -> list[int]:
    """guesses [site, n] -> the sites to measure: the strongest on average, strongest first, then random others."""
    ranked = np.argsort(-np.abs(guesses.mean(-1)), kind="stable").tolist()
    rest = ranked[strongest:]
    drawn = np.random.default_rng(seed).choice(len(rest), min(OTHERS, len(rest)), replace=False)
    return ranked[:strongest] + [rest[i] for i in sorted(drawn)]


def agreement(guesses: Array, exact: Array, strongest: int) -> tuple[Measurement, ...]:
    """guesses and exact [site, n] of the measured sites, in the order of `chosen` -> how well they agree.

    screen_agreement  Spearman's correlation of the mean changes
    screen_missed     how many of the random others are among the ten strongest (fewer if fewer were chosen)
    """
    top = np.argsort(-np.abs(exact.mean(-1)), kind="stable")[: min(TOP, strongest)]
    missed = Measurement(name="screen_missed", value=int((top >= strongest).sum()), n=len(exact) - strongest)
    ranks = [rankdata(changes.mean(-1)) for changes in (guesses, exact)]
    if any(np.ptp(r) == 0 for r in ranks):
        return (missed,)
    together = float(np.corrcoef(*ranks)[0, 1])
    return (Measurement(name="screen_agreement", value=together, n=len(exact)), missed)


def summary(how: str, measurements: tuple[Measurement, ...], strongest: int) -> str:
    """`agreement` as a sentence that follows the result."""
    agreed = {m.name: m for m in measurements}
    missed = agreed["screen_missed"]
    text = (
        f" All were screened {how}; the {strongest} strongest and {missed.n} random others were measured in fp32, and "
        f"{missed.value:.0f} of these others belong{'s' * (missed.value == 1)} among the "
        f"{min(TOP, strongest)} strongest"
    )
    if "screen_agreement" in agreed:
        text += f" (rank correlation of screen and measurement {agreed['screen_agreement'].value:.2f})"
    return text + ". The rest count as not significant."
