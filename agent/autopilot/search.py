"""The autopilot's search, on the prompts to explore: which layers, then which heads of them.

What it finds is a suggestion, written down as a hypothesis; `confirm` tests them all at the end.
"""

from __future__ import annotations

from .course import Course, Protocol, propose
from .judge import LAYERS, LOST, judged, layer_of, layers_named, listing, without

SEARCHED = 6  # how many layers are searched for heads, one head at a time
JOINTLY = 3  # in how many of these layers stand-ins are looked for: each further one makes that search longer
FOLLOWED = 6  # how many heads are followed up
ENOUGH = 3  # with fewer heads left than this, the search goes on
MEASURED = 8  # how many of the strongest by gradients are removed to measure what they do


def search_layers(course: Course) -> Protocol:
    """Leave out each layer; what that suggests is written down."""
    task = course.task
    sweep = course.sweep = yield (
        "Layers first, because they are few: I skip each layer in turn and measure how much worse the answers get.",
        "layer_program",
        {
            "task": task, "sweep": "skip_each", "metric": "loss", "n": course.looked_at,
            "reason": "Which layers does the task need?",
        },
    )  # fmt: skip
    kinds = judged(LAYERS, sweep["effects"])
    by_damage = {e["site"]: e for e in LAYERS.sorted(sweep)}
    # The first layer makes tokens into what all others read; another one says more about the task. Of the others, the
    # one whose damage is surest, by the near end of its interval.
    needed = sorted((by_damage[site] for site in kinds["needed"]), key=lambda e: -LAYERS.damage(e)[1])
    pick = next((e for e in needed if layer_of(e) > 0), needed[0] if needed else None)
    course.any_layer_needed = bool(kinds["needed"])
    course.needed_layer = None if pick is None else layer_of(pick)
    if pick is not None:
        yield from predict_layer(course, layer_of(pick), len(by_damage))


def predict_layer(course: Course, layer: int, n_layers: int) -> Protocol:
    """What the sweep suggests: a layer that is needed."""
    yield from propose(
        course, "layers",
        f"Layer {layer} hurts when it is skipped. I write that down as a prediction now; the test comes last, on "
        "prompts that nothing has run on.",
        [course.predict("layer_program", {"program": without(layer, n_layers), "metric": course.yardstick.metric},
                        **course.yardstick.harmful())],
        statement=f"On other prompts of {course.task}, skipping layer {layer} does damage of more than "
        f"{course.yardstick.words}.",
        rationale="The sweep over all layers says so, on the prompts to explore.",
        refuted_if="The whole interval of the change lies on the other side of the bound.",
    )  # fmt: skip


def search_heads(course: Course) -> Protocol:
    """The heads of the layers that hurt most, under zero; the strongest again under the mean."""
    task, yardstick = course.task, course.yardstick
    by_damage = [layer_of(e) for e in LAYERS.sorted(course.sweep)]
    course.searched = by_damage[:SEARCHED]
    where = layers_named(course.searched)
    heads = course.heads = yield (
        f"Now the heads of {where}, which hurt most when skipped. I set each head to zero in turn: the quickest way to "
        "see which might matter."
        if course.any_layer_needed
        else f"No layer is needed by this measure. I set each head of {where}, which changed most, to zero anyway.",
        "head_ablation",
        {
            "task": task, "layers": sorted(course.searched), "method": "zero", "metric": yardstick.metric,
            "n": course.looked_at, "reason": "Which heads hurt when they are set to zero?",
        },
    )  # fmt: skip
    course.chosen = [e["site"] for e in yardstick.sorted(heads) if yardstick.promising(e)][:FOLLOWED]
    if course.chosen:
        yield from other_ablation(course)
    if len(course.kept) < ENOUGH:
        yield from search_on(course, by_damage[SEARCHED:])


def other_ablation(course: Course) -> Protocol:
    """Whether the heads that were strongest under zero are needed under the mean, too."""
    yardstick, chosen = course.yardstick, course.chosen
    one = len(chosen) == 1
    found = course.repeat = yield (
        f"{listing(chosen)} hurt{'s' if one else ''} most. But zero is a value that a head may never have, so zero "
        f"alone can hurt a head that does nothing here. I replace {'it' if one else 'each'} by its mean over other "
        "prompts instead.",
        "head_ablation",
        {
            "task": course.task, "heads": chosen, "method": "mean", "metric": yardstick.metric, "controls": 1,
            "n": course.n, "reason": "Zero exaggerates; does the mean agree?",
        },
    )  # fmt: skip
    # An experiment on one head alone names it as a set of one, by the same name.
    kinds = judged(yardstick, found["effects"][: len(chosen)])
    course.vanished = [site for site in chosen if site in kinds["spare"]]
    # What is undecided here gets a test of its own, and does not weaken that of what is left.
    course.kept = [site for site in chosen if site in kinds["needed"]]


def search_jointly(course: Course) -> Protocol:
    """Heads that stand in for each other show nothing one by one: a set of those that were not kept, without which the
    task is lost."""
    layers = course.searched[:JOINTLY]
    kept = [site for site in course.kept if int(site.split(".")[0][1:]) in layers]
    if len(layers) * course.n_heads - len(kept) < 2:
        return
    metric = "logit_diff" if course.yardstick.metric == "logit_diff" else "prob"
    found = yield (
        "A head that has a backup shows nothing when it is removed alone. I look for a set of the other heads without "
        "which the task is lost.",
        "minimal_set",
        {
            "task": course.task, "layers": sorted(layers), "besides": kept or None, "method": "mean",
            "metric": metric, "n": course.looked_at, "reason": "Single removals miss heads that back each other up.",
        },
    )  # fmt: skip
    if found.get("refused"):
        return
    course.joint = found
    members = [e["site"] for e in found["effects"]]
    # Broken by the whole interval; and so few that a head can be said to stand in for another.
    if found["measurements"]["share"]["high"] < LOST and 2 <= len(members) <= FOLLOWED:
        course.stand_ins = members


def search_on(course: Course, further: list[int]) -> Protocol:
    """Few heads are left: all other layers by gradients of the mean; where there are none, the same by means."""
    yardstick = course.yardstick
    if not course.chosen:
        why = "Under zero no head stands out."
    elif not course.kept:
        why = f"{'None matters' if len(course.chosen) > 1 else 'It does not matter'} when replaced by its mean."
    else:
        why = f"Only {listing(course.kept)} {'is' if len(course.kept) == 1 else 'are'} left."
    asked = {
        "task": course.task, "layers": sorted(further or course.searched), "method": "mean",
        "metric": yardstick.metric, "n": course.looked_at,
    }  # fmt: skip
    if further:
        wider = yield (
            f"{why} I look through the heads of {layers_named(further)} by gradients, which is quick, and replace "
            "the strongest by their means.",
            "head_ablation",
            {**asked, "sweep": "attribution", "verify": MEASURED, "reason": "Is there a head in the other layers?"},
        )
        if not wider.get("refused"):
            course.screened = further
    else:
        wider = yield (
            f"{why} I search the same {layers_named(course.searched)} again, by means.",
            "head_ablation",
            {**asked, "reason": "Search again with an ablation that exaggerates less."},
        )
    if wider.get("refused"):
        return
    course.wider = wider
    there = [e["site"] for e in yardstick.sorted(wider) if yardstick.promising(e)]
    course.found_wider = [site for site in there if site not in course.chosen][: FOLLOWED - len(course.kept)]
    course.kept += course.found_wider
