"""What one report may speak of: a run, its experiments and its hypotheses, read from the tracker once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ...db.ids import parse_id
from ...db.read import Reader
from ...experiments.result import Frozen
from ..evidence.ledger import Key, corrected
from ..evidence.verdict import Verdicts, verdicts
from .escape import visible


class Study(Frozen):
    """A run as it stood when it was read; experiments and hypotheses by their ids.

    q         of each effect, over all comparisons of the run
    families  what was compared in the whole tracker until the report was written
    artifact  the bytes of an experiment's artifact, by its id and name
    """

    run: dict[str, Any]
    experiments: dict[str, dict[str, Any]]
    hypotheses: dict[str, dict[str, Any]]
    verdicts: Verdicts
    q: dict[Key, float]
    families: list[dict[str, Any]]
    artifact: Callable[[str, str], bytes]

    @property
    def finished(self) -> list[str]:
        return [one for one, row in self.experiments.items() if row["status"] == "done"]


def read_study(reader: Reader, run: int) -> Study:
    """Everything that the report of this run draws on. Raises NoSuchId when there is no such run."""
    row = _visible(reader.run(run))
    experiments = [_visible(reader.experiment(int(one["id"][1:]))) for one in row["experiments"]]
    report = reader.latest_report(run)
    return Study(
        run=row,
        experiments={one["id"]: one for one in experiments},
        hypotheses={one["id"]: one for one in row["hypotheses"]},
        verdicts=verdicts(row["hypotheses"]),
        q=corrected(experiments),
        families=_visible(reader.ledger(until=report["created"] if report else None)),
        artifact=lambda experiment, name: reader.artifact(parse_id(experiment)[1], name),
    )


def _visible(value: Any) -> Any:
    """The same data with every text in it made visible: what comes after needs only to escape."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {_visible(key): _visible(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_visible(one) for one in cast("Sequence[Any]", value)]
    return value
