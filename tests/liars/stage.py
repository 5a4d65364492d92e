"""Studies of one planted subject, step by step, through the same tools that a language model calls.

Many liars begin alike. So a study is a list of steps, what the first of them did is kept as a tracker, and whoever
begins with the same steps goes on from a copy of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lashley.db.read.reader import Reader
from lashley.experiments.planted.build import save
from lashley.experiments.planted.truth import TRUTHS, Truth
from lashley.tools.claims.claim import Finding
from lashley.tools.registry import all_tools, answer
from lashley.tools.report.beside import found_in
from lashley.tools.report.render import render_run
from lashley.tools.report.study import Study, read_study
from lashley.tools.workbench.context import Context

TASK = "induction"
GOAL = "Which heads does this model need to continue a repeated list?"
# What a head at rest writes for each word, in logits: without it there is no luck to be had.
NOISE = 0.5
# Begins another study in the same tracker, as somebody who did one before.
ANOTHER = "another study"

Step = tuple[str, Mapping[str, Any]]


class Screen(NamedTuple):
    """What a reader has of a study that has ended: the first screen as text, and the same as data.

    said  what the tools answered, step by step
    """

    front: str
    findings: list[Finding]
    study: Study
    said: list[str]


class Stage:
    """A planted subject and the studies of it. Heads at rest write noise."""

    def __init__(self, subject: str, folder: Path) -> None:
        self.truth: Truth = TRUTHS[subject]
        self.folder = folder
        self.model = subject if self.truth.random else str(save(folder / "model", self.truth, NOISE, seed=1))
        self._kept: dict[str, tuple[Path, list[str]]] = {}
        self._loaded: dict[str, Any] = {}

    def play(self, steps: Sequence[Step], drafts: Sequence[Mapping[str, Any]]) -> Screen:
        """The study of these steps, and of its reports the first one that is taken."""
        path, said = self._after([*steps])
        path, said = self._copy(path), [*said]
        with self._open(path) as context:
            for draft in drafts:
                said.append(self._call(context, ("write_report", draft)))
                if context.finished:
                    break
            assert context.finished, said
            assert context.run is not None
            context.store.finish_run(context.run, status="finished", spent={})
        with Reader.open(path) as reader:
            run = max(int(one.id[1:]) for one in reader.runs())
            study = read_study(reader, run)
            assert study.report is not None
            front = render_run(reader, run).markdown.split("## The writer's reading")[0].replace("\\", "")
            return Screen(front, found_in(study), study, said)

    def _after(self, steps: list[Step]) -> tuple[Path, list[str]]:
        """The tracker after these steps, and what each was answered."""
        key = repr(steps)
        if key not in self._kept:
            if not steps:
                path, said = self.folder / "0.db", list[str]()
                with self._open(path) as context:
                    self._begin(context)
            else:
                before, said = self._after(steps[:-1])
                path, said = self._copy(before), [*said]
                with self._open(path) as context:
                    said.append(self._call(context, steps[-1]))
            self._kept[key] = path, said
        return self._kept[key]

    def _call(self, context: Context, step: Step) -> str:
        name, arguments = step
        if name == ANOTHER:
            self._begin(context)
            return ""
        # Each call has an id of its own: what a call has written is not written again.
        context.call = f"{name} {len(list(self.folder.iterdir()))} {json.dumps(arguments)}"
        said = answer(all_tools(), context, name, json.dumps(arguments))
        assert said.code != "tool_failed", said.text
        return said.text

    def _begin(self, context: Context) -> None:
        """A study by a language model, whose words are held to more than a protocol's."""
        context.run = context.store.begin_run(
            goal=GOAL, driver="scripted", llm="liar", model=self.model, task=TASK, seed=0, budget={},
            environment=context.environment,
        )  # fmt: skip

    def _open(self, path: Path) -> Context:
        """The subject and what was computed of it are shared by all studies."""
        context = Context.open(str(path), model=self.model, task=TASK, n=32, **self._loaded)
        self._loaded = {"_subjects": context._subjects, "_labs": context._labs, "own_tasks": context.own_tasks}
        runs = context.reader.runs()
        context.run = max((int(one.id[1:]) for one in runs), default=None)
        return context

    def _copy(self, path: Path) -> Path:
        return Path(shutil.copy(path, self.folder / f"{len(list(self.folder.iterdir()))}.db"))
