"""A study without a language model: a fixed protocol that chooses each configuration from the last results.

Baseline first (a task the subject cannot do is left for one it can), layers before heads, a zoom to where the
damage is, the strongest heads again under the other ablations, then together on prompts not looked at before,
with random sets beside them; verdicts from intervals; a report. It reads only what the tools answered: the
whole protocol is a function of the conversation, so it can be taken up again at any step.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any

from .conversation import Call, Message, Reply, ToolSpec

Data = dict[str, Any]
Step = tuple[str, str, Data]  # what is thought, the tool, its arguments
Protocol = Generator[Step, Data, None]

ABLE = 0.35  # the lower end of the accuracy's interval from which damage can be seen
LAYERS = 6  # how many layers are searched for heads
HEADS = 6  # how many heads are followed up
ENOUGH = 3  # with fewer heads left than this, the search goes on


class Autopilot:
    """The driver. `reply` runs the protocol over what has been answered so far and gives its next step."""

    name = "autopilot"
    llm = ""

    def reply(self, instructions: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        first = messages[0].data or {}
        steps = protocol(first)
        thought, tool, arguments = next(steps)
        for message in messages[1:]:
            if message.role == "user" and message.data and "spent" in message.data:
                break
            if message.role == "tool":
                if (message.data or {}).get("refused"):
                    return Reply(text=f"A step was refused, so the protocol cannot go on: {message.text[:300]}")
                try:
                    thought, tool, arguments = steps.send(message.data or {})
                except StopIteration:
                    return Reply(text="The protocol is done.")
        else:
            return as_reply(thought, tool, arguments, len(messages))
        return Reply(text="The budget is spent.")


def as_reply(thought: str, tool: str, arguments: Data, at: int) -> Reply:
    return Reply(text=thought, calls=(Call(id=f"auto_{at}", name=tool, arguments=json.dumps(arguments)),))


def strongest(found: Data, q: float = 0.05, sign: int = 0) -> list[Data]:
    """Effects that are significant after correction, strongest first; sign keeps only one direction."""
    kept = [
        e for e in found.get("effects", []) if e["q"] is not None and e["q"] < q and (not sign or e["value"] * sign > 0)
    ]
    return sorted(kept, key=lambda e: -abs(e["value"]))


def able(found: Data) -> bool:
    accuracy = found.get("measurements", {}).get("accuracy")
    return accuracy is not None and accuracy["low"] > ABLE


def protocol(study: Data) -> Protocol:
    """The steps of a study, each told what the one before it gave."""
    task = study["task"]
    listed = yield "What tasks are there, should this one be too hard?", "list_tasks", {}
    others = [t["name"] for t in listed.get("tasks", []) if t["name"] != task]
    left: list[str] = []
    baseline: Data = {}
    for candidate in (task, *others):
        baseline = yield (
            f"Can the subject do {candidate} at all?",
            "baseline",
            {"task": candidate, "reason": f"Baseline of {candidate}: damage to what cannot be done means nothing."},
        )
        if able(baseline):
            task = candidate
            break
        left.append(candidate)
    else:
        yield (
            "The subject can do none of the tasks; that is what there is to report.",
            "write_report",
            {"markdown": nothing_report(study, baseline)},
        )
        return
    first = yield (
        "An expectation, before any layer is touched.",
        "propose_hypothesis",
        {
            "statement": f"Some layers can be left out and the subject still does {task}; others cannot.",
            "rationale": "In most language models the first layer is critical and many middle layers are not.",
            "refuted_if": "No layer can be left out without significant damage, or every one can.",
        },
    )
    layers = yield (
        "Coarse first: leave out each layer.",
        "layer_program",
        {"task": task, "sweep": "skip_each", "metric": "loss", "reason": "Which layers does the task need?"},
    )
    yield from judge_layers(first, layers)
    needed = [int(e["site"].split("L")[-1]) for e in strongest(layers, sign=1)[:LAYERS]]
    if not needed:
        ranked = sorted(layers["effects"], key=lambda e: -abs(e["value"]))
        needed = [int(e["site"].split("L")[-1]) for e in ranked[:LAYERS]]
    heads = yield (
        f"The damage is largest in layers {', '.join(map(str, needed))}; now their heads, one at a time.",
        "head_ablation",
        {
            "task": task,
            "layers": sorted(needed),
            "method": "zero",
            "reason": "Zoom to the layers whose loss hurt most.",
        },
    )
    chosen = [e["site"] for e in strongest(heads, sign=-1)[:HEADS]]
    if not chosen:
        chosen = [e["site"] for e in sorted(heads["effects"], key=lambda e: e["value"])[:3]]
    second = yield (
        "These may be artefacts of zero. An expectation, before it is tested.",
        "propose_hypothesis",
        {
            "statement": f"Each of the heads {', '.join(chosen)} is needed for {task} by itself, whichever way it is removed.",
            "rationale": f"They had the strongest significant effects of the zero ablation {heads['id']}.",
            "refuted_if": "For one of them the interval of the change reaches zero under mean or under resample.",
        },
    )
    repeats: list[Data] = []
    for method in ("mean", "resample"):
        found = yield (
            f"The same heads one at a time, {method} instead of zero.",
            "head_ablation",
            {"task": task, "heads": chosen, "method": method, "reason": f"Zero exaggerates; does {method} agree?"},
        )
        repeats.append(found)
    holding = [{e["site"] for e in strongest(r, sign=-1)} for r in repeats]
    kept = [site for site in chosen if all(site in h for h in holding)]
    dropped = [site for site in chosen if site not in kept]
    yield (
        "The verdict follows from the intervals.",
        "update_hypothesis",
        {
            "hypothesis": second["id"], "experiments": [heads["id"], *(r["id"] for r in repeats)],
            "status": "refuted" if dropped else "supported",
            "comment": f"Held under all three: {', '.join(kept) or 'none'}. Did not: {', '.join(dropped) or 'none'}.",
        },
    )  # fmt: skip
    wider: Data | None = None
    if len(kept) < ENOUGH:
        further = [layer for layer in by_damage(layers) if layer not in needed][:LAYERS]
        wider = yield (
            f"Few are left, so zero misled the search. Layers {', '.join(map(str, sorted(further)))} next, by their means.",
            "head_ablation",
            {
                "task": task,
                "layers": sorted(further),
                "method": "mean",
                "reason": "Search on with an ablation that holds.",
            },
        )
        kept += [e["site"] for e in strongest(wider, sign=-1)[: HEADS - len(kept)]]
    kept = kept or chosen[:1]
    names = ", ".join(kept)
    third = yield (
        "What is left is the claim. It is tested on prompts that were not looked at.",
        "propose_hypothesis",
        {
            "statement": f"{names} together {'are' if len(kept) > 1 else 'is'} needed for {task}: on other prompts, under "
            "zero, mean and resample, and more than random heads of the same layers.",
            "rationale": "This is what the search left.",
            "refuted_if": "Under some ablation the interval of the change reaches zero, or half of the random sets change "
            "as much.",
        },
    )
    tests: list[Data] = []
    for method in ("zero", "mean", "resample"):
        found = yield (
            f"The test: {names} removed, {method}, on prompts that were not looked at.",
            "head_ablation",
            {
                "task": task, "heads": kept, "together": True, "method": method, "split": "confirm",
                "reason": "The hypothesis on held-out prompts, with random sets of heads beside it.",
            },
        )  # fmt: skip
        tests.append(found)
    yield verdict(third, tests)
    backup: Data | None = None
    if dropped:
        backup = yield (
            f"{', '.join(dropped)} did not matter one by one. Do they back each other up? All of them at once.",
            "head_ablation",
            {
                "task": task, "heads": dropped, "together": True, "method": "mean", "split": "confirm",
                "reason": "Heads that are redundant alone can be necessary together.",
            },
        )  # fmt: skip
    spare = sorted((e for e in layers["effects"] if e["site"].startswith("skip")), key=lambda e: abs(e["value"]))
    programs: list[Data] = []
    for layer, word in (
        (needed[1] if needed[0] == 0 and len(needed) > 1 else needed[0], "most"),
        (layer_of(spare[0]), "least"),
    ):
        found = yield (
            f"How does it speak without layer {layer}, the one that hurt {word}?",
            "layer_program",
            {
                "task": task, "program": without(layer, len(layers["effects"])), "split": "confirm",
                "reason": f"Layer {layer} hurt {word}; text and accuracy on held-out prompts.",
            },
        )  # fmt: skip
        programs.append(found)
    yield (
        "What a later study should know.",
        "write_note",
        {
            "title": f"{task}: heads that matter in {baseline['config']['model']}",
            "text": f"Strongest under zero, layers {', '.join(map(str, sorted(needed)))}: {', '.join(chosen)}. Tested on "
            f"held-out prompts: {names}. Zero alone misled on: {', '.join(dropped) or 'none'}.",
            "tags": [task, "heads", "layers"],
            "experiments": [heads["id"], *(t["id"] for t in tests)],
        },
    )
    source = report(
        study, task, left, baseline, layers, heads, repeats, wider, tests, backup, programs,
        (first["id"], second["id"], third["id"]), chosen, kept,
    )  # fmt: skip
    yield "The report.", "write_report", {"markdown": source}


def by_damage(layers: Data) -> list[int]:
    """Layers, the one that is missed most first."""
    return [layer_of(e) for e in sorted(layers["effects"], key=lambda e: -e["value"])]


def layer_of(effect: Data) -> int:
    return int(effect["site"].split("L")[-1])


def without(layer: int, n_layers: int) -> str:
    pieces = [f"0-{layer - 1}" if layer > 1 else "0"] if layer else []
    if layer < n_layers - 1:
        pieces.append(f"{layer + 1}-{n_layers - 1}")
    return ", ".join(pieces)


def judge_layers(hypothesis: Data, layers: Data) -> Protocol:
    needed, harmless = strongest(layers, sign=1), [e for e in layers["effects"] if e["low"] <= 0 or e["q"] >= 0.05]
    status = "supported" if needed and harmless else "refuted"
    yield (
        "The verdict follows from the intervals.",
        "update_hypothesis",
        {
            "hypothesis": hypothesis["id"], "status": status, "experiments": [layers["id"]],
            "comment": f"{len(needed)} of {len(layers['effects'])} layers hurt significantly when left out; "
            f"{len(harmless)} did not.",
        },
    )  # fmt: skip


def verdict(hypothesis: Data, tests: list[Data]) -> Step:
    """Supported when every ablation hurts beyond its interval and beyond most random sets; refuted when none does."""
    holds: list[bool] = []
    fails: list[bool] = []
    for t in tests:
        effect = t["effects"][0]
        percentile = t["measurements"].get("percentile", {"value": 0})["value"]
        holds.append(effect["high"] < 0 and percentile >= 90)
        fails.append(effect["high"] >= 0 or percentile < 50)
    status = "supported" if all(holds) else "refuted" if any(fails) else "inconclusive"
    methods = ("zero", "mean", "resample")
    said = "; ".join(f"{m}: {'holds' if h else 'does not hold'}" for m, h in zip(methods, holds, strict=True))
    return (
        "The verdict follows from the intervals and the random sets.",
        "update_hypothesis",
        {
            "hypothesis": hypothesis["id"],
            "status": status,
            "comment": said + ".",
            "experiments": [t["id"] for t in tests],
        },
    )


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
        f"On `{task}` the intact subject is right in {slot(base, 'accuracy')} of the prompts. The layer it can spare least: "
        f"{slot(lay, 'top')}, whose absence changes the loss by {slot(lay, 'effect[' + layers_top(layers) + ']')}. "
        f"Heads that the search left: {names}. Removed on prompts not looked at before, by their means, they cost "
        f"{slot(mean, 'accuracy_drop')} of accuracy. That they are needed is **{slot(three, 'status')}**.",
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
            f"- {method}: {slot(e, 'logit_diff_change')}; accuracy falls by {slot(e, 'accuracy_drop')}; a larger change than "
            f"{slot(e, 'percentile')} of random sets of as many heads of the same layers."
            for method, e in (("zero", zero), ("mean", mean), ("resample", resample))
        ),
        "",
        "## What stays open",
        "",
        "Only the heads of some layers were searched. A head that has a backup is missed when heads are removed one at a "
        "time. What these heads do, and through which later parts, was not asked.",
    ]
    return "\n".join(lines)


def slot(of: str, what: str) -> str:
    return f"{{{{{of}.{what}}}}}"


def backed_up(dropped: list[str], backup: Data | None) -> list[str]:
    if backup is None:
        return []
    return [
        f"{', '.join(dropped)} did not hold by themselves. Removed all at once (mean, held-out prompts) they change the "
        f"logit difference by {slot(backup['id'], 'logit_diff_change')} and accuracy falls by "
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
