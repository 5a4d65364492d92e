"""Experiments and the tracker in Python: `lashley.run()` and `lashley.open()`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from ...db.errors import TrackerError
from ...db.export import rows
from ...db.ids import parse_id
from ...db.location import tracker_path
from ...db.read.reader import Reader
from ..errors import ToolError, require_types
from .found import Found, Logged, frame
from .study import Study

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    from ...experiments.experiment import Experiment
    from ...experiments.lab import Lab
    from ...experiments.model.subject import Subject
    from ...experiments.tasks.task import Task
    from .model import Model

# For one subject at a time: two large ones may not fit.
_labs: dict[tuple[Subject, str, bool, str | None], Lab] = {}


class Tracker:
    """A tracker, open for reading. `tracker.experiment("E12")` (or `tracker["E12"]`) is an experiment,
    `tracker.study("R3")` a study; the other methods give data frames."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Open the file at `path`, or the one that the commands use. Raises TrackerError if there is none."""
        require_types(path=(path, str, os.PathLike))
        self._reader = Reader.open(tracker_path(None if path is None else os.fspath(path)))

    def __repr__(self) -> str:
        return f"<tracker {self._reader.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()

    def experiment(self, id: str) -> Logged:
        """An experiment, with the same names as the result of `lashley.run`. Raises TrackerError."""
        return Logged(self._reader, self._number(id, "experiment", "E12"))

    __getitem__ = experiment

    def study(self, id: str) -> Study:
        """A study, with its report, hypotheses and experiments. Raises TrackerError."""
        return Study(self._reader, self._number(id, "run", "R1"))

    def runs(self) -> pd.DataFrame:
        return frame(self._reader.runs())

    def experiments(
        self,
        kind: str | None = None,
        task: str | None = None,
        model: str | None = None,
        run: str | None = None,
        status: str | None = None,
    ) -> pd.DataFrame:
        """One row for each experiment; `config` is a dictionary. A run has its own experiments and those it reused."""
        return frame(self._reader.experiments(kind, task, model, self._run(run), status))

    def notes(self, words: str | None = None, run: str | None = None, tag: str | None = None) -> pd.DataFrame:
        """All notes, or those that contain the words, best match first."""
        return frame(self._reader.notes(words, self._run(run), tag))

    def table(self, name: str, run: str | None = None) -> pd.DataFrame:
        """A table as `agent export` writes it: measurements, effects, samples, hypotheses and so on."""
        columns, found = rows(self._reader, name, self._run(run))
        return frame(list(found), columns)

    def sql(self, sql: str, limit: int = 10_000) -> pd.DataFrame:
        """Run one SELECT. Raises QueryRefused for anything else, and TrackerError if there are more rows."""
        require_types(sql=(sql, str))
        columns, found, more = self._reader.query(sql, limit)
        if more:
            raise TrackerError(f"There are more than {limit} rows; pass a larger limit=..., or use LIMIT in the query.")
        return frame(found, columns)

    def _run(self, run: str | None) -> int | None:
        if run is None:
            return None
        number = self._number(run, "run", "R1")
        self._reader.require("run", number)
        return number

    def _number(self, id: str, wanted: str, example: str) -> int:
        require_types(id=(id, str))
        what, number = parse_id(id)
        if what != wanted:
            a, an = ("an" if one == "experiment" else "a" for one in (what, wanted))
            raise TrackerError(f"{id} is the id of {a} {what}; give {an} {wanted}, such as {example}.")
        return number


