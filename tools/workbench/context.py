"""What a tool works with: the tracker, the study it belongs to, and the loaded subjects.

A subject and a task are loaded once and kept. A task is built in, installed, or the user's own file, named on
the command line; the tracker stores the file's lines, so a replay finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...db import records
from ...db.location import tracker_path
from ...db.read.reader import Reader
from ...db.records import ExperimentSummary, Written
from ...db.write.store import Store
from ..errors import ToolError
from ..refusals import refused
from .finding import find_task, kept_task, kept_tasks

if TYPE_CHECKING:
    from ...experiments.experiment import Experiment
    from ...experiments.lab import Lab
    from ...experiments.model.kept_fingerprints import Seen
    from ...experiments.model.subject import Subject
    from ...experiments.result import Result
    from ...experiments.tasks.task import AnswerKind, Task
    from .approval import Approval

Progress = Callable[[str, int, int], None]
Measure = Callable[["Experiment", "Lab"], "Result"]
USER = "user"


def silent(_what: str, _done: int, _total: int) -> None: ...


def unheard(_text: str) -> None: ...


def never_asked() -> bool:
    return False


@dataclass
class Context:
    """One process's access to the tracker and the models. Close it, or use it in a `with`."""

    store: Store
    reader: Reader
    run: int | None = None
    reviews: int | None = None
    model: str = "smollm2-135m"
    task: str = "arithmetic"
    n: int | None = None
    maker: str = USER
    progress: Progress = silent
    # Whether the user asks to stop the experiment that is running; each request is taken once.
    skip: Callable[[], bool] = never_asked
    say: Callable[[str], None] = unheard
    turn: int | None = None
    call: str | None = None
    finished: bool = False
    experiment_minutes: float | None = None
    measure: Measure | None = None
    approval: Approval | None = None
    own_tasks: dict[str, Task] = field(default_factory=dict[str, "Task"])
    _labs: dict[tuple[str, str, bool, str | None], Lab] = field(
        default_factory=dict[tuple[str, str, bool, str | None], "Lab"]
    )
    _subjects: dict[str, Subject] = field(default_factory=dict[str, "Subject"])
    # Subjects that were in memory already and need no loading.
    _adopted: dict[str, Subject] = field(default_factory=dict[str, "Subject"])
    # The files of a model that is not loaded, at the time its fingerprint was requested.
    _seen: dict[str, Seen | None] = field(default_factory=dict[str, "Seen | None"])

    @classmethod
    def open(cls, db: str | None = None, **kwargs: Any) -> Self:
        """Open (or make) the tracker. Raises TrackerError with one line."""
        path = tracker_path(db)
        store = Store.open(path)
        return cls(store=store, reader=Reader.open(path), **kwargs)

    @property
    def sees(self) -> list[int] | None:
        """The runs whose held-out results this study may see; None outside a study, where a person looks."""
        if self.run is None:
            return None
        return [self.run] if self.reviews is None else [self.run, self.reviews]

    @property
    def waited(self) -> float:
        """How many seconds the user has taken to answer questions before experiments."""
        return 0.0 if self.approval is None else self.approval.waited

    @property
    def alone(self) -> int | None:
        """The run, if it is a second opinion: it reads none of the reasoning of others. Otherwise None."""
        return None if self.reviews is None else self.run

    def may_see(self, experiment: records.Experiment | ExperimentSummary) -> bool:
        """Whether this study may see an experiment. It may not see another study's results on held-out prompts."""
        seen = self.sees
        return seen is None or experiment.split != "confirm" or experiment.run in [f"R{run}" for run in seen]

    def written(self, table: str) -> list[Written]:
        """What the current call has already written; not empty only if it was stopped half-way and is repeated now."""
        return [] if self.run is None or self.call is None else self.reader.written_by(table, self.run, self.call)

    def listen(self, say: Callable[[str], None]) -> None:
        """Send progress messages to `say`, also while waiting for a locked tracker, so that no measurement is given
        up."""
        self.say = self.store.waits = say

    def close(self) -> None:
        self.reader.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @cached_property
    def environment(self) -> dict[str, Any]:
        from .environment import environment

        return environment()

    def adopt(self, subject: Subject) -> None:
        """Register a subject that is in memory under its name."""
        self._adopted[subject.name] = subject

    def subject(self, name: str) -> Subject:
        """Load a subject, once. Raises UnknownName or UnsupportedModel."""
        from ...experiments.model import places

        key = places.canonical(name)
        if key in self._adopted:
            return self._adopted[key]
        places.check_name(key)
        if key not in self._subjects:
            # Said before the libraries are imported, which takes seconds.
            self.say(f"Loading {key}")
            from ...experiments.model import loading
            from ...experiments.model.encoding import habits

            # Only one at a time: a study seldom needs two, and two large ones may not fit.
            self._subjects.clear()
            self._labs.clear()
            seen = self._seen.pop(key, None)
            self._subjects[key] = loading.load(key, progress=self.say)
            if seen is not None:
                seen.keep(self._subjects[key].fingerprint)
            for habit in habits(self._subjects[key].tokenizer):
                self.say(habit)
        return self._subjects[key]

    def sizes(self, name: str) -> dict[str, int]:
        """The sizes of a subject's anatomy; if it is not loaded, from its configuration alone.

        Raises UnknownName or UnsupportedModel.
        """
        from ...experiments.model import places

        key = places.canonical(name)
        loaded = self._adopted.get(key) or self._subjects.get(key)
        if loaded is not None:
            return loaded.sizes
        places.check_name(key)
        from ...experiments.model import loading

        return loading.sizes_of(name, self.say)

    def check(self, experiment: Experiment) -> None:
        """Refuse what the subject or the task does not have, before any weights are loaded. Raises what `sizes`,
        `find_task` and `Experiment.check` raise."""
        task = self.find_task(experiment.task)
        # First the sites that no model has: to learn the sizes of one, torch must be imported, which takes seconds.
        experiment.check_sites()
        experiment.check({}, task)
        experiment.check(self.sizes(experiment.model), task)

    def settled(self, experiment: Experiment) -> Experiment:
        """The experiment in the form that is logged: with the version of a task of one's own to fit on (`fit_task`).

        Raises UnknownName and ToolError as `find_task`."""
        from ...experiments.tasks.fitting_prompts import version_named, with_fingerprint
        from ...experiments.tasks.registry import tasks

        name = getattr(experiment, "fit_task", None)
        if name is None or version_named(name) is not None or name in tasks():
            return experiment
        task = self.find_task(name)
        if task.content is None:
            return experiment  # its kind refuses what does not consist of stored lines
        return experiment.model_copy(update={"fit_task": with_fingerprint(task)})

    def tasks_to_fit_on(self, experiment: Experiment) -> dict[str, Task]:
        """The task of one's own that a settled experiment fits on, as its lab needs it; empty if it names none, or if
        the tracker does not keep this version."""
        from ...experiments.tasks.fitting_prompts import version_named

        name = str(getattr(experiment, "fit_task", None) or "")
        version = version_named(name)
        task = None if version is None else kept_task(self.reader, *version)
        return {} if task is None else {name: task}

    def known(self, experiment: Experiment) -> tuple[str, str] | None:
        """The fingerprints of an experiment's subject and task, if they can be known without loading weights; None if
        not, or if the weights are loaded already. Raises what `lab` raises for a task that the tokenizer cannot carry.
        """
        from ...experiments.model import loading, places
        from ...experiments.model.chat import as_asked
        from ...experiments.model.kept_fingerprints import seen

        name = places.canonical(experiment.model)
        if name in self._adopted or name in self._subjects:
            return None
        place = loading.located(name, self.say)
        now = self._seen[name] = seen(place)
        fingerprint = None if now is None else now.fingerprint()
        if fingerprint is None:
            return None
        tokenizer, task = loading.tokenizer_of(place), self.find_task(experiment.task)
        return fingerprint, as_asked(name, tokenizer, task, experiment.chat, experiment.system).fingerprint()

    def find_task(self, name: str) -> Task:
        """A task by name, found as in `finding.find_task`. Raises UnknownName or ToolError."""
        found = find_task(name, self.reader, self.own_tasks, self.find_task)
        return self.know(found) if found.content is not None and name not in self.own_tasks else found

    def all_own_tasks(self) -> dict[str, Task]:
        """The tasks that are not built in: this process's own, and those in the tracker."""
        return {**kept_tasks(self.reader), **self.own_tasks}

    def add_task_file(self, path: str, name: str | None = None, kind: AnswerKind | None = None) -> Task:
        """Read a user's JSONL or CSV file, store its prompts in the tracker, and register the task under its name.
        `kind` is how its answers are read, unless the file says so itself.

        Raises BadTask, and ToolError if a language model's task has the name.
        """
        from ...experiments.tasks.from_file import from_file

        return self.add_task(from_file(Path(path), name, kind), {"file": Path(path).name})

    def add_task(self, task: Task, spec: dict[str, Any] | None = None) -> Task:
        """Store a user's task in the tracker, and register it under its name. A task that does not consist of lines
        must be the one that its name finds.

        Raises ToolError if the name finds another task, or if a language model's task has the name.
        """
        if task.content is None:
            if self.find_task(task.name).fingerprint() != task.fingerprint():
                raise ToolError(
                    f"The name '{task.name}' finds another task, so a tracker could not find this one again: make it "
                    "of prompts, or install it under the entry point lashley.tasks."
                )
            return task
        kept = self.reader.task_file(task.name)
        if kept is not None and kept.maker not in (None, USER) and kept.fingerprint != task.fingerprint():
            raise refused("task_of_a_model", maker=kept.maker, name=task.name)
        # This tracker does not know who made another tracker's task.
        return self.know(task if kept is not None else task.model_copy(update={"maker": ""}), USER, spec)

    def add_stored_task(self, name: str, fingerprint: str | None = None) -> Task | None:
        """A task from the tracker, or None."""
        task = kept_task(self.reader, name, fingerprint)
        if task is not None:
            self.own_tasks[name] = task
            # It may be another version of the task that this process used before.
            self._labs = {key: lab for key, lab in self._labs.items() if key[1] != name}
        return task

    def know(self, task: Task, maker: str | None = None, spec: dict[str, Any] | None = None) -> Task:
        """Register the task under its name, in this process and in this tracker."""
        from ...experiments.tasks.from_file import card_from

        if task.content is not None and not task.maker:
            card = card_from(task).model_dump(mode="json")
            origin: dict[str, Any] = {"card": card, "maker": maker, "run": self.run, "spec": spec, "call": self.call}
            self.store.save_task_file(task.name, task.fingerprint(), task.content, **origin)
            task = kept_task(self.reader, task.name, task.fingerprint()) or task
        self.own_tasks[task.name] = task
        return task

    def lab(self, model: str, task: str, chat: bool = False, system: str | None = None) -> Lab:
        """The place where experiments on this subject and task run, as plain text or through its chat template."""
        from ...experiments.lab import lab_of

        found = self.find_task(task)
        subject = self.subject(model)
        key = (subject.name, found.name, chat, system)
        if key not in self._labs:
            self._labs[key] = lab_of(subject, found, chat, system)
        lab = self._labs[key]
        lab.progress, lab.before = self.progress, None
        lab.begin()
        return lab
