"""Lashley: an autonomous research agent for the interpretability of language models.

In Python, for a notebook:

    tracker = lashley.open("lashley.db")             rows as data frames, experiments by id
    found = lashley.run(lashley.HeadAblation(...))    an experiment without a tracker

The kinds of experiments are here by the names of their classes. Importing this package loads none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from .experiments.kind import Experiment
    from .experiments.tasks.task import Task
    from .tools.notebook import Found, Tracker

__version__ = "0.1.0"


def open(path: str | os.PathLike[str] | None = None) -> Tracker:
    """The tracker at `path`, else LASHLEY_DB, else lashley.db here, for reading. Raises TrackerError."""
    from .tools.notebook import Tracker

    return Tracker(path)


def run(experiment: Experiment, task: Task | str | None = None) -> Found:
    """Run an experiment without a tracker: what it found, as it shows itself in a notebook. `task`, in place of the one
    that the experiment names, is a task, a name as the commands know it, or a file. Raises ExperimentError."""
    from .tools import notebook

    return notebook.run(experiment, task)


def __getattr__(name: str) -> Any:
    """The kinds: lashley.HeadAblation."""
    if name[:1].isupper():
        from .experiments.kinds.registry import kinds

        for kind in kinds().values():
            if kind.__name__ == name:
                return kind
    raise AttributeError(f"module 'lashley' has no attribute '{name}'")
