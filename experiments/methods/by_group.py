"""Results by group: accuracy and loss for each value of something that the prompts name, such as `a` or `answer`;
and the changes that removals cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import BadConfiguration
from ..metrics import ends_of, unit_of
from ..notes import note
from ..result import Figure, Measurement, Note
from ..statistics.grouped import FEWEST, MOST, Group, Grouped, grouped
from ..statistics.intervals import Array
from ..tasks.prompt import Prompt
from ..tasks.values import OF_SITE, value_in_each, values_of
from .value_lens import columns_at, require_position

if TYPE_CHECKING:
    from ..lab import Lab
    from ..tasks.batch import Batch
    from ..tasks.task import Task

# The number of tokens of a prompt, unless the prompts name a value so.
LENGTH = "length"
# Whether the intact model answers the prompt, unless the prompts name a value so.
RIGHT = "right"
# The number of sites whose changes are given by group.
STRONGEST = 3
LONGEST = 40
# Signs that a quantity, such as accuracy[a=3], cannot have in its brackets.
SIGNS = str.maketrans("[]{}`|", "()⟨⟩'/")


def require_groups(prompts: Sequence[Prompt], by: str) -> None:
    """Raises BadTask if a prompt has no such value, and BadConfiguration if it has no such span."""
    if (between := distance_of(prompts, by)) is not None:
        for position in between:
            require_position(prompts, position)
    elif by not in (LENGTH, RIGHT) or named(prompts, by):
        value_in_each(prompts, by)


def require_groups_of_changes(task: Task, prompts: Sequence[Prompt], by: str) -> None:
    """As `require_groups`. Raises BadConfiguration for open prompts by right and wrong ones."""
    if task.answer_kind == "open" and by == RIGHT:
        raise BadConfiguration(f"The prompts of {task.name} have no right answer. Group by another value.")
    require_groups(prompts, by)


def named(prompts: Sequence[Prompt], by: str) -> bool:
    """Whether a prompt names a value so."""
    return any(by in values_of(prompt) for prompt in prompts)


def distance_of(prompts: Sequence[Prompt], by: str) -> tuple[str, str] | None:
    """ "s1..s2" -> the two positions; None for anything else."""
    first, dots, second = by.partition("..")
    return (first, second) if dots and not named(prompts, by) else None


def groups_of(prompts: Sequence[Prompt], batch: Batch, by: str, correct: Array | None = None) -> list[str]:
    """The name of each prompt's group: its value, on one line; its number of tokens; how many tokens after one span
    another one is; or whether the intact model answers it (`correct`, [n] of 0 and 1). Raises BadTask."""
    if by == LENGTH and not named(prompts, by):
        return [str(int(length)) for length in batch.prompt_len]
    if by == RIGHT and not named(prompts, by):
        assert correct is not None
        return ["right" if right else "wrong" for right in correct]
    if (between := distance_of(prompts, by)) is not None:
        first, second = (columns_at(batch, position) for position in between)
        return [str(int(tokens)) for tokens in second - first]
    values = value_in_each(prompts, by)
    names: dict[str, str] = {}
    for value in values:
        if value not in names:
            text = " ".join(value.translate(SIGNS).split())
            name = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
            # Different values stay apart, even if they start alike.
            same = sum(other == name or other.startswith(f"{name} (") for other in names.values())
            names[value] = f"{name} ({same + 1})" if same else name
    return [names[value] for value in values]


def changes_by_group(
    prompts: Sequence[Prompt],
    batch: Batch,
    by: str,
    sites: Sequence[str],
    change: Array,
    metric: str,
    correct: Array | None = None,
    whole: Mapping[str, Array] | None = None,
) -> tuple[list[Measurement], tuple[Note, ...]]:
    """The mean changes [site, n] of a metric at the strongest sites by group, and how many questions a group has; also
    the means of `whole`, a name and values [n], such as the difference that patches can restore."""
    names, asked = groups_of(prompts, batch, by, correct), [p.key for p in prompts]
    by = by.translate(SIGNS)
    strongest = sorted(range(len(sites)), key=lambda i: -abs(float(change[i].mean())))[:STRONGEST]
    found = [("change", f"{OF_SITE}{sites[i]}", grouped(change[i], names, asked)) for i in strongest]
    found += [(name, "", grouped(values, names, asked)) for name, values in (whole or {}).items()]
    measurements = [
        Measurement(name=f"{name}[{by}={one.name}{site}]", value=one.value, low=one.low, high=one.high,
                    n=one.n, unit=unit_of(metric)) for name, site, each in found for one in each.groups
    ]  # fmt: skip
    groups = found[0][2]
    measurements += [Measurement(name=f"questions[{by}={one.name}]", value=one.questions) for one in groups.groups]
    return measurements, (note("groups_merged", merged=groups.merged, by=by, most=MOST),) if groups.merged else ()


def by_group(
    lab: Lab, prompts: Sequence[Prompt], batch: Batch, by: str, scores: Mapping[str, Array]
) -> tuple[list[Measurement], Figure, str, tuple[Note, ...]]:
    """Accuracy and loss by group, from `scores` (accuracy and loss, [n]): measurements, a figure, a sentence, notes."""
    names, asked = groups_of(prompts, batch, by, scores["accuracy"]), [p.key for p in prompts]
    right, lost = grouped(scores["accuracy"], names, asked, share=True), grouped(scores["loss"], names, asked)
    by = by.translate(SIGNS)
    measurements = [
        *(measured("accuracy", by, one) for one in right.groups), *above(right, "accuracy", by),
        *(measured("loss", by, one) for one in lost.groups), *above(lost, "loss", by),
        *(Measurement(name=f"questions[{by}={one.name}]", value=one.questions) for one in right.groups),
    ]  # fmt: skip
    figure = Figure(
        name="groups", kind="layer_bars", title=f"Accuracy by {by}: {lab.subject.name}, {lab.task.name}",
        unit="accuracy", n=len(prompts),
        data={"labels": [one.name for one in right.groups], "values": [one.value for one in right.groups],
              "low": [one.low for one in right.groups], "high": [one.high for one in right.groups]},
    )  # fmt: skip
    single = [one.name for one in lost.groups if one.low is None]
    notes = (note("groups_merged", merged=right.merged, by=by, most=MOST),) if right.merged else ()
    if single:
        notes = (*notes, note("groups_of_one_question", by=by, groups=", ".join(single)))
    return measurements, figure, f" {sentence(right, lost, by)}", notes


def measured(metric: str, by: str, one: Group) -> Measurement:
    least, most = ends_of(metric)
    low, high = (None, None) if one.low is None or one.high is None else (max(one.low, least), min(one.high, most))
    return Measurement(name=f"{metric}[{by}={one.name}]", value=one.value, low=low, high=high, n=one.n,
                       unit=unit_of(metric))  # fmt: skip


def above(found: Grouped, metric: str, by: str) -> list[Measurement]:
    """How far the group with the largest mean is above the other prompts."""
    if found.above is None:
        return []
    value, low, high = found.above
    return [Measurement(name=f"{metric}_above_rest[{by}={found.largest}]", value=value, low=low, high=high,
                        n=sum(one.n for one in found.groups), unit=unit_of(metric))]  # fmt: skip


def sentence(right: Grouped, lost: Grouped, by: str) -> str:
    """Which groups have the largest accuracy and loss."""
    if len(right.groups) < 2:
        return f"All prompts are in one group by {by}."
    if right.above is None or lost.above is None:
        return f"By {by}, no group is compared with the rest: each has, or leaves, fewer than {FEWEST} questions."
    parts = [f"{metric} is largest for {by}={found.largest} ({above(found, metric, by)[0].text} above the rest)"
             for metric, found in (("accuracy", right), ("loss", lost))]  # fmt: skip
    return f"By {by}, {' and '.join(parts)}; these intervals allow for the choice among {len(right.groups)} groups."
