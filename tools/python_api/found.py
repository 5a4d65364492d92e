"""The results of an experiment in Python: the same names for a result in memory and for one in the tracker.

Numbers are pandas data frames, and figures draw themselves in a notebook.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from ...db.errors import TrackerError
from ...db.read.reader import Reader
from ...db.records import Artifact, Json, as_json
from ...experiments.errors import UnknownName
from ...experiments.result import Effect, Figure, Frozen, Measurement, Note, Result, Sample, notes_of
from ..errors import ToolError
from ..workbench.circuits import as_found

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

PARTS = ("measurements", "effects", "samples", "figures", "doubts")


class Picture:
    """A figure: an SVG in a notebook, and its `data` to draw it differently."""

    def __init__(self, figure: Figure) -> None:
        self.data: dict[str, Any] = figure.model_dump(mode="json")

    def __repr__(self) -> str:
        return f"<figure {self.data['name']}: {self.data['title']}>"

    def _repr_svg_(self) -> str:
        from ..report.figures import draw

        return draw(self.data)


class Found:
    """The results of an experiment. A notebook shows the summary, the figures and the measurements.

    `result` is everything as data; it can be pickled, arrays included.
    """

    def __init__(self, result: Result) -> None:
        self._result = result

    @property
    def result(self) -> Result:
        return self._result

    def _read(self) -> Result:
        """The result without arrays, which may have to be fetched."""
        return self._result

    @property
    def title(self) -> str:
        """The heading in a notebook."""
        return ""

    @property
    def found(self) -> str:
        """The summary, in a few lines."""
        return self._read().found

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a reader of the numbers must know, such as that the intact model cannot do the task. Each note has a
        code for programs, and a text."""
        return self._read().notes

    def effects(self) -> pd.DataFrame:
        """One row for each site and metric, with its interval, n, and p-values."""
        return framed(Effect, self._read().effects)

    def top(self, n: int = 10, metric: str | None = None) -> pd.DataFrame:
        """The n strongest effects on a metric (None: the experiment's main metric), by size. Raises UnknownName for a
        metric that it did not measure, and ToolError for an n that is not a count."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ToolError(f"n must be the number of effects to show, not {n!r}: write .top(5), or .top(5, 'loss').")
        known = list(dict.fromkeys(effect.metric for effect in self._read().effects))
        if metric is not None and metric not in known:
            raise UnknownName("metric here", metric, known)
        asked = known[0] if metric is None and known else metric
        those = [effect for effect in self._read().effects if effect.metric == asked]
        return framed(Effect, sorted(those, key=lambda one: -abs(one.value))[:n])

    def measurements(self) -> pd.DataFrame:
        """One row for each number, with its interval, n, and unit."""
        return framed(Measurement, self._read().measurements)

    def samples(self) -> pd.DataFrame:
        """The texts that the subject generated, intact and edited."""
        return framed(Sample, self._read().samples)

    def array(self, name: str) -> np.ndarray:
        """A stored array, such as the values per prompt. Raises UnknownName, which lists the names."""
        if name not in self.result.arrays:
            raise UnknownName("array", name, self.result.arrays)
        return self.result.arrays[name]

    def picture(self, name: str | None = None) -> Picture:
        """The figure of this name, or the first. Raises UnknownName, which lists the names."""
        there = {figure.name: figure for figure in self._read().figures}
        chosen = next(iter(there), "at all") if name is None else name
        if chosen not in there:
            raise UnknownName("figure", chosen, there)
        return Picture(there[chosen])

    def __repr__(self) -> str:
        return f"<found: {self.found.splitlines()[0] if self.found else 'nothing'}>"

    def _repr_html_(self) -> str:
        return html(self._read(), self.title)


class Logged(Found):
    """An experiment in the tracker. `row` is its whole record."""

    def __init__(self, reader: Reader, number: int) -> None:
        self._reader, self._number = reader, number
        self.row = reader.experiment(number)

    @property
    def id(self) -> str:
        """Its id in the tracker, such as E12."""
        return self.row.id

    @property
    def title(self) -> str:
        return f"{self.id} {self.row.kind}"

    @property
    def status(self) -> str:
        """done, failed, running or interrupted."""
        return self.row.status

    @property
    def config(self) -> Json:
        """Its whole configuration."""
        return self.row.config

    def _read(self) -> Result:
        return self._plain

    @cached_property
    def _plain(self) -> Result:
        """The result without arrays, which are read one by one. Raises TrackerError if this program did not write the
        row."""
        from pydantic import ValidationError

        whole = as_json(self.row)
        try:
            parts = {**{part: whole[part] for part in PARTS}, "found": self.row.found or ""}
            parts["circuits"] = [as_found(one) for one in self._reader.circuits_of(self._number)]
            return Result.model_validate({**parts, "notes": notes_of(self.row.notes, self.row.note_codes)})
        except ValidationError as fault:
            from ...experiments.explain import explain

            raise TrackerError(f"{self.id} cannot be read: {explain(fault).splitlines()[0]}") from fault

    @property
    def result(self) -> Result:
        return self._read().model_copy(update={"arrays": {one.name: self.array(one.name) for one in self._kept}})

    @property
    def _kept(self) -> list[Artifact]:
        return [one for one in self.row.artifacts if one.media_type == "application/x-npy"]

    def array(self, name: str) -> np.ndarray:
        """A stored array, such as the values per prompt. Raises TrackerError, which lists the names."""
        import numpy as np

        return np.load(io.BytesIO(self._reader.artifact(self._number, name)), allow_pickle=False)

    def __repr__(self) -> str:
        return f"<{self.title}: {self.status}>"


def framed(kind: type[Frozen], rows: Sequence[Frozen]) -> pd.DataFrame:
    """A data frame with the fields of this kind of row as columns, even without rows."""
    return frame([row.model_dump() for row in rows], list(kind.model_fields))


def frame(rows: Sequence[Any], columns: list[str] | None = None) -> Any:
    """A pandas data frame. Raises TrackerError if pandas is missing."""
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError as missing:
        raise TrackerError("Data frames need pandas: pip install pandas (or the extra lashley[notebook]).") from missing
    return pandas.DataFrame(rows) if columns is None else pandas.DataFrame(rows, columns=columns)


def html(result: Result, title: str = "") -> str:
    """The result as HTML. All text in it is escaped, because a program or a model wrote it."""
    from ..report.figures import draw
    from ..report.numbers import number

    head = f"<h4>{escape(title)}</h4>" if title else ""
    found = "".join(f"<p>{escape(line)}</p>" for line in (result.found, *(note.text for note in result.notes)) if line)
    cells = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{number(one.value)}</td><td>"
        + ("" if one.low is None or one.high is None else f"[{number(one.low)}, {number(one.high)}]")
        + f"</td><td>{'' if one.n is None else one.n}</td><td>{escape(one.unit)}</td></tr>"
        for one in result.measurements
    )
    table = "<tr><th></th><th>value</th><th>95% interval</th><th>n</th><th>unit</th></tr>"
    figures = [figure.model_dump(mode="json") for figure in result.figures]
    pictures = "".join(draw(figure, place=str(place)) for place, figure in enumerate(figures))
    return f"{head}{found}{pictures}<table>{table}{cells}</table>"
