"""The autopilot's search, on the prompts to explore: which layers, then which heads of them.

What it finds is a suggestion, written down as a hypothesis; `confirm` tests them all at the end.
"""

from __future__ import annotations

from .course import METHODS, Course, Data, Protocol, propose
from .judge import LAYERS, LOST, judged, layer_of, layers_named, listing, without

SEARCHED = 6  # how many layers are searched for heads at a time
JOINTLY = 3  # in how many of these layers stand-ins are looked for: each further one makes that search longer
FOLLOWED = 6  # how many heads are followed up
ENOUGH = 3  # with fewer heads left than this, the search goes on


def search_layers(course: Course) -> Protocol:
    """Leave out each layer; what that suggests is written down."""
    task = course.task
    sweep = course.sweep = yield (
        "Coarse first: leave out each layer.",
        "layer_program",
        {"task": task, "sweep": "skip_each", "metric": "loss", "reason": "Which layers does the task need?"},
    )
    kinds = judged(LAYERS, sweep["effects"])
    by_damage = {e["site"]: e for e in LAYERS.sorted(sweep)}
    n_layers = len(by_damage)
    # The first layer makes tokens into what all others read; another one says more about the task.
    needed = [by_damage[site] for site in by_damage if site in kinds["needed"]]
    pick = next((e for e in needed if layer_of(e) > 0), needed[0] if needed else None)
    # The sweep only suggests which one can be spared; whether it can, its own test says.
    little = [e for e in by_damage.values() if e is not pick and abs(e["value"]) < LAYERS.bound]
    spare = min(little, key=lambda e: max(-e["low"], e["high"]), default=None)
    course.any_layer_needed = bool(kinds["needed"])
    course.needed_layer = None if pick is None else layer_of(pick)
    course.spare_layer = None if spare is None else layer_of(spare)
    yield from predict_layers(course, n_layers)


def predict_layers(course: Course, n_layers: int) -> Protocol:
    """What the sweep suggests: a layer that is needed, and one that can be spared."""
    said: list[str] = []
    predictions: list[Data] = []
    for layer, harm in ((course.needed_layer, True), (course.spare_layer, False)):
        if layer is not None:
            said.append(
                f"without layer {layer} the loss rises by more than {LAYERS.words}"
                if harm
                else f"without layer {layer} it changes by something {LAYERS.within}"
            )
            expected = LAYERS.harmful() if harm else LAYERS.harmless()
            predictions.append(course.predict("layer_program", {"program": without(layer, n_layers)}, **expected))
    if predictions:
        yield from propose(
            course, "layers", "What the sweep suggests, written down before its test on other prompts.", predictions,
            statement=f"On other prompts of {course.task}, {', and '.join(said)}.",
            rationale="The sweep over all layers says so, on the prompts to explore.",
            refuted_if="The whole interval of a change lies elsewhere.",
        )  # fmt: skip


def search_heads(course: Course) -> Protocol:
    """The heads of the layers that hurt most, under zero; the strongest again under mean and resample."""
    task, yardstick = course.task, course.yardstick
    by_damage = [layer_of(e) for e in LAYERS.sorted(course.sweep)]
    course.searched = by_damage[:SEARCHED]
    where = layers_named(course.searched)
    heads = course.heads = yield (
        f"Now the heads, one at a time, of {where}, whose absence hurt most."
        if course.any_layer_needed
        else f"No layer is needed by this measure. The heads of {where}, which changed most, are searched anyway.",
        "head_ablation",
        {
            "task": task, "layers": sorted(course.searched), "method": "zero", "metric": yardstick.metric,
            "reason": "Zoom to the layers whose absence hurt most.",
        },
    )  # fmt: skip
    course.chosen = [e["site"] for e in yardstick.sorted(heads) if yardstick.promising(e)][:FOLLOWED]
    if course.chosen:
        yield from other_ablations(course)
    if len(course.kept) < ENOUGH:
        yield from search_on(course, by_damage[SEARCHED : 2 * SEARCHED])


