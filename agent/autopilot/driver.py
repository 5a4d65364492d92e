"""A study without a language model: a fixed protocol that chooses each configuration from the last results.

Baseline first (a task the subject cannot do is left for one it can), layers before heads, the heads of the layers
that hurt most, the strongest of them again under the mean, a set of the other heads without which the task is lost. The
search looks at half of the prompts where it only chooses what is measured again. What it suggests is written down as
predictions; then each prediction is tested on prompts that nothing has run on, damage under zero, mean and resample; a
report. A goal that asks for a circuit takes another course (`circuit`).

It reads only what the tools answered: the whole protocol is a function of the conversation, so it can be resumed at any
step.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..drivers.conversation import Message, Reply, ToolSpec
from . import review
from .circuit import asks_for_circuit, circuit_note, circuit_report, predict_circuit, search_circuit
from .confirm import TESTED, predict_each, predict_heads, predict_stand_ins, test_all
from .course import Course, Data, Protocol, as_reply
from .judge import heads_named, layers_named, listing, yardstick_for_heads
from .report import nothing_report, report
from .search import search_heads, search_jointly, search_layers

# What a study can do without: the protocol reads the refusal, and claims nothing of it.
SPARED = (
    "baseline",
    "minimal_set",
    "circuit_discovery",
    "propose_hypothesis",
    "test_hypothesis",
    "write_note",
    "write_report",
)


def can_spare(tool: str, arguments: Data) -> bool:
    """Whether the study goes on when this step is refused. Not every subject has gradients."""
    return tool in SPARED or arguments.get("sweep") == "attribution"


class Autopilot:
    """The driver. `reply` runs the protocol over what has been answered so far and gives its next step."""

    name = "autopilot"
    llm = ""

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        first = messages[0].data or {}
        if "reviews" in first:
            return review.reply(messages)
        steps = protocol(first)
        thought, tool, arguments = next(steps)
        for message in messages[1:]:
            if message.role == "user" and message.data and "spent" in message.data:
                break
            if message.role == "tool":
                answer = message.data or {}
                if answer.get("refused") and not can_spare(tool, arguments):
                    return Reply(text=f"A step was refused, so the protocol cannot go on: {message.text[:300]}")
                try:
                    thought, tool, arguments = steps.send(answer)
                except StopIteration:
                    return Reply(text="The protocol is done.")
        else:
            if "task" in arguments:
                arguments = {"n": first.get("n", 32), **arguments}
            return as_reply(thought, tool, arguments, len(messages))
        return Reply(text="The budget is spent.")


def able(found: Data) -> bool:
    """Whether a baseline shows that the subject says the answer or prefers it, against chance."""
    return "accuracy" in found.get("measurements", {}) and "unable" not in found.get("doubts", ())


def protocol(study: Data) -> Protocol:
    """The steps of a study; each receives what the one before it gave."""
    tried: list[Data] = []
    refused: list[str] = []
    tasks = [study["task"]]
    for task in tasks:
        baseline = yield (
            f"First: can the model do {task} at all? Damage to what it cannot do would mean nothing.",
            "baseline",
            {"task": task, "reason": f"Baseline of {task}: damage to what cannot be done means nothing."},
        )
        if len(tasks) == 1 and not able(baseline):
            listed = yield f"Not {task}. Which other tasks are there?", "list_tasks", {}
            tasks += [one["name"] for one in listed.get("tasks", []) if one["name"] != task]
        if baseline.get("refused"):
            # Its tokenizer cannot carry the task, or there are too few prompts; the answer says so.
            refused.append(task)
            continue
        tried.append(baseline)
        if able(baseline):
            break
    else:
        yield (
            "The subject can do none of the tasks; that is what there is to report.",
            "write_report",
            nothing_report(study, tried, refused),
        )
        return
    baseline = tried[-1]
    task = baseline["config"]["task"]
    yardstick = yardstick_for_heads(baseline)
    course = Course(study=study, task=task, left=tried[:-1], refused=refused, baseline=baseline, yardstick=yardstick)
    if asks_for_circuit(study["goal"]):
        yield from search_circuit(course)
    if course.circuit:
        yield from predict_circuit(course)
    else:
        yield from search_parts(course)
    yield from test_all(course)
    made_note, made_report = (circuit_note, circuit_report) if course.circuit else (note, report)
    yield f"{closing(course)} A note for later studies.", "write_note", made_note(course)
    yield from written(made_report(course))


def search_parts(course: Course) -> Protocol:
    """Layers, heads and heads that stand in for each other; what that suggests is written down."""
    yield from search_layers(course)
    yield from search_heads(course)
    yield from search_jointly(course)
    if course.kept:
        yield from predict_heads(course)
    if course.rest or len(course.kept) > 1:
        yield from predict_each(course)
    if course.stand_ins:
        yield from predict_stand_ins(course)


def written(given: Data) -> Protocol:
    """The report; without its claims, should they be refused. Should that be refused, too, the program writes one."""
    found = yield "The report.", "write_report", given
    if found.get("refused"):
        yield "The claims were refused; the report without them.", "write_report", {**given, "findings": None}


def closing(course: Course) -> str:
    """The verdicts when all is tested: each test moves those before it, as all are corrected together."""
    said = [
        f"{name} ({TESTED[about]}): {course.verdicts.get(name, 'not tested')}"
        for about, name in course.proposed.items()
    ]
    return (
        f"All tests are done. The verdicts, corrected for all predictions together: {'; '.join(said)}."
        if said
        else ("There was nothing to test.")
    )


def note(course: Course) -> Data:
    def verdict(about: str) -> str:
        return course.verdicts.get(course.proposed.get(about, ""), "not tested")

    tests = course.tests("together")
    kept = heads_named(course.kept) if course.kept else "no head"
    said = [
        f"Intact, the subject {course.does}.",
        f"Searched head by head: {layers_named(course.searched)}.",
        f"Left by the search and tested on held-out prompts: {kept} ({verdict('together')})."
        if course.kept
        else "The search left no head that is needed by itself.",
    ]
    if course.vanished:
        said.append(f"Zero alone misled on {listing(course.vanished)}: no damage under the mean.")
    if course.undecided:
        said.append(f"Left undecided by the search: {listing(course.undecided)}.")
    if course.stand_ins:
        said.append(f"Heads that stand in for each other: {listing(course.stand_ins)} ({verdict('stand_ins')}).")
    return {
        "title": f"{course.task}: heads that matter in {course.baseline['config']['model']}"[:120],
        "text": " ".join(said),
        "tags": [course.task, "heads", "layers"],
        "experiments": [
            course.heads["id"],
            *dict.fromkeys(one["judged"]["experiment"] for one in tests),
        ],
    }
