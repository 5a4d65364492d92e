"""A study without a language model: a fixed protocol that chooses each configuration from the last results.

Baseline first (a task the subject cannot do is left for one it can), layers before heads, a zoom to where the
damage is, the strongest heads again under the other ablations. What each step suggests is written down with its
predictions; when the search is over, all of them are tested on prompts that nothing was run on; a report. It reads
only what the tools answered: the whole protocol is a function of the conversation, so it can be taken up again at
any step.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import autopilot_review
from .autopilot_confirm import predict_backup, predict_heads, test_all
from .autopilot_course import Course, Data, Protocol, as_reply
from .autopilot_judge import heads_named, layers_named, listing, yardstick_for_heads
from .autopilot_report import nothing_report, report
from .autopilot_search import search_heads, search_layers
from .conversation import Message, Reply, ToolSpec

# The lower end of the accuracy's interval from which damage can be seen: more than is got by chance.
ABLE, ABLE_YES_NO = 0.35, 0.5


class Autopilot:
    """The driver. `reply` runs the protocol over what has been answered so far and gives its next step."""

    name = "autopilot"
    llm = ""

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        first = messages[0].data or {}
        if "reviews" in first:
            return autopilot_review.reply(messages)
        steps = protocol(first)
        thought, tool, arguments = next(steps)
        for message in messages[1:]:
            if message.role == "user" and message.data and "spent" in message.data:
                break
            if message.role == "tool":
                refused = bool((message.data or {}).get("refused"))
                if refused and tool != "baseline":
                    return Reply(text=f"A step was refused, so the protocol cannot go on: {message.text[:300]}")
                try:
                    thought, tool, arguments = steps.send({} if refused else message.data or {})
                except StopIteration:
                    return Reply(text="The protocol is done.")
        else:
            if "task" in arguments:
                arguments = {**arguments, "n": first.get("n", 32)}
            return as_reply(thought, tool, arguments, len(messages))
        return Reply(text="The budget is spent.")


def bar(answer_kind: str) -> float:
    return ABLE_YES_NO if answer_kind == "yes_no" else ABLE


def able(found: Data, answer_kind: str) -> bool:
    accuracy = found.get("measurements", {}).get("accuracy")
    return accuracy is not None and accuracy["low"] > bar(answer_kind)


def protocol(study: Data) -> Protocol:
    """The steps of a study, each told what the one before it gave."""
    listed = yield "What tasks are there, should this one be too hard?", "list_tasks", {}
    kinds = {t["name"]: t["answer_kind"] for t in listed.get("tasks", [])}
    tried: list[Data] = []
    unasked: list[str] = []
    for task in (study["task"], *(name for name in kinds if name != study["task"])):
        baseline = yield (
            f"Can the subject do {task} at all?",
            "baseline",
            {"task": task, "reason": f"Baseline of {task}: damage to what cannot be done means nothing."},
        )
        if not baseline:
            # Its tokenizer cannot carry the task, or there are too few prompts; the answer says so.
            unasked.append(task)
            continue
        tried.append(baseline)
        if able(baseline, kinds.get(task, "")):
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
    course = Course(study=study, task=task, left=tried[:-1], unasked=unasked, baseline=baseline,
                    yardstick=yardstick_for_heads(baseline), able=bar(kinds.get(task, "")))  # fmt: skip
    yield from search_layers(course)
    yield from search_heads(course)
    if course.kept:
        yield from predict_heads(course)
    if len(course.vanished) > 1:
        yield from predict_backup(course)
    yield from test_all(course)
    yield "What a later study should know.", "write_note", note(course)
    yield "The report.", "write_report", report(course)


def note(course: Course) -> Data:
    tests = course.tests("together")
    kept = heads_named(course.kept) if course.kept else "no head"
    said = [
        f"Searched head by head: {layers_named(course.searched)}.",
        f"Left by the search and tested on held-out prompts: {kept} ({course.tested['together']['verdict']})."
        if course.kept
        else "The search left no head that is needed by itself.",
    ]
    if course.vanished:
        said.append(f"Zero alone misled on {listing(course.vanished)}: without damage under mean or resample.")
    return {
        "title": f"{course.task}: heads that matter in {course.baseline['config']['model']}"[:120],
        "text": " ".join(said),
        "tags": [course.task, "heads", "layers"],
        "experiments": [
            course.heads["id"],
            *dict.fromkeys(one["judged"]["experiment"] for one in tests),
        ],
    }
