"""The text of the autopilot's report: prose with slots.

Numbers and verdicts stand in slots, so that no sentence can say more than the tracker does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...tools.evidence.verdict import METHODS
from .course import Course, Data
from .judge import LAYERS, LOST, heads_named, layer_of, layers_named, listing


def report(course: Course) -> Data:
    """The arguments of write_report for a study whose task could be done."""
    sections = (ability(course), layers(course), heads(course), confirmation(course), untested(course))
    return {
        "title": " ".join(course.study["goal"].split()),
        "claims": [],
        "findings": claims(course),
        "interpretation": "\n\n".join(block for section in sections for block in section),
    }


def claims(course: Course) -> list[Data]:
    """What the search and the tests were about, as data: the program gives the verdicts and writes the sentences, so
    nothing here can be false."""
    task, found = course.task, list[Data]()

    def claim(kind: str, parts: Sequence[str]) -> None:
        one = {"type": kind, "parts": list(parts), "task": task}
        if parts and one not in found:
            found.append(one)

    claim("needed", course.kept)
    for head in (*course.kept, *course.rest):
        claim("needed", [head])
    if len(course.stand_ins) > 1:
        claim("stands_in", course.stand_ins)
    if len(course.artefacts) > 1 and "artefacts" in course.tested:
        claim("spare", course.artefacts)
    claim("needed", [] if course.needed_layer is None else [f"L{course.needed_layer}"])
    return found


def experiment_of(course: Course, about: str, method: str) -> str | None:
    """The experiment of a hypothesis' test under this method of removal."""
    return next(
        (one["judged"]["experiment"] for one in course.tests(about) if one["config"].get("method") == method), None
    )


def ability(course: Course) -> list[str]:
    base = course.baseline
    text = (
        f"Intact, the subject answers a share of {slot(base, 'accuracy')} of the prompts of `{course.task}` "
        f"correctly; its loss on the answer is {slot(base, 'loss')}"
    )
    if "logit_diff" in base["measurements"]:
        text += f", and its logit difference to a plausible wrong one is {slot(base, 'logit_diff')}"
    tested = f"Tested against chance, it {course.does}."
    if not course.says:
        tested += " What is found here is about what it prefers; accuracies of generated text mean little."
    return ["## What the subject can do", f"{text}. {tested}", slot(base, "figure")]


def layers(course: Course) -> list[str]:
    top, yardstick = LAYERS.sorted(course.sweep)[0], course.yardstick
    effect = slot(course.sweep, f"effect[{top['site']}]")
    blocks = [
        "## Layers",
        f"Each layer was left out by itself. On the prompts to explore, layer {layer_of(top)} is missed most: "
        f"without it the loss changes by {effect}.",
        slot(course.sweep, "figure"),
    ]
    for one in course.tests("layers"):
        test = one["judged"]["experiment"]
        blocks.append(
            f"On held-out prompts, without layer {course.needed_layer}: the {yardstick.noun} changes by "
            f"{slot(test, yardstick.measured)}, and accuracy goes from {slot(test, 'intact_accuracy')} to "
            f"{slot(test, 'accuracy')}."
        )
    return blocks


def heads(course: Course) -> list[str]:
    yardstick = course.yardstick
    blocks = [
        "## The search for heads",
        f"In {layers_of(course.heads)}, whose absence {'hurt' if course.any_layer_needed else 'changed'} most, every "
        f"head was set to zero by itself. A head was followed up when its damage was more than {yardstick.said}, with "
        "an interval that does not reach zero.",
        slot(course.heads, "figure"),
    ]
    if course.repeat is not None:
        one = len(course.chosen) == 1
        blocks += [
            f"{'That is' if one else 'The strongest are'} {listing(course.chosen)}. Zero is a value that a head may "
            f"never have, so {'it was' if one else 'each was'} removed again, by its mean over other prompts:",
            slot(course.repeat, "table"),
        ]
    else:
        blocks.append("None was.")
    if course.undecided:
        blocks.append(f"The search leaves {listing(course.undecided)} undecided.")
        by = [one for about in ("each", "artefacts", "undecided") for one in course.tests(about)]
        for one in [one for one in by if not one["config"].get("together")][:1]:
            for site in course.undecided:
                change = slot(one["judged"]["experiment"], f"effect[{site}]")
                blocks.append(
                    f"On held-out prompts the mean in place of {site} changes the {yardstick.noun} by {change}."
                )
    if not course.kept and not course.undecided:
        blocks.append(
            f"The search left no head whose removal, by itself, does more damage than {yardstick.said}. That does "
            "not prove that there is none: see what was not tested."
        )
    if course.vanished:
        blocks.append(
            f"Zero alone would have misled on {listing(course.vanished)}: under the mean the whole interval of the "
            f"change lies within {yardstick.said}."
        )
    at_once = next((one for one in course.tests("artefacts") if one["config"].get("together")), None)
    if at_once is not None:
        test = at_once["judged"]["experiment"]
        blocks.append(
            f"Heads may stand in for each other. {listing(at_once['config']['heads'])}, replaced by their means all at "
            f"once on held-out prompts, change the {yardstick.noun} by {slot(test, yardstick.measured)}; accuracy "
            f"falls by {slot(test, 'accuracy_drop')}."
        )
    if course.wider is not None:
        found = listing(course.found_wider) if course.found_wider else "no further head"
        how = (
            f"As few were left, gradients ranked the heads of {layers_named(course.screened)}, and the strongest were "
            f"replaced by their means. That added {found}."
            if course.screened
            else f"As few were left, the search went on by means in {layers_of(course.wider)}. It added {found}."
        )
        blocks += [how, slot(course.wider, "figure")]
    return blocks + jointly(course)


