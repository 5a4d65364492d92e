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

from .autopilot_report import nothing_report, report
from .conversation import Call, Message, Reply, ToolSpec

Data = dict[str, Any]
Step = tuple[str, str, Data]  # what is thought, the tool, its arguments
Protocol = Generator[Step, Data, None]

ABLE = 0.35  # the lower end of the accuracy's interval from which damage can be seen
LAYERS = 6  # how many layers are searched for heads
HEADS = 6  # how many heads are followed up
LEAST = 0.1  # of the strongest effect: what is smaller is not followed up
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
            if "task" in arguments:
                arguments = {**arguments, "n": first.get("n", 32)}
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
            "statement": f"Each of the heads {', '.join(chosen)} is needed for {task} by itself, whichever way it is "
            "removed.",
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
        places = ", ".join(map(str, sorted(further)))
        wider = yield (
            f"Few are left, so zero misled the search. Layers {places} next, by their means.",
            "head_ablation",
            {
                "task": task,
                "layers": sorted(further),
                "method": "mean",
                "reason": "Search on with an ablation that holds.",
            },
        )
        least = LEAST * max((-e["value"] for f in (wider, *repeats) for e in strongest(f, sign=-1)), default=0.0)
        found_there = [e["site"] for e in strongest(wider, sign=-1) if -e["value"] >= least]
        kept += found_there[: HEADS - len(kept)]
    kept = kept or chosen[:1]
    names = ", ".join(kept)
    third = yield (
        "What is left is the claim. It is tested on prompts that were not looked at.",
        "propose_hypothesis",
        {
            "statement": f"{names} {'are' if len(kept) > 1 else 'is'} needed for {task}: on other prompts, under zero, "
            "mean and resample, and more than random heads of the same layers.",
            "rationale": "This is what the search left.",
            "refuted_if": "Under some ablation the interval of the change reaches zero, or half of the random sets "
            "change as much.",
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
        (needed[1] if needed[0] == 0 and len(needed) > 1 else needed[0], "one of those that hurt most"),
        (layer_of(spare[0]), "the one that hurt least"),
    ):
        found = yield (
            f"How does it speak without layer {layer}, {word}?",
            "layer_program",
            {
                "task": task, "program": without(layer, len(layers["effects"])), "split": "confirm",
                "reason": f"Layer {layer} is {word}; text and accuracy on held-out prompts.",
            },
        )  # fmt: skip
        programs.append(found)
    yield (
        "What a later study should know.",
        "write_note",
        {
            "title": f"{task}: heads that matter in {baseline['config']['model']}",
            "text": f"Strongest under zero, layers {', '.join(map(str, sorted(needed)))}: {', '.join(chosen)}. Tested "
            f"on held-out prompts: {names}. Zero alone misled on: {', '.join(dropped) or 'none'}.",
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
