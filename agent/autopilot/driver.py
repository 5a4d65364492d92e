"""A study without a language model: a fixed protocol that chooses each configuration from the last results.

Baseline first (a task the subject cannot do is left for one it can), layers before heads, a zoom to where the
damage is, the strongest heads again under the other ablations, a set of the other heads without which the task is lost.
What each step suggests is written down with its predictions; when the search is over, all of them are tested on
prompts that nothing was run on; a report. It reads only what the tools answered: the whole protocol is a function of
the conversation, so it can be taken up again at any step.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..drivers.conversation import Message, Reply, ToolSpec
from . import review
from .confirm import predict_backup, predict_heads, predict_stand_ins, test_all
from .course import Course, Data, Protocol, as_reply
from .judge import heads_named, layers_named, listing, yardstick_for_heads
from .report import nothing_report, report
from .search import search_heads, search_jointly, search_layers

# What a study can go on without: when it is refused, the protocol is told so, and claims nothing of it.
SPARED = ("baseline", "minimal_set", "propose_hypothesis", "test_hypothesis", "write_note", "write_report")


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
                if answer.get("refused") and tool not in SPARED:
                    return Reply(text=f"A step was refused, so the protocol cannot go on: {message.text[:300]}")
                try:
                    thought, tool, arguments = steps.send(answer)
                except StopIteration:
                    return Reply(text="The protocol is done.")
        else:
            if "task" in arguments:
                arguments = {**arguments, "n": first.get("n", 32)}
            return as_reply(thought, tool, arguments, len(messages))
        return Reply(text="The budget is spent.")


def able(found: Data) -> bool:
    """Whether a baseline shows that the subject says the answer or prefers it, against chance."""
    return "accuracy" in found.get("measurements", {}) and "unable" not in found.get("doubts", ())


def protocol(study: Data) -> Protocol:
    """The steps of a study, each told what the one before it gave."""
    listed = yield "What tasks are there, should this one be too hard?", "list_tasks", {}
    tried: list[Data] = []
    unasked: list[str] = []
    for task in dict.fromkeys((study["task"], *(t["name"] for t in listed.get("tasks", [])))):
        baseline = yield (
            f"Can the subject do {task} at all?",
            "baseline",
            {"task": task, "reason": f"Baseline of {task}: damage to what cannot be done means nothing."},
        )
        if baseline.get("refused"):
            # Its tokenizer cannot carry the task, or there are too few prompts; the answer says so.
            unasked.append(task)
            continue
        tried.append(baseline)
        if able(baseline):
            break
    else:
        yield (
            "The subject can do none of the tasks; that is what there is to report.",
            "write_report",
            nothing_report(study, tried, unasked),
        )
        return
    baseline = tried[-1]
    task = baseline["config"]["task"]
    yardstick = yardstick_for_heads(baseline)
    course = Course(study=study, task=task, left=tried[:-1], unasked=unasked, baseline=baseline, yardstick=yardstick)
    yield from search_layers(course)
    yield from search_heads(course)
    yield from search_jointly(course)
    if course.kept:
        yield from predict_heads(course)
    if course.stand_ins:
        yield from predict_stand_ins(course)
    # Of heads that were just predicted to stand in for each other the contrary is not predicted, too.
    if len(course.vanished) > 1 and not set(course.stand_ins) & set(course.vanished):
        yield from predict_backup(course)
    yield from test_all(course)
    yield "What a later study should know.", "write_note", note(course)
    yield from written(report(course))


def written(given: Data) -> Protocol:
    """The report; without its claims, should they be refused. Should that be refused, too, the program writes one."""
    found = yield "The report.", "write_report", given
    if found.get("refused"):
        yield "The claims were refused; the report without them.", "write_report", {**given, "findings": None}


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
        said.append(f"Zero alone misled on {listing(course.vanished)}: without damage under mean or resample.")
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