def run(
    experiment: Experiment,
    task: Task | str | None = None,
    model: Model | str | None = None,
    *,
    log: bool = False,
    db: str | os.PathLike[str] | None = None,
    reason: str | None = None,
    fresh: bool = False,
) -> Found:
    """Run an experiment and return its results.

    task    replaces the one that the experiment names: a task, or what `--task` takes (see `task_named`)
    model   replaces the one that it names: what `lashley.load` returns, or a name
    log     write it to the tracker (`db`, or LASHLEY_DB, or ./lashley.db), as `agent experiment` does. Then an earlier
            experiment with the same configuration is the answer, unless `fresh`, and the result is a `Logged`
    reason  why it is run, for the record

    Raises ExperimentError if it cannot be done as asked, ToolError for what cannot be run or logged, and TrackerError.
    """
    from ...experiments.experiment import Experiment as Kind
    from ...experiments.tasks.task import Task
    from .model import Model

    if not isinstance(experiment, Kind):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ToolError(
            f"A {type(experiment).__name__} is not an experiment: pass one such as lashley.HeadAblation(n=8)."
        )
    if model is not None and not isinstance(model, (str, Model)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ToolError("model must be a name, or what lashley.load() returns.")
    if task is not None and not isinstance(task, (str, Task)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ToolError("task must be a name, a file, or a task such as lashley.Task([lashley.Prompt(...), ...]).")
    require_types(db=(db, str, os.PathLike), reason=(reason, str))
    if (reason is not None or fresh) and not (log or db is not None):
        raise ToolError("reason and fresh need the tracker: also set log=True.")
    task = experiment.task if task is None else task
    if log or db is not None:
        return logged(experiment, task, model, None if db is None else os.fspath(db), reason, fresh)
    found = task_named(task) if isinstance(task, str) else task
    return Found(measured_here(experiment, found, model))


def measured_here(experiment: Experiment, task: Task, model: Model | str | None) -> Any:
    """The result of an experiment in this process; its subject stays loaded for the next one."""
    from ...experiments.lab import lab_of
    from ...experiments.model.in_memory import require_unchanged
    from ...experiments.model.loading import sizes_of
    from ...experiments.model.places import canonical
    from ..workbench.run_experiment import measured
    from .model import Model, loaded

    name = canonical(model or experiment.model) if not isinstance(model, Model) else model.name
    subject = model.subject if isinstance(model, Model) else loaded.get(name)
    experiment = experiment.model_copy(update={"model": name, "task": task.name})
    experiment.check(subject.sizes if subject is not None else sizes_of(name), task)
    if any(key[0] is not subject for key in _labs):
        _labs.clear()
    if subject is None:
        from ...experiments.model.loading import load

        subject = loaded[name] = load(name)
    require_unchanged(subject)
    key = subject, task.fingerprint(), experiment.chat, experiment.system
    if key not in _labs:
        _labs[key] = lab_of(subject, task, experiment.chat, experiment.system)
    # Each experiment keeps only its own completed work.
    _labs[key].begin()
    return measured(experiment, _labs[key])


def logged(
    experiment: Experiment, task: Task | str, model: Model | str | None, db: str | None, reason: str | None, fresh: bool
) -> Logged:
    """The same, written to the tracker or found there. Raises ExperimentError for a failure, after logging it."""
    from ...experiments import errors
    from ...experiments.model.in_memory import require_unchanged
    from ..workbench.catalog import task_named as named
    from ..workbench.context import Context
    from ..workbench.run_experiment import run_experiment
    from .model import Model

    with Context.open(db) as context:
        if isinstance(model, Model):
            require_unchanged(model.subject)
            context.adopt(model.subject)
        known = named(context, task) if isinstance(task, str) else context.add_task(task).name
        name = model.name if isinstance(model, Model) else model or experiment.model
        asked = experiment.model_copy(update={"model": name, "task": known})
        outcome = run_experiment(context, asked, reason, fresh)
        path = context.store.path
    done = Logged(Reader.open(path), outcome.number)
    if outcome.error is not None:
        ours = (errors.BadConfiguration, errors.BadTask, errors.OutOfMemory, errors.TooLong, errors.NotANumber)
        kinds: dict[str, type[errors.ExperimentError]] = {one.__name__: one for one in ours}
        raise kinds.get(done.row.error_type or "", errors.ExperimentError)(f"{outcome.id} failed: {outcome.error}")
    return done


def task_named(name: str) -> Task:
    """The task that the commands find by this name: built in, installed or in the tracker (LASHLEY_DB, or
    ./lashley.db), any of these with shuffled answers; or a JSONL or CSV file.

    Raises UnknownName, BadTask, and ToolError if there is no such file.
    """
    from pathlib import Path

    from ...experiments.errors import UnknownName
    from ...experiments.tasks.from_file import from_file, no_file
    from ..workbench.finding import find_task, is_file_name

    if is_file_name(name):
        if not Path(name).is_file():
            raise ToolError(no_file(name))
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
