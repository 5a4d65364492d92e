"""The autopilot's tests: what the search left, written down and then tested on prompts that nothing was run on."""

from __future__ import annotations

from ...tools.evidence.possible import sets_can_show
from .course import Course, Protocol, propose
from .judge import heads_named, listing


def predict_heads(course: Course) -> Protocol:
    """What is left is the claim: together under every ablation and beyond random sets, then each by itself."""
    yardstick, kept = course.yardstick, course.kept
    one = len(kept) == 1
    names = heads_named(kept)
    removed = {"heads": kept, "together": True, "metric": yardstick.metric}
    damage = course.predict("head_ablation", removed, **yardstick.harmful())
    # Each verdict beyond control takes many random sets, so they are held against the mean alone.
    beyond = course.predict("head_ablation", {**removed, "method": "mean"}, "beyond_control")
    held = enough_sets(course)
    yield from propose(
        course, "together", "What is left is the claim.", [damage, beyond] if held else [damage],
        statement=f"On other prompts {names} {'is' if one else 'are, together,'} needed for {course.task}: under zero, "
        f"mean and resample the damage is more than {yardstick.words}"
        + (", and under mean more than that of random sets of as many heads." if held else "."),
        rationale="This is what the search left.",
        refuted_if="Under some ablation the whole interval of the change lies on the other side of the bound"
        + (", or random sets do more damage." if held else "."),
    )  # fmt: skip
    # Where all that zero showed is left, that each is needed has been written down before.
    if not one and set(kept) != set(course.chosen):
        yield from propose(
            course, "each", "Together is not each: one strong head could carry the others.",
            [course.predict("head_ablation", {"heads": kept, "method": "mean", "metric": yardstick.metric},
                            **yardstick.harmful(f"effect[{site}]")) for site in kept],
            statement=f"Each of {names} is needed for {course.task} by itself, on other prompts, under mean: the "
            f"damage is more than {yardstick.words}.",
            rationale="Each was found by itself.",
            refuted_if="For one of them the whole interval of the change lies on the other side of the bound.",
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
        course, "stand_ins", f"{listing(found)} do little one by one and much at once.",
        [course.predict("head_ablation", together, **yardstick.harmful()),
         *(course.predict("head_ablation", alone, **yardstick.harmless(f"effect[{site}]")) for site in found)],
        statement=f"On other prompts of {course.task} {heads_named(found)} stand in for each other: removed all at "
        f"once, under zero, mean and resample, they do damage of more than {yardstick.words}, and when one of them is "
        f"replaced by its mean, the change lies {yardstick.within}.",
        rationale="A search for a set without which the task is lost found them; one at a time they showed little.",
        refuted_if="Removed all at once they do less than the bound, or one of them alone does more.",
    )  # fmt: skip


def predict_backup(course: Course) -> Protocol:
    """Heads that did not matter one by one may stand in for each other: all of them at once."""
    yardstick, lost = course.yardstick, course.vanished
    yield from propose(
        course, "backup", f"{listing(lost)} did not matter one by one. Do they stand in for each other?",
        [course.predict("head_ablation",
                        {"heads": lost, "together": True, "method": "mean", "metric": yardstick.metric},
                        **yardstick.harmless())],
        statement=f"T{heads_named(lost)[1:]} do not stand in for each other: removed all at once (mean, other "
        f"prompts), the change lies {yardstick.within}.",
        rationale="By itself each of them changed less than the bound, under mean or under resample.",
        refuted_if="The whole interval of the change lies beyond the bound.",
    )  # fmt: skip


def test_all(course: Course) -> Protocol:
    """The tests, when all is written down."""
    for about, name in course.proposed.items():
        found = yield (
            f"The test of {name}, on prompts that nothing was run on.", "test_hypothesis", {"hypothesis": name},
        )  # fmt: skip
        if not found.get("refused"):
            course.tested[about] = found
            course.statuses, course.verdicts = found["statuses"], found["verdicts"]
