"""The tracker and the experiments in Python: rows as data frames, results that draw themselves in a notebook.

`lashley.open()` and `lashley.run(...)` are these. Nothing is written: what should be logged is run with
`agent experiment`.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Self

from ..db import records
from ..db.errors import TrackerError
from ..db.flat import rows
from ..db.ids import parse_id
from ..db.location import tracker_path
from ..db.read import Reader
from ..experiments.result import Figure, Result

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    from ..experiments.kind import Experiment
    from ..experiments.lab import Lab
    from ..experiments.subject import Subject
    from ..experiments.tasks.task import Task

_labs: dict[tuple[str, str, bool, str | None], Lab] = {}
_subjects: dict[str, Subject] = {}


class Picture:
    """A figure: shown in a notebook as SVG, and its `data` to draw it otherwise."""

    def __init__(self, figure: Figure | records.Figure) -> None:
        self.data: dict[str, Any] = figure.model_dump(mode="json") if isinstance(figure, Figure) else figure._asdict()

    def __repr__(self) -> str:
        return f"<figure {self.data['name']}: {self.data['title']}>"

    def _repr_svg_(self) -> str:
        from .report.figures import draw

        return draw(self.data)


class Found(Result):
    """A result that shows itself in a notebook: what was found, the measurements and the figures."""

    def effects_frame(self) -> pd.DataFrame:
        """One row for each site and metric."""
        return _pandas().DataFrame([effect.model_dump() for effect in self.effects])

    def measurements_frame(self) -> pd.DataFrame:
        return _pandas().DataFrame([one.model_dump() for one in self.measurements])

    def picture(self, name: str | None = None) -> Picture:
        """The figure of this name, or the first. Raises KeyError with those that there are."""
        return _picture(self.figures, name, "The result")

    def _repr_html_(self) -> str:
        return _html(self)


class Logged:
    """An experiment of the tracker. `row` is everything that was written of it."""

    def __init__(self, reader: Reader, number: int) -> None:
        self._reader, self._number = reader, number
        self.row = reader.experiment(number)

    def __repr__(self) -> str:
        return f"<{self.row.id} {self.row.kind}: {self.row.status}>"

    @property
    def config(self) -> records.Json:
        return self.row.config

    def effects(self) -> pd.DataFrame:
        """One row for each site and metric."""
        return _pandas().DataFrame(self.row.effects)

    def measurements(self) -> pd.DataFrame:
        return _pandas().DataFrame(self.row.measurements)

    def samples(self) -> pd.DataFrame:
        return _pandas().DataFrame(self.row.samples)

    def array(self, name: str) -> np.ndarray:
        """A kept array, such as the values per prompt. Raises TrackerError with the names that there are."""
        import numpy as np

        return np.load(io.BytesIO(self._reader.artifact(self._number, name)), allow_pickle=False)

    def picture(self, name: str | None = None) -> Picture:
        """The figure of this name, or the first. Raises KeyError with those that there are."""
        return _picture(self.row.figures, name, self.row.id)

    def _repr_html_(self) -> str:
        return _html(self.row, f"{self.row.id} {self.row.kind}")


class Tracker:
    """A tracker, open for reading. `tracker["E12"]` is an experiment; the other methods give data frames."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """The file at `path`, else as the commands find it. Raises TrackerError where there is none."""
        self._reader = Reader.open(tracker_path(None if path is None else os.fspath(path)))

    def __repr__(self) -> str:
        return f"<tracker {self._reader.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def __getitem__(self, id: str) -> Logged:
        what, number = parse_id(id)
        if what != "experiment":
            raise TrackerError(f"{id} is the id of a {what}; an experiment such as E12 is wanted.")
        return Logged(self._reader, number)

    def runs(self) -> pd.DataFrame:
        return _pandas().DataFrame(self._reader.runs())

    def experiments(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        run: str | None = None,
        status: str | None = None,
    ) -> pd.DataFrame:
        """One row for each experiment; `config` is a dictionary. A run's are its own and those that it reused."""
        found = self._reader.experiments(kind, task, model, self._run(run), status)
        return _pandas().DataFrame(found)

    def notes(self, words: str | None = None, run: str | None = None, tag: str | None = None) -> pd.DataFrame:
        """All notes, or those that hold the words, best match first."""
        return _pandas().DataFrame(self._reader.notes(words, self._run(run), tag))

    def table(self, name: str, run: str | None = None) -> pd.DataFrame:
        """A table as `agent export` has it: measurements, effects, samples, hypotheses and so on."""
        columns, found = rows(self._reader, name, self._run(run))
        return _pandas().DataFrame(list(found), columns=columns)

    def sql(self, sql: str, limit: int = 10_000) -> pd.DataFrame:
        """One SELECT. Raises QueryRefused for anything else, and TrackerError where there are more rows."""
        columns, found, more = self._reader.query(sql, limit)
        if more:
            raise TrackerError(f"There are more than {limit} rows; say limit=... for more, or LIMIT in the query.")
        return _pandas().DataFrame(found, columns=columns)

    def _run(self, run: str | None) -> int | None:
        if run is None:
            return None
        what, number = parse_id(run)
        if what != "run":
            raise TrackerError(f"{run} is the id of a {what}; a run such as R1 is wanted.")
        self._reader.require("run", number)
        return number


