"""What one report may speak of: a run, its experiments and its hypotheses, read from the tracker once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...db.read import Reader
from ...experiments.result import Frozen
from .escape import visible


class Study(Frozen):
    """A run as it stood when it was read; experiments and hypotheses by their ids."""

    run: dict[str, Any]
    experiments: dict[str, dict[str, Any]]
    hypotheses: dict[str, dict[str, Any]]

    @property
    def finished(self) -> list[str]:
        return [one for one, row in self.experiments.items() if row["status"] == "done"]


def read_study(reader: Reader, run: int) -> Study:
    """Everything that the report of this run draws on. Raises NoSuchId when there is no such run."""
    row = _visible(reader.run(run))
    experiments = [_visible(reader.experiment(int(one["id"][1:]))) for one in row["experiments"]]
    return Study(
        run=row,
        experiments={one["id"]: one for one in experiments},
        hypotheses={one["id"]: one for one in row["hypotheses"]},
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


def ranked(experiment: dict[str, Any], metric: str | None = None) -> list[dict[str, Any]]:
    """The effects of one metric, the strongest (by size, not by sign) first; without a name, of the first metric."""
    effects: list[dict[str, Any]] = experiment["effects"]
    if not effects:
        return []
    metric = metric or effects[0]["metric"]
    return sorted((row for row in effects if row["metric"] == metric), key=lambda row: -abs(row["value"]))
