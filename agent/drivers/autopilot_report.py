"""The text of the autopilot's report: prose with slots.

Verdicts stand in slots, too, so that no sentence can say more than the tracker does.
"""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]


def report(
    study: Data, task: str, left: list[str], baseline: Data, layers: Data, heads: Data, repeats: list[Data],
    wider: Data | None, tests: list[Data], backup: Data | None, programs: list[Data],
    hypotheses: tuple[str, str, str], chosen: list[str], kept: list[str],
) -> str:  # fmt: skip
    """The source: prose with slots. Verdicts stand in slots too, so that no sentence can say more than they do."""
    base, lay, hea = baseline["id"], layers["id"], heads["id"]
    zero, mean, resample = (t["id"] for t in tests)
    one, two, three = hypotheses
    dropped = [site for site in chosen if site not in kept]
    names = ", ".join(kept)
    lines = [
        f"# {' '.join(study['goal'].split())}",
        "",
        "## Answer",
        "",
        f"On `{task}` the intact subject is right in {slot(base, 'accuracy')} of the prompts. The layer it can spare "
        f"least: {slot(lay, 'top')}, whose absence changes the loss by "
        f"{slot(lay, 'effect[' + layers_top(layers) + ']')}. Heads that the search left: {names}. Removed on prompts "
        f"not looked at before, by their means, they cost {slot(mean, 'accuracy_drop')} of accuracy. That they are "
        f"needed is **{slot(three, 'status')}**.",
        "",
        *(
            [f"The subject could not do {', '.join(f'`{t}`' for t in left)}, so the study went on with `{task}`.", ""]
            if left
            else []
        ),
        "## What it can do",
        "",
        f"Loss {slot(base, 'loss')}; logit difference to a distractor {slot(base, 'logit_diff')}.",
        "",
        slot(base, "figure"),
        "",
        "## Layers",
        "",
        f"Each layer was left out by itself. {one}, which said beforehand that some can be spared and others not, is "
        f"{slot(one, 'status')}.",
        "",
        slot(lay, "figure"),
        "",
        f"Without {layers_word(programs[0])} accuracy falls by {slot(programs[0]['id'], 'accuracy_drop')} on held-out "
        f"prompts; without {layers_word(programs[1])} by {slot(programs[1]['id'], 'accuracy_drop')}.",
        "",
        "## Heads",
        "",
        "In the layers whose absence hurt most, every head was set to zero by itself.",
        "",
        slot(hea, "figure"),
        "",
        f"{two} said beforehand that the strongest of them ({', '.join(chosen)}) are needed whichever way they are "
        f"removed. It is {slot(two, 'status')}: with the mean over prompts in place of zero the effects are these.",
        "",
        slot(repeats[0]["id"], "table"),
        "",
        *backed_up(dropped, backup),
        *searched_on(wider),
        "## The test on held-out prompts",
        "",
        f"{three}: {names}. Change of the logit difference, and of accuracy, when removed:",
        "",
        *(
            f"- {method}: {slot(e, 'logit_diff_change')}; accuracy falls by {slot(e, 'accuracy_drop')}; "
            f"a larger change than {slot(e, 'percentile')} of random sets of as many heads of the same layers."
            for method, e in (("zero", zero), ("mean", mean), ("resample", resample))
        ),
        "",
        "## What stays open",
        "",
        "Only the heads of some layers were searched. A head that has a backup is missed when heads are removed one "
        "at a time. What these heads do, and through which later parts, was not asked.",
    ]
    return "\n".join(lines)


def slot(of: str, what: str) -> str:
    return f"{{{{{of}.{what}}}}}"


def backed_up(dropped: list[str], backup: Data | None) -> list[str]:
    if backup is None:
        return []
    return [
        f"{', '.join(dropped)} did not hold by themselves. Removed all at once (mean, held-out prompts) they change "
        f"the logit difference by {slot(backup['id'], 'logit_diff_change')} and accuracy falls by "
        f"{slot(backup['id'], 'accuracy_drop')}.",
        "",
    ]


def searched_on(wider: Data | None) -> list[str]:
    if wider is None:
        return []
    return [
        f"As few held, the search went on in the next layers, with means. Strongest there: {slot(wider['id'], 'top')}.",
        "",
        slot(wider["id"], "figure"),
        "",
    ]


def layers_top(layers: Data) -> str:
    return max(layers["effects"], key=lambda e: abs(e["value"]))["site"]


def layers_word(program: Data) -> str:
    run = program["config"]["program"]
    present: set[int] = set()
    for piece in run.split(","):
        ends = [int(x) for x in piece.strip().split("-")]
        present |= set(range(ends[0], ends[-1] + 1))
    missing = sorted(set(range(max(present) + 2)) - present)
    return f"layer {missing[0]}" if missing else "a layer"


def nothing_report(study: Data, baseline: Data) -> str:
    b = baseline.get("id")
    lines = [
        f"# {' '.join(study['goal'].split())}",
        "",
        "The subject could do none of the tasks well enough to study damage.",
    ]
    return "\n".join([*lines, "", f"The last one tried: accuracy {{{{{b}.accuracy}}}}."] if b else lines)
