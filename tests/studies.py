"""Whole studies by the autopilot, in this process, quickly: what would it claim of a subject whose answer is known?

A tiny subject takes a second or two. What a study claims is read from the tracker, by conventions that hold whoever
decides: a hypothesis that is supported, a claim of its report, and an effect whose q is below 0.05.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.autopilot.driver import Autopilot, as_reply
from lashley.agent.drivers.conversation import Message, Reply, ToolSpec
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.db.records import as_json
from lashley.tools.evidence.verdict import spoken, verdicts
from lashley.tools.workbench.context import Context


@dataclass(frozen=True)
class Claimed:
    """What a finished study says.

    supported    the statements of its supported hypotheses
    verdicts     the verdict of each hypothesis, in words, by what it states
    judged       the predictions that were tested, each with its verdict
    claims       the conditions of the sentences of its report
    significant  (experiment, site) of every effect with q < 0.05
    experiments  how many were run
    """

    status: str
    supported: tuple[str, ...]
    verdicts: dict[str, str]
    judged: tuple[dict[str, Any], ...]
    claims: tuple[str, ...]
    significant: tuple[tuple[str, str], ...]
    experiments: int


class Scripted:
    """A driver that does what a test has written down, each step told what the one before it gave."""

    name, llm = "scripted", ""

    def __init__(self, protocol: Callable[[Data], Protocol]) -> None:
        self.protocol = protocol

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        steps = self.protocol(messages[0].data or {})
        step = next(steps)
        for message in messages[1:]:
            if message.role == "tool":
                # What was refused is told as text.
                step = steps.send({"text": message.text, **(message.data or {})})
        return as_reply(*step, len(messages))


def studied(
    model: str, task: str, n: int = 16, protocol: Callable[[Data], Protocol] | None = None, **budget: Any
) -> Claimed:
    """A study of a model by name or folder, in a tracker that is thrown away; the autopilot's, or what is scripted."""
    driver = Autopilot() if protocol is None else Scripted(protocol)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        with Context.open(str(path), model=model, task=task) as context:
            ending = study(context, driver, f"What is needed for {task}?", Budget(**budget), View(None), n=n)
        with Reader.open(path) as reader:
            run = reader.run(1)
            done = [reader.experiment(i + 1) for i in range(len(run.experiments))]
            report = reader.latest_report(1)
    found = verdicts(run.hypotheses)
    return Claimed(
        status=ending.status,
        supported=tuple(h.statement for h in run.hypotheses if h.status == "supported"),
        verdicts={h.statement: spoken(h, found) for h in run.hypotheses},
        judged=tuple(
            {**as_json(one), "verdict": found.predictions[one.id]}
            for h in run.hypotheses
            for one in h.predictions
            if one.judged
        ),
        claims=() if report is None else tuple(text for claim in report.claims for text in claim.get("conditions", ())),
        significant=tuple((e.id, f.site) for e in done for f in e.effects if f.q is not None and f.q < 0.05),
        experiments=len(done),
    )
