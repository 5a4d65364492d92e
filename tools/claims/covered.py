"""What a study left out: the layers that no experiment removed, and tasks that nobody showed the model to do.

A writer who removes only the parts that fit a claim leaves no number against it. So the answer says how much of the
model was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..report.study import Study
from .counted import counted
from .parts import sizes_of
from .removals import removed_by
from .words import named


def left_out(study: Study, task: str) -> Iterator[str]:
    """ "Of the model's 30 layers, experiments on induction removed only layers 0, 1 and 25 to 27, so nothing is known
    about the other 25". Nothing for a study that removed every layer, or none."""
    rows = counted(study, task)
    n_layers = sizes_of(study).get("n_layers", 0)
    removed = {part for row in rows for parts in removed_by(row).values() for part in parts if "." not in part}
    rest = n_layers - len(removed)
    if removed and rest > 0:
        which = named(sorted(removed, key=lambda part: int(part[1:])))
        others = f"the other {rest}" if rest > 1 else "the other one"
        yield (
            f"Of the model's {n_layers} layers, experiments on {task} removed only {which}, so nothing is known about "
            f"{others}."
        )
    if rows and not any(row.kind == "baseline" for row in rows):
        yield f"No baseline of {task} was run, so it is not shown that the model can do it."
