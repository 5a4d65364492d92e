"""What the autopilot knows so far of its study, and the form of its steps."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .autopilot_judge import Data, Yardstick
from .conversation import Call, Reply

Step = tuple[str, str, Data]  # what is thought, the tool, its arguments
Protocol = Generator[Step, Data, None]


def as_reply(thought: str, tool: str, arguments: Data, at: int) -> Reply:
    """A step as what a driver answers; `at` makes the call's id."""
    return Reply(text=thought, calls=(Call(id=f"auto_{at}", name=tool, arguments=json.dumps(arguments)),))


METHODS = ("zero", "mean", "resample")


@dataclass
class Course:
    """Experiments as the tools gave them, in the order in which they are made.

    left         baselines of tasks that the subject could not do
    unasked      tasks whose baselines the tools refused
    able         the accuracy that the baseline is shown to exceed
    sweep        each layer left out; `needed_layer` and `spare_layer` are what it suggests
    searched     layers whose heads were removed one by one
    chosen       the strongest heads under zero; `repeats` are the same under mean and resample
    vanished     those of them whose change under mean or resample lay within the bound
    wider        the search by means, where few heads were left; `found_wider` are the heads it added
    kept         what is left, by intervals that do not reach zero
    proposed     the ids of the hypotheses by what they are about, in the order in which they were written down
    tested       what came of them
    """

    study: Data
    task: str
    left: list[Data]
    unasked: list[str]
    baseline: Data
    yardstick: Yardstick
    able: float
    sweep: Data = field(default_factory=dict[str, Any])
    needed_layer: int | None = None
    spare_layer: int | None = None
    any_layer_needed: bool = False
    searched: list[int] = field(default_factory=list[int])
    heads: Data = field(default_factory=dict[str, Any])
    chosen: list[str] = field(default_factory=list[str])
    repeats: list[Data] = field(default_factory=list[Data])
    vanished: list[str] = field(default_factory=list[str])
    wider: Data | None = None
    found_wider: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])
    proposed: dict[str, str] = field(default_factory=dict[str, str])
    tested: dict[str, Data] = field(default_factory=dict[str, Data])

    def predict(self, kind: str, config: Data, comparison: str, quantity: str = "excess", **bounds: float) -> Data:
        """A prediction on held-out prompts of the course's task."""
        whole = {"task": self.task, "n": self.study.get("n", 32), **config}
        return {"kind": kind, "config": json.dumps(whole), "quantity": quantity, "comparison": comparison, **bounds}

    def tests(self, about: str) -> list[Data]:
        """The predictions of a hypothesis that were tested, each with verdict, value and experiment."""
        return [one for one in self.tested.get(about, {}).get("predictions", []) if one["judged"]]

    @property
    def random_sets(self) -> bool:
        """Whether the subject has enough other heads to hold the set against."""
        return any(one["comparison"] == "beyond_control" for one in self.tests("together"))


def propose(
    course: Course,
    about: str,
    thought: str,
    predictions: Sequence[Data],
    statement: str,
    rationale: str,
    refuted_if: str,
) -> Protocol:
    """Write a hypothesis down. All of them are there before the first is tested, so that no verdict shifts another."""
    recorded = yield (
        thought,
        "propose_hypothesis",
        {
            "statement": statement, "rationale": rationale, "refuted_if": refuted_if, "predictions": list(predictions),
        },
    )  # fmt: skip
    course.proposed[about] = recorded["id"]
