"""The metric while more and more parts are removed: in a given order, and in random orders for comparison.

Both curves start at the intact model and end with all parts removed. The area between them shows the value of the
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..answers.scoring import intact
from ..errors import BadConfiguration
from ..metrics import is_distance, metrics, unit_of
from ..result import Figure, Measurement, Note, Result
from ..statistics.intervals import Array, effects, measurement, questions_asked, share
from ..statistics.strongest import clear
from .control_subsets import Elements
from .controls import compare, per_prompt
from .removal import Method, removal, replacements

if TYPE_CHECKING:
    from ..lab import Lab
    from ..tasks.prompt import Split

POINTS = 10
LEVEL = 95.0


@dataclass(frozen=True)
class Curve:
    """The metric with the first `counts` parts of an order removed.

    values  [count, n], the first count is 0: the intact model
    beside  [draw, count, n], the same for random orders
    """

    counts: tuple[int, ...]
    values: Array
    beside: Array
    identity: Measurement
    notes: tuple[Note, ...]


def some_counts(total: int) -> tuple[int, ...]:
    """Counts from 0 to `total`, in at most POINTS steps of about the same size."""
    return tuple(sorted({round(total * i / POINTS) for i in range(POINTS + 1)}))


def search_lab(lab: Lab, draw: tuple[int, Split, int]) -> tuple[Lab, tuple[int, Split, int]]:
    """A lab to find an order on: explore prompts outside the draw, up to n of them.

    Raises BadConfiguration if there are none.
    """
    other, left = lab.without_prompts(*draw), lab.task.capacity("explore") - (draw[0] if draw[1] == "explore" else 0)
    if left < 1:
        raise BadConfiguration(
            f"All {draw[0]} explore prompts of {lab.task.name} are measured, so none is left to find an order on. "
            "Lower n to half."
        )
    return other, (min(draw[0], left), "explore", draw[2])


def damage_alone(lab: Lab, draw: tuple[int, Split, int], elements: Elements, method: Method, metric: str) -> Array:
    """[element]: the mean damage of removing each by itself; positive is worse, whatever the metric."""
    _, batch = lab.prompts(*draw)
    alone = [removal(name, sites, method) for name, sites in elements.items()]
    sources, _ = replacements(lab, draw, method, {s.part for sites in elements.values() for s in sites})
    run = compare(lab, "each by itself", batch, alone, lab.readout(metric, batch), sources)
    values = run.values(metric)
    return metrics()[metric].worse * (values[1:] - values[0]).mean(-1)


def curve(
    lab: Lab,
    draw: tuple[int, Split, int],
    elements: Elements,
    orders: Sequence[Sequence[str]],
    method: Method,
    metric: str,
) -> Curve:
    """The curves of some orders of all elements; the first is the one that counts, the others are random."""
    _, batch = lab.prompts(*draw)
    counts = some_counts(len(elements))
    # With nothing or everything removed, all orders are equal.
    inner = counts[1:-1]
    tried = [removal("all", [s for sites in elements.values() for s in sites], method)]
    tried += [
        removal(f"{count} of order {i}", [s for name in one[:count] for s in elements[name]], method)
        for i, one in enumerate(orders)
        for count in inner
    ]
    sources, notes = replacements(lab, draw, method, {s.part for sites in elements.values() for s in sites})
    run = compare(lab, "pruning curves", batch, tried, lab.readout(metric, batch), sources)
    values = run.values(metric)
    ends, between = values[:2], values[2:].reshape(len(orders), len(inner), values.shape[-1])
    whole = np.stack([np.concatenate([ends[:1], one, ends[1:]]) for one in between])
    return Curve(counts, whole[0], whole[1:], run.identity(metric), (*run.failed(metric), *notes))


def curve_result(
    lab: Lab, found: Curve, draw: tuple[int, Split, int], metric: str, what: str, first: str, method: Method
) -> Result:
    """A curve as a result: an effect for each count, and how much less damage the order does than a random one.

    first  what the order removes first, such as "weakest"
    """
    prompts, _ = lab.prompts(*draw)
    asked = [p.key for p in prompts]
    total, means = found.counts[-1], found.beside.mean(-1)
    names = [f"{first} {count} of {total}" for count in found.counts[1:]]
    rows = effects(names, metric, found.values[1:] - found.values[0], asked)
    if len(means):
        weaker = np.abs(means - means[:, :1]) < np.abs(found.values.mean(-1) - found.values[0].mean())
        beside = [100 * float(share) for share in weaker.mean(0)[1:]]
        rows = tuple(e.model_copy(update={"percentile": p if i < len(rows) - 1 else None})
                     for i, (e, p) in enumerate(zip(rows, beside, strict=True)))  # fmt: skip
    measured = [*intact(metric, found.values[0], asked), questions_asked(asked), found.identity]
    text = f"Removing {what}, {first} first ({method})."
    middle = slice(1, -1)
    if len(means) and len(found.counts) > 2:
        spared = metrics()[metric].worse * (found.beside.mean(0) - found.values)[middle].mean(0)
        by_order = metrics()[metric].worse * (means[:, middle] - found.values.mean(-1)[middle]).mean(-1)
        gained = measurement("spared", spared, unit_of(metric), asked)
        better = share("better_than_random", (by_order > 0).astype(float))
        measured += [gained, better]
        text += f" On average over the curve this does {gained.text} {metric} less damage than random orders, and has "
        text += f"rank {1 + int((by_order <= 0).sum())} of {len(means) + 1} among them."
    held = [e for e in rows if not clear(e) and not is_distance(e.metric)]
    half = rows[max(0, len(rows) // 2 - 1)]
    text += f" Halfway ({half.site}) {metric} changes by {half.text}."
    if not is_distance(metric):
        text += f" {len(held)} of {len(rows)} points are not shown to change it (q >= 0.05)."
    return Result(
        measurements=tuple(measured),
        effects=rows,
        figures=(drawn(lab, found, asked, metric, what, first),),
        found=text,
        notes=found.notes,
        doubts=lab.doubts(*draw, metric),
        arrays=per_prompt({metric: found.values}, asked, found.beside.reshape(-1, found.values.shape[-1])),
    )


def drawn(lab: Lab, found: Curve, asked: list[str], metric: str, what: str, first: str) -> Figure:
    ranked = [measurement(metric, row, unit_of(metric), asked, metric) for row in found.values]
    series: list[dict[str, Any]] = [
        {"name": f"{first} first", "y": [m.value for m in ranked], "low": [m.low for m in ranked],
         "high": [m.high for m in ranked]}
    ]  # fmt: skip
    if len(found.beside):
        means = found.beside.mean(-1)
        low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)
        series.append({"name": f"random order (middle of {len(means)})", "y": np.median(means, axis=0).tolist(),
                       "low": low.tolist(), "high": high.tolist()})  # fmt: skip
    title = f"{metric} while {what} are removed: {lab.subject.name}, {lab.task.name}"
    return Figure(name="pruning", kind="lines", title=title, unit=unit_of(metric), n=len(asked),
                  data={"x": list(found.counts), "x_label": f"{what} removed", "series": series})  # fmt: skip
