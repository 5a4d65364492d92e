"""The autopilot's tests: what the search left, written down and then tested on prompts that nothing was run on."""

from __future__ import annotations

from ...tools.evidence.possible import sets_can_show
from ...tools.evidence.verdict import METHODS
from .course import Course, Data, Protocol, propose
from .judge import heads_named, listing

# What a hypothesis is about, in the words of the live view.
TESTED = {
    "layers": "is the layer needed?", "together": "are the heads needed?", "each": "is each head needed by itself?",
    "artefacts": "does zero alone hurt?", "undecided": "are the undecided heads needed?",
    "stand_ins": "do the heads back each other up?", "circuit": "does the circuit carry the task?",
}  # fmt: skip


def predict_heads(course: Course) -> Protocol:
    """What is left is the claim: together under every ablation and beyond random sets, then each by itself."""
    yardstick, kept = course.yardstick, course.kept
    one = len(kept) == 1
    names = heads_named(kept)
    removed = {"heads": kept, "together": True, "metric": yardstick.metric}
    beyond = course.predict("head_ablation", {**removed, "method": "mean"}, "beyond_control")
    held = enough_sets(course)
    # A verdict beyond control takes many random sets, so they are drawn for the mean alone; the damage under zero and
    # resample is held against a bound, and needs none.
    few = {"controls": 1} if held else {}
    damage = [
        course.predict("head_ablation", {**removed, "method": method, **({} if method == "mean" else few)},
                       **yardstick.harmful())
        for method in METHODS
    ]  # fmt: skip
    yield from propose(
        course, "together",
        f"The search leaves {names}. I write down before the test: removed in three ways, "
        f"{'it does' if one else 'together they do'} damage"
        + (", and more than other heads drawn at random." if held else "."),
        [*damage, beyond] if held else damage,
        statement=f"On other prompts {names} {'is' if one else 'are, together,'} needed for {course.task}: under zero, "
        f"mean and resample the damage is more than {yardstick.words}"
        + (", and under mean more than that of random sets of as many heads." if held else "."),
        rationale="This is what the search left.",
        refuted_if="Under some ablation the whole interval of the change lies on the other side of the bound"
        + (", or random sets do more damage." if held else "."),
    )  # fmt: skip


def predict_each(course: Course) -> Protocol:
    """Heads one at a time, by one experiment under the mean: those left, since one strong head could carry the others;
    and the others that zero flagged, whose damage the mean did not show."""
    yardstick = course.yardstick
    # A single head that is left has tests of its own.
    each = course.kept if len(course.kept) > 1 else []
    alone = [*each, *course.rest]
    config: Data = {"heads": alone, "method": "mean", "metric": yardstick.metric}
    # That a change is small is shown by its interval, and by no control.
    if not each:
        config["controls"] = 1

    def of(site: str) -> str | None:
        # One head alone is an experiment on a set of one, which measures the change of that set.
        return f"effect[{site}]" if len(alone) > 1 else None

    def harmful(heads: list[str]) -> list[Data]:
        return [course.predict("head_ablation", config, **yardstick.harmful(of(site))) for site in heads]

    if each:
        yield from propose(
            course, "each", "Together is not each: one strong head could carry the others. So each is tested alone.",
            harmful(each),
            statement=f"Each of {heads_named(each)} is needed for {course.task} by itself, on other prompts, under "
            f"mean: the damage is more than {yardstick.words}.",
            rationale="Each was found by itself.",
            refuted_if="For one of them the whole interval of the change lies on the other side of the bound.",
        )  # fmt: skip
    if course.artefacts:
        alone_too = [
            course.predict("head_ablation", config, **yardstick.not_harmful(of(site))) for site in course.artefacts
        ]  # fmt: skip
        yield from predict_artefacts(course, course.artefacts, alone_too)
    # Where another prediction is made of this experiment, it measures them too, and the program judges them by it.
    undecided = [] if each or course.artefacts else course.undecided
    if undecided:
        one = len(undecided) == 1
        yield from propose(
            course, "undecided", f"The search leaves {listing(undecided)} undecided. The test may decide.",
            harmful(undecided),
            statement=f"{'T' if one else 'Each of t'}{heads_named(undecided)[1:]} is needed for {course.task} by "
            f"itself, on other prompts, under mean: the damage is more than {yardstick.words}.",
            rationale="It hurts under zero.",
            refuted_if="For one of them the whole interval of the change lies on the other side of the bound.",
        )  # fmt: skip


def predict_artefacts(course: Course, heads: list[str], alone: list[Data]) -> Protocol:
    """Heads that hurt under zero only: replaced by their mean, each does less damage than the bound, and all of them at
    once change nothing."""
    yardstick, one = course.yardstick, len(heads) == 1
    config = {"heads": heads, "together": True, "method": "mean", "metric": yardstick.metric, "controls": 1}
    at_once = [] if one else [course.predict("head_ablation", config, **yardstick.harmless())]
    yield from propose(
        course, "artefacts",
        f"{listing(heads)} hurt{'s' if one else ''} under zero, but not under the mean: an artefact of zero. I predict "
        "no damage" + ("." if one else ", one by one and all at once, in case they back each other up."),
        [*alone, *at_once],
        statement=f"T{heads_named(heads)[1:]} {'is' if one else 'are'} not needed for {course.task}: when "
        f"{'it' if one else 'one of them'} is replaced by its mean on other prompts, the damage is less than "
        f"{yardstick.words}" + ("." if one else f", and when all are, the change lies {yardstick.within}."),
        rationale="Under the mean the whole interval of the change lay within this range.",
        refuted_if="The whole interval of a change lies beyond the bound.",
    )  # fmt: skip


def enough_sets(course: Course) -> bool:
    """Whether the subject has so many other heads that random sets of them can show anything."""
    return sets_can_show(course.n_layers * course.n_heads, len(course.kept))


def predict_stand_ins(course: Course) -> Protocol:
    """Heads that the joint search found: much damage at once, little by each alone."""
    yardstick, found = course.yardstick, course.stand_ins
    together = {"heads": found, "together": True, "metric": yardstick.metric}
    alone = {"heads": found, "method": "mean", "metric": yardstick.metric}
    yield from propose(
        course, "stand_ins", f"{listing(found)} do little one by one and much at once: they may back each other up.",
        [course.predict("head_ablation", together, **yardstick.harmful()),
         *(course.predict("head_ablation", alone, **yardstick.harmless(f"effect[{site}]")) for site in found)],
        statement=f"On other prompts of {course.task} {heads_named(found)} stand in for each other: removed all at "
        f"once, under zero, mean and resample, they do damage of more than {yardstick.words}, and when one of them is "
        f"replaced by its mean, the change lies {yardstick.within}.",
        rationale="A search for a set without which the task is lost found them; one at a time they showed little.",
        refuted_if="Removed all at once they do less than the bound, or one of them alone does more.",
    )  # fmt: skip


def test_all(course: Course) -> Protocol:
    """The tests, when all is written down."""
    for about, name in course.proposed.items():
        found = yield (
            f"The test of {name} ({TESTED[about]}), on prompts that nothing has run on.",
            "test_hypothesis", {"hypothesis": name},
        )  # fmt: skip
        if not found.get("refused"):
            course.tested[about] = found
            course.statuses, course.verdicts = found["statuses"], found["verdicts"]
