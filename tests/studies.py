"""Whole studies by the autopilot, in this process, quickly: what would it claim of a subject whose answer is known?

A tiny subject takes a second or two. What a study claims is read from the tracker, by conventions that hold whoever
decides: a hypothesis that is supported, and an effect whose q is below 0.05.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lashley.agent.budget import Budget
from lashley.agent.drivers.autopilot import Autopilot
from lashley.agent.live import View
from lashley.agent.loop import study
from lashley.db.read import Reader
from lashley.tools.context import Context


@dataclass(frozen=True)
class Claimed:
    """What a finished study says.

    supported    the statements of its supported hypotheses
    significant  (experiment, site) of every effect with q < 0.05
    experiments  how many were run
    """

    status: str
    supported: tuple[str, ...]
    significant: tuple[tuple[str, str], ...]
    experiments: int


def studied(model: str, task: str, n: int = 16, **budget: Any) -> Claimed:
    """A study of a model by name or folder, in a tracker that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        with Context.open(str(path), model=model, task=task) as context:
            ending = study(context, Autopilot(), f"What is needed for {task}?", Budget(**budget), View(None), n=n)
        with Reader.open(path) as reader:
            run = reader.run(1)
            done = [reader.experiment(i + 1) for i in range(len(run["experiments"]))]
    return Claimed(
        status=ending.status,
        supported=tuple(h["statement"] for h in run["hypotheses"] if h["status"] == "supported"),
        significant=tuple(
            (e["id"], f["site"]) for e in done for f in e["effects"] if f["q"] is not None and f["q"] < 0.05
        ),
        experiments=len(done),
    )
