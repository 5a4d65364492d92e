"""The ledger: how many comparisons were made, and which effects remain after correction for all of them.

A writer cites the effects that they like, out of many. So q of an effect in a report corrects for every comparison of
the run, in all its experiments, mentioned or not (Benjamini and Hochberg 1995). The comparisons in the whole tracker
are counted by family: the same subject, task and kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...db.records import Experiment

# An effect: its experiment, its site and its metric.
Key = tuple[str, str, str]


def corrected(experiments: Iterable[Experiment]) -> dict[Key, float]:
    """q of each effect with a p, over all effects of these experiments together."""
    found = [
        ((row.id, effect.site, effect.metric), float(effect.p))
        for row in experiments
        if row.status == "done"
        for effect in row.effects
        if effect.p is not None
    ]
    return dict(zip([key for key, _ in found], false_discovery([p for _, p in found]), strict=True))


def false_discovery(p: Sequence[float]) -> list[float]:
    """q of each p, as scipy computes it. Importing scipy would take longer than writing a report."""
    order = sorted(range(len(p)), key=lambda i: -p[i])
    found, least = [1.0] * len(p), 1.0
    for place, i in enumerate(order):
        least = min(least, p[i] * len(p) / (len(p) - place))
        found[i] = least
    return found