def other_ablations(course: Course) -> Protocol:
    """Whether the heads that were strongest under zero are needed under mean and resample, too."""
    task, yardstick, chosen = course.task, course.yardstick, course.chosen
    one = len(chosen) == 1
    # One head alone is an experiment on a set of one, which measures the change of that set.
    quantities = [None] if one else [f"effect[{site}]" for site in chosen]
    yield from propose(
        course, "methods",
        f"{'This' if one else 'These'} may be no more than what zero does. An expectation, before anything else is "
        "tried.",
        [course.predict("head_ablation", {"heads": chosen, "method": "mean", "metric": yardstick.metric},
                        **yardstick.harmful(q)) for q in quantities],
        statement=f"{'The head' if one else 'Each of the heads'} {listing(chosen)} is needed for {task} by itself, "
        f"also when it is replaced by its mean: the damage is more than {yardstick.words}.",
        rationale=f"Under zero ({course.heads['id']}) the damage was more than this bound, and its interval did not "
        "reach zero.",
        refuted_if="For one of them the whole interval of the change lies on the other side of the bound.",
    )  # fmt: skip
    for method in METHODS[1:]:
        found = yield (
            f"The same head{'s, one at a time' if not one else ''}, {method} instead of zero.",
            "head_ablation",
            {
                "task": task, "heads": chosen, "method": method, "metric": yardstick.metric,
                "reason": f"Zero exaggerates; does {method} agree?",
            },
        )  # fmt: skip
        course.repeats.append(found)
    kinds = [judged(yardstick, r["effects"][: len(chosen)]) for r in course.repeats]
    # An experiment on one head alone names it as a set of one, by the same name.
    course.vanished = [site for site in chosen if any(site in k["spare"] for k in kinds)]
    # What is undecided here may still be worth the test on other prompts.
    promising = [{e["site"] for e in r["effects"] if yardstick.promising(e)} for r in course.repeats]
    course.kept = [site for site in chosen if all(site in p for p in promising)]


def search_jointly(course: Course) -> Protocol:
    """Heads that stand in for each other show nothing one by one: a set of those that were not kept, without which the
    task is lost."""
    layers = course.searched[:JOINTLY]
    kept = [site for site in course.kept if int(site.split(".")[0][1:]) in layers]
    if len(layers) * course.n_heads - len(kept) < 2:
        return
    metric = "logit_diff" if course.yardstick.metric == "logit_diff" else "prob"
    found = yield (
        "A head that has a stand-in shows nothing by itself. Is there a set of the other heads without which the task "
        "is lost?",
        "minimal_set",
        {
            "task": course.task, "layers": sorted(layers), "besides": kept or None, "method": "mean",
            "metric": metric, "reason": "Single removals miss heads that stand in for each other.",
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
    """Few heads are left: the next layers (or, where there are none, the same) by their means."""
    yardstick = course.yardstick
    places = further or course.searched
    if not course.chosen:
        why = "Under zero no head stands out."
    elif not course.kept:
        why = f"{'None matters' if len(course.chosen) > 1 else 'It does not matter'} whichever way it is removed."
    else:
        why = f"Only {listing(course.kept)} {'is' if len(course.kept) == 1 else 'are'} left."
    wider = course.wider = yield (
        f"{why} The search goes on by means, in {'' if further else 'the same '}{layers_named(places)}.",
        "head_ablation",
        {
            "task": course.task, "layers": sorted(places), "method": "mean", "metric": yardstick.metric,
            "reason": "Search on with an ablation that exaggerates less.",
        },
    )  # fmt: skip
    course.searched = [*course.searched, *further]
    there = [e["site"] for e in yardstick.sorted(wider) if yardstick.promising(e)]
    course.found_wider = [site for site in there if site not in course.chosen][: FOLLOWED - len(course.kept)]
    course.kept += course.found_wider
