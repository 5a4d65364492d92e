"""What a claim may rest on: the finished experiments of a study on its own model, and how many places were searched.

A study may measure another model besides its own. A finding names no model, so only measurements on
the study's model count.
"""

from __future__ import annotations

from collections.abc import Collection

from ...db.records import Experiment as Row
from ..evidence.quantity import parse
from ..report.study import Study
from .claim import CannotClaim


def on_its_model(study: Study, row: Row) -> bool:
    """Whether an experiment measured the study's own model."""
    from ...experiments.model.places import canonical

    return study.run.model is None or canonical(row.model) == canonical(study.run.model)


def counted(study: Study, task: str | None = None, kinds: Collection[str] = ()) -> list[Row]:
    """The finished experiments on the study's own model, in order; with a task or kinds, only those."""
    return [
        row for row in study.experiments.values()
        if row.status == "done" and on_its_model(study, row)
        and (task is None or row.task == task) and (not kinds or row.kind in kinds)
    ]  # fmt: skip


def finished(study: Study, name: str) -> Row:
    """The experiment of this id. Raises CannotClaim if the study has no finished experiment of this id."""
    row = study.experiments.get(name)
    if row is None or row.status != "done":
        why = f"is not an experiment of {study.run.id}" if row is None else f"is {row.status}"
        raise CannotClaim(f"{name} {why}.")
    return row


def able(row: Row) -> bool:
    """Whether the intact model is shown to do the task on the prompts of an experiment, as far as it was tested."""
    return not any(doubt.code == "unable" for doubt in row.doubts)


def looked_through(study: Study, row: Row, site: str, metric: str) -> int:
    """From how many places of a held-out experiment this one may have been chosen: 1 if a prediction names it or
    nothing else was measured, otherwise all, because a claim may choose a place by its number."""
    for hypothesis in study.hypotheses.values():
        for one in hypothesis.predictions:
            if one.judged is not None and one.judged.experiment == row.id:
                quantity = parse(one.quantity)
                if site in {term.site for term in (quantity.first, quantity.second) if term is not None}:
                    return 1
    return max(1, len({effect.site for effect in row.effects if effect.metric == metric}))