def jointly(course: Course) -> list[str]:
    """The search for heads that stand in for each other."""
    if course.joint is None:
        return []
    rest, where = "other heads" if course.kept else "heads", layers_named(course.joint["config"]["layers"])
    asked = (
        f"Heads that stand in for each other show little one at a time. So a set of the {rest} of {where} was looked "
        "for without which the task is lost, by their means. "
    )
    left = f"a share of {slot(course.joint, 'share')} of what is intact is left"
    if course.stand_ins:
        test = experiment_of(course, "stand_ins", "mean")
        said = f"It is {listing(course.stand_ins)}: without them {left}."
        if test is not None:
            said += (
                f" On held-out prompts their removal at once changes the {course.yardstick.noun} by "
                f"{slot(test, course.yardstick.measured)}."
            )
    elif course.joint["measurements"]["share"]["high"] < LOST:
        said = f"The smallest that was found has this many heads: {slot(course.joint, 'size')}. Without them {left}."
    else:
        said = f"None was shown to be such a set: without the best that was found {left}."
    return [asked + said]


def confirmation(course: Course) -> list[str]:
    if not course.tests("together"):
        return []
    yardstick = course.yardstick
    rows: list[str] = []
    for method in METHODS:
        test = experiment_of(course, "together", method)
        if test is not None:
            row = (
                f"- {method}: the {yardstick.noun} changes by {slot(test, yardstick.measured)}; accuracy falls by "
                f"{slot(test, 'accuracy_drop')}; "
            )
            if course.random_sets:
                row += (
                    f"random sets of as many heads change it by {slot(test, 'control_change')} in the mean (here n "
                    f"counts the sets), and among these it has by damage the rank {slot(test, 'control_rank')}."
                )
            else:
                row += "there are too few other heads for random sets to show anything."
            rows.append(row)
    names = heads_named(course.kept)
    return ["## The test on held-out prompts", f"T{names[1:]}, removed at once:", "\n".join(rows)]


def undecidable(course: Course) -> str:
    """The hypotheses on which no outcome could have been a verdict."""
    names = [course.proposed[about] for about in course.impossible]
    return (
        f"{listing(names)}: so few different questions can show nothing; more prompts (--n) are needed."
        if names
        else ""
    )


def untested(course: Course) -> list[str]:
    n_layers = len(course.sweep["effects"])
    others = sorted(set(range(n_layers)) - {*course.searched, *course.screened})
    items = [
        f"Heads of {layers_named(others)}: none was removed." if others else "",
        f"Most heads of {layers_named(course.screened)}: only those that gradients ranked highest were removed, and "
        "gradients can miss a head."
        if course.screened
        else "",
        undecidable(course),
        "Heads in pairs or larger sets, but for those named above: a head that has a backup is missed when heads are "
        "removed one at a time, and so is one whose effect is smaller than the bound. A search for a set without which "
        "the task is lost finds one such set, and there may be others.",
        "The other half of each layer (its MLP), single neurons, and what one part sends to another.",
        "What these parts do. That damage follows when a part is removed says that it matters here, not how.",
        f"Other models, other tasks, and other wordings of `{course.task}`.",
        not_asked(course.refused),
    ]
    return ["## What was not tested", "\n".join(f"- {item}" for item in items if item)]


def layers_of(sweep: Data) -> str:
    """The layers whose heads a sweep removed."""
    return layers_named({int(e["site"].split(".")[0][1:]) for e in sweep["effects"]})


def slot(of: Data | str, what: str) -> str:
    return f"{{{{{of if isinstance(of, str) else of['id']}.{what}}}}}"


def task_of(baseline: Data) -> str:
    name = baseline["config"]["task"]
    return slot(baseline, "config.task") if any(map(str.isdigit, name)) else f"`{name}`"


def not_asked(tasks: list[str]) -> str:
    if not tasks:
        return ""
    # A name that holds a number would be taken for a typed one, and no experiment is there to quote it from.
    names = [f"`{name}`" for name in tasks if not any(map(str.isdigit, name))]
    more = ["others"] if len(names) < len(tasks) else []
    return f"Tasks that could not be put to this subject: {listing([*names, *more])}. Their baselines were refused."


def nothing_report(study: Data, tried: list[Data], refused: list[str]) -> Data:
    """The arguments of write_report for a study that found no task to study damage on."""
    can = (
        "The subject is shown neither to say the answers of these tasks nor to prefer them to wrong ones: what cannot "
        "be done cannot be damaged. The share of right answers, and of prompts where the answer is preferred:"
    )
    lines = [
        can if tried else "No task could be put to this subject, so nothing was measured.",
        "",
        *(
            f"- {task_of(b)}: {slot(b, 'accuracy')}"
            + (f", {slot(b, 'prefers_answer')}" if "prefers_answer" in b["measurements"] else "")
            for b in tried
            if "accuracy" in b.get("measurements", {})
        ),
        "",
        "## What was not tested",
        "",
        "- Anything about layers and heads: no part was removed.",
        "- Other wordings, more examples in the prompt, and other tasks (`--task` takes a file of your own prompts).",
        *([f"- {not_asked(refused)}"] if refused else []),
    ]
    return {"title": " ".join(study["goal"].split()), "claims": [], "interpretation": "\n".join(lines)}
