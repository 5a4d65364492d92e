"""The autopilot's tests: what the search left, written down and then tested on prompts that nothing was run on."""

from __future__ import annotations

from .autopilot_course import Course, Protocol, propose
from .autopilot_judge import heads_named, listing


def predict_heads(course: Course) -> Protocol:
    """What is left is the claim: together under every ablation and beyond random sets, then each by itself."""
    yardstick, kept = course.yardstick, course.kept
    one = len(kept) == 1
    names = heads_named(kept)
    removed = {"heads": kept, "together": True, "metric": yardstick.metric}
    yield from propose(
        course, "together", "What is left is the claim.",
        [course.predict("head_ablation", removed, **yardstick.harmful()),
         course.predict("head_ablation", removed, "beyond_control")],
        statement=f"On other prompts {names} {'is' if one else 'are, together,'} needed for {course.task}: under zero, "
        f"mean and resample the damage is more than {yardstick.words}, and more than that of random sets of as many "
        "heads.",
        rationale="This is what the search left.",
        refuted_if="Under some ablation the whole interval of the change lies on the other side of the bound, or "
        "random sets do more damage.",
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
        course.tested[about] = yield (
            f"The test of {name}, on prompts that nothing was run on.", "test_hypothesis", {"hypothesis": name},
        )  # fmt: skip
