"""Results by group: accuracy and loss for each value of something that the prompts name, such as `a` or `answer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..metrics import ends_of, unit_of
from ..notes import note
from ..result import Figure, Measurement, Note
from ..statistics.grouped import MOST, Group, Grouped, grouped
from ..statistics.intervals import Array
from ..tasks.prompt import Prompt
from ..tasks.values import value_in_each, values_of

if TYPE_CHECKING:
    from ..lab import Lab
    from ..tasks.batch import Batch

# The number of tokens of a prompt, unless the prompts name a value so.
LENGTH = "length"
LONGEST = 40
# Signs that a quantity, such as accuracy[a=3], cannot have in its brackets.
SIGNS = str.maketrans("[]{}`|", "()⟨⟩'/")


def require_groups(prompts: Sequence[Prompt], by: str) -> None:
    """Raises BadTask if a prompt has no such value."""
    if not by_length(prompts, by):
        value_in_each(prompts, by)


def by_length(prompts: Sequence[Prompt], by: str) -> bool:
    return by == LENGTH and not any(LENGTH in values_of(prompt) for prompt in prompts)


def groups_of(prompts: Sequence[Prompt], batch: Batch, by: str) -> list[str]:
    """The name of each prompt's group: its value, on one line, or its number of tokens. Raises BadTask."""
    if by_length(prompts, by):
        return [str(int(length)) for length in batch.prompt_len]
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


def by_group(
    lab: Lab, prompts: Sequence[Prompt], batch: Batch, by: str, scores: Mapping[str, Array]
) -> tuple[list[Measurement], Figure, str, tuple[Note, ...]]:
    """Accuracy and loss by group, from `scores` (accuracy and loss, [n]): measurements, a figure, a sentence, notes."""
    names, asked = groups_of(prompts, batch, by), [p.key for p in prompts]
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
    if right.above is None or lost.above is None:
        return f"All prompts are in one group by {by}."
    parts = [f"{metric} is largest for {by}={found.largest} ({above(found, metric, by)[0].text} above the rest)"
             for metric, found in (("accuracy", right), ("loss", lost))]  # fmt: skip
    return f"By {by}, {' and '.join(parts)}; these intervals allow for the choice among {len(right.groups)} groups."