def run(experiment: Experiment, task: Task | str | None = None) -> Found:
    """Run an experiment and give what it found. Nothing is logged. `task` in place of the one that it names: a task, or
    what `--task` takes (see `task_named`).

    The subject stays loaded for the next one. Raises ExperimentError where it cannot be done as asked, and ToolError
    where there is no such file.
    """
    from ..experiments.lab import lab_of
    from ..experiments.subject import canonical, load, sizes_of
    from .run_experiment import measured

    task = experiment.task if task is None else task
    task = task_named(task) if isinstance(task, str) else task
    key = canonical(experiment.model), task.fingerprint(), experiment.chat, experiment.system
    experiment = experiment.model_copy(update={"model": key[0], "task": task.name})
    kept = _subjects.get(key[0])
    experiment.check(kept.sizes if kept is not None else sizes_of(key[0]), task)
    if key not in _labs:
        if kept is None:
            # One subject at a time: two large ones may not fit.
            _labs.clear()
            _subjects.clear()
        subject = _subjects[key[0]] = kept or load(key[0])
        _labs[key] = lab_of(subject, task, experiment.chat, experiment.system)
    # What one experiment had done is kept for itself alone.
    _labs[key].kept = {}
    result = measured(experiment, _labs[key])
    return Found(**{name: getattr(result, name) for name in Result.model_fields})


def task_named(name: str) -> Task:
    """The task that the commands find by this name: a built-in or installed one, one that the tracker keeps (that of
    LASHLEY_DB, else lashley.db here), any of these with its answers shuffled; or a JSONL or CSV file.

    Raises UnknownName, BadTask, and ToolError where there is no such file.
    """
    from pathlib import Path

    from ..experiments.errors import UnknownName
    from ..experiments.tasks.from_file import from_file
    from .errors import ToolError
    from .finding import find_task, is_file_name

    if is_file_name(name):
        if not Path(name).is_file():
            raise ToolError(f"There is no task file {name}.")
        return from_file(Path(name), None)

    def found(name: str, reader: Reader | None) -> Task:
        return find_task(name, reader, {}, lambda inner: found(inner, reader))

    try:
        return found(name, None)
    except UnknownName:
        if not (path := tracker_path(None)).exists():
            raise
    with Reader.open(path) as reader:
        return found(name, reader)


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as missing:
        raise TrackerError("Data frames need pandas: pip install pandas (or the extra lashley[notebook]).") from missing


def _picture(figures: Sequence[Figure] | Sequence[records.Figure], name: str | None, of: str) -> Picture:
    there = {figure.name: figure for figure in figures}
    chosen = next(iter(there), None) if name is None else name
    if chosen not in there:
        raise KeyError(f"{of} has no figure {name or 'at all'}. It has: {', '.join(there) or 'none'}.")
    return Picture(there[chosen])


def _html(row: Result | records.Experiment, title: str = "") -> str:
    """Everything in it was written by a program or a model and is only text."""
    from .report.figures import draw
    from .report.numbers import number

    head = f"<h4>{escape(title)}</h4>" if title else ""
    found = "".join(f"<p>{escape(line)}</p>" for line in (row.found or "", *row.notes) if line)
    cells = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{number(one.value)}</td><td>"
        + ("" if one.low is None or one.high is None else f"[{number(one.low)}, {number(one.high)}]")
        + f"</td><td>{'' if one.n is None else one.n}</td><td>{escape(one.unit)}</td></tr>"
        for one in row.measurements
    )
    table = "<tr><th></th><th>value</th><th>95% interval</th><th>n</th><th>unit</th></tr>"
    pictures = "".join(draw(figure, place=str(place)) for place, figure in enumerate(row.figures))
    return f"{head}{found}{pictures}<table>{table}{cells}</table>"
