"""What the autopilot knows so far of its study, and the form of its steps."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..drivers.conversation import Call, Reply
from .judge import Data, Yardstick

Step = tuple[str, str, Data]  # what is thought, the tool, its arguments
Protocol = Generator[Step, Data, None]


def as_reply(thought: str, tool: str, arguments: Data, at: int) -> Reply:
    """A step as what a driver answers; `at` makes the call's id."""
    return Reply(text=thought, calls=(Call(id=f"auto_{at}", name=tool, arguments=json.dumps(arguments)),))


LEAST = 16  # prompts of a first look, where a study has so many


@dataclass
class Course:
    """Experiments as the tools gave them, in the order in which they are made.

    left         baselines of tasks that the subject could not do
    refused      tasks whose baselines the tools refused
    sweep        each layer left out; `needed_layer` and `spare_layer` are what it suggests
    searched     layers whose heads were removed one by one
    chosen       the strongest heads under zero; `repeat` is the same under the mean
    vanished     those of them whose change under the mean lay within the bound
    wider        the search by means, where few heads were left; `found_wider` are the heads it added
    screened     layers of the wider search whose heads it looked through by gradients, to remove the strongest only
    kept         what is left: needed under zero and the mean, or found by the wider search
    joint        the search for a set of other heads without which the task is lost; `stand_ins` are its members
    circuit      the circuit that was found, if the goal asks for one
    proposed     the ids of the hypotheses by what they are about, in the order in which they were written down
    impossible   which of them no outcome can support or refute, for too few questions
    tested       what came of them, each when it was tested
    statuses     of all hypotheses by id, after the last test, and `verdicts` in words: a later test changes what an
                 earlier one has to show
    """

    study: Data
    task: str
    left: list[Data]
    refused: list[str]
    baseline: Data
    yardstick: Yardstick
    sweep: Data = field(default_factory=dict[str, Any])
    needed_layer: int | None = None
    spare_layer: int | None = None
    any_layer_needed: bool = False
    searched: list[int] = field(default_factory=list[int])
    heads: Data = field(default_factory=dict[str, Any])
    chosen: list[str] = field(default_factory=list[str])
    repeat: Data | None = None
    vanished: list[str] = field(default_factory=list[str])
    wider: Data | None = None
    found_wider: list[str] = field(default_factory=list[str])
    screened: list[int] = field(default_factory=list[int])
    kept: list[str] = field(default_factory=list[str])
    joint: Data | None = None
    stand_ins: list[str] = field(default_factory=list[str])
    circuit: Data = field(default_factory=dict[str, Any])
    proposed: dict[str, str] = field(default_factory=dict[str, str])
    impossible: list[str] = field(default_factory=list[str])
    tested: dict[str, Data] = field(default_factory=dict[str, Data])
    statuses: dict[str, str] = field(default_factory=dict[str, str])
    verdicts: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def n(self) -> int:
        """How many prompts a test takes, and a search that decides what is tested."""
        return int(self.study.get("n", 32))

    @property
    def looked_at(self) -> int:
        """How many prompts a first look takes: half of them, since it only chooses what is measured again."""
        return max(self.n // 2, min(self.n, LEAST))

    @property
    def rest(self) -> list[str]:
        """The heads that hurt under zero and were not kept."""
        return [site for site in self.chosen if site not in self.kept]

    @property
    def artefacts(self) -> list[str]:
        """Those that hurt under zero only, but for such as may stand in for each other."""
        return [site for site in self.vanished if site in self.rest and site not in self.stand_ins]

    @property
    def undecided(self) -> list[str]:
        """Those that hurt under zero and may matter under the mean."""
        return [site for site in self.rest if site not in self.vanished]

    def predict(self, kind: str, config: Data, comparison: str, quantity: str = "excess", **bounds: float) -> Data:
        """A prediction on held-out prompts of the course's task."""
        whole = {"task": self.task, "n": self.n, **config}
        return {"kind": kind, "config": json.dumps(whole), "quantity": quantity, "comparison": comparison, **bounds}

    def tests(self, about: str) -> list[Data]:
        """The predictions of a hypothesis that were tested, each with verdict, value and experiment."""
        return [one for one in self.tested.get(about, {}).get("predictions", []) if one["judged"]]

    def status(self, about: str) -> str:
        """The current verdict on a hypothesis; "open" without a test."""
        return self.statuses.get(self.proposed.get(about, ""), "open") if about in self.tested else "open"

    @property
    def n_layers(self) -> int:
        return len(self.sweep["effects"])

    @property
    def n_heads(self) -> int:
        """Of a layer, as the sweep over heads has them."""
        found = [effect["site"].split(".")[0] for effect in self.heads["effects"]]
        return max(map(found.count, found))

    @property
    def says(self) -> bool:
        """Whether the intact subject is shown to say the answer."""
        return "not_said" not in self.baseline.get("doubts", ())

    @property
    def prefers(self) -> bool:
        """Whether it is shown to prefer the answer to the distractor."""
        graded = "prefers_answer" in self.baseline["measurements"]
        return graded and "not_preferred" not in self.baseline.get("doubts", ())

    @property
    def does(self) -> str:
        """What it can do, after "the subject"."""
        if not self.says:
            return "prefers the answer to a wrong one, and is not shown to say it"
        if self.prefers:
            return "says the answer, and prefers it to a wrong one"
        return "says the answer"

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
    # What is refused is not claimed, and the study goes on without it.
    if not recorded.get("refused"):
        course.proposed[about] = recorded["id"]
        if recorded.get("impossible"):
            course.impossible.append(about)
