"""Means by group: how often is the answer right for each `a`, and how far is the largest group from the rest?

The interval of a group's mean is that of its prompts alone. The difference is that of the group with the largest mean
from all other prompts. That group is chosen by its result, so its interval is one of as many: its level is 1 - 0.05 / G
with G groups (Bonferroni), and all differences hold together in 95% of cases. A group of one or two questions is not
compared, and neither is a group that leaves so few to the rest.

The interval of a difference adds the variances and the skewness of both sides, question by question. A question with
prompts on both sides counts with both. The number of independent values is that of the side with fewer questions. For
shares it is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998), which keeps its width if all prompts
of a side agree. With one question on a side, a mean has no interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from .intervals import trials, wilson
from .skewed import LEVEL, Array, Moments, Questions, clustered, mean_interval

# More groups are merged.
MOST = 12
OTHER = "other"
# A group of fewer different questions is not compared with the rest: its interval says next to nothing.
FEWEST = 3
Interval = tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Group:
    """A group's mean and interval (None with one question), and its numbers of prompts and of questions."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    questions: int


@dataclass(frozen=True)
class Grouped:
    """The groups in order; how many names were merged into `other`; the group with the largest mean, `other` left out;
    and how far it is above the rest, with low and high (both None if there is only one group, or if each has too few
    questions)."""

    groups: tuple[Group, ...]
    merged: int
    largest: str | None
    above: Interval | None


def grouped(values: Array, names: Sequence[str], questions: Questions = None, share: bool = False) -> Grouped:
    """The means of values [n] by their names [n]; with `share`, values are 0 and 1."""
    kept, merged = merge(names)
    asked = [str(i) for i in range(len(values))] if questions is None else list(questions)
    inside = {name: np.array([one == name for one in kept]) for name in ordered(set(kept))}
    groups = tuple(group(name, values[rows], chosen(asked, rows), share) for name, rows in inside.items())
    named = [one for one in groups if (one.name != OTHER or not merged) and _compared(asked, inside[one.name])]
    if len(groups) < 2 or not named:
        return Grouped(groups, merged, None, None)
    largest = max(named, key=lambda one: one.value).name
    away = share_difference if share else difference
    level = 1 - (1 - LEVEL) / len(groups)
    return Grouped(groups, merged, largest, away(values, inside[largest], asked, level))


def _compared(questions: Sequence[str], rows: np.ndarray) -> bool:
    """Whether these rows [n], and the others, ask enough different questions."""
    return min(len(set(chosen(questions, each))) for each in (rows, ~rows)) >= FEWEST


def merge(names: Sequence[str]) -> tuple[list[str], int]:
    """The names, the rarest of them replaced with `other` if there are more than MOST; and how many were replaced."""
    count = Counter(names)
    if len(count) <= MOST:
        return list(names), 0
    # A value that is called `other` joins the others.
    frequent = [name for name in sorted(ordered(count), key=lambda name: -count[name]) if name != OTHER][: MOST - 1]
    return [name if name in frequent else OTHER for name in names], len(count) - len(frequent)


def ordered(names: Sequence[str] | set[str] | Counter[str]) -> list[str]:
    """By value if all but `other` are numbers, otherwise by letters; `other` is the last."""

    def number(name: str) -> float | None:
        try:
            return float(name)
        except ValueError:
            return None

    numbers = {name: number(name) for name in names if name != OTHER}
    by_value = all(value is not None and math.isfinite(value) for value in numbers.values())
    first = sorted(numbers, key=lambda name: ((numbers[name] or 0.0) if by_value else 0.0, name))
    return [*first, *(name for name in names if name == OTHER)]


def chosen(questions: Sequence[str], rows: np.ndarray) -> list[str]:
    return [one for one, taken in zip(questions, rows, strict=True) if taken]


def group(name: str, values: Array, questions: Sequence[str], share: bool) -> Group:
    asked = trials(values, questions)
    if share:
        part = float(values.mean())
        return Group(name, part, *wilson(part, asked), len(values), asked)
    mean, low, high = (float(one) for one in mean_interval(values, questions))
    return Group(name, mean, *((low, high) if asked > 1 else (None, None)), len(values), asked)


def difference(values: Array, inside: np.ndarray, questions: Sequence[str], level: float = LEVEL) -> Interval:
    """The mean of values [n] in the rows `inside` [n] minus the mean of the others, with low and high."""
    apart = float(values[inside].mean() - values[~inside].mean())
    sides = [side(values, rows, questions) for rows in (inside, ~inside)]
    count = min(asked for _, asked in sides)
    if count < 2:
        return apart, None, None
    moved = sides[0][0] - sides[1][0]
    error = float(np.sqrt((moved**2).sum()))
    lean = float((moved**3).sum()) / error**3 * math.sqrt(count) if error > 0 else 0.0
    found = Moments(np.array(apart), np.array(error), np.array(lean), count)
    z = normal(level)
    return apart, float(found.end(-1, z)), float(found.end(1, z))


def side(values: Array, rows: np.ndarray, questions: Sequence[str]) -> tuple[Array, int]:
    """How much each question [G] moves the mean of these rows, scaled so that the squares add up to its variance; and
    how many questions the rows ask."""
    member = rows.astype(float)
    sums, _ = clustered(values * member, questions)
    sizes, _ = clustered(member, questions)
    asked = int((sizes > 0).sum())
    mean = sums.sum() / sizes.sum()
    return (sums - mean * sizes) / sizes.sum() * math.sqrt(asked / max(1, asked - 1)), asked


def share_difference(values: Array, inside: np.ndarray, questions: Sequence[str], level: float = LEVEL) -> Interval:
    """The same for values of 0 and 1, by Newcombe's method 10."""
    z = normal(level)
    parts = [float(values[rows].mean()) for rows in (inside, ~inside)]
    ends = [
        wilson(part, len(set(chosen(questions, rows))), z) for part, rows in zip(parts, (inside, ~inside), strict=True)
    ]
    (first, second), ((low_1, high_1), (low_2, high_2)) = parts, ends
    apart = first - second
    below, above = math.hypot(first - low_1, high_2 - second), math.hypot(high_1 - first, second - low_2)
    return apart, apart - below, apart + above


def normal(level: float) -> float:
    return float(ndtri((1 + level) / 2))
