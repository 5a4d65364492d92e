"""Where activations of prompts lie, by label: on two axes, and as one number in all dimensions.

The number is how often the nearest centroid has the right label (NearestCentroid in scikit-learn). All prompts of a
question are left out of the centroids when one of them is classified; otherwise the words of its own question would
give the label away. The control shuffles the labels over the questions: this is what as many prompts in as many
dimensions give if labels mean nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics.intervals import Array

SHUFFLES = 500


@dataclass(frozen=True)
class Labelled:
    """The prompts to compare, `rows`; their labels [n] as indices into `names`; and the groups left out together [n].

    by_question  whether a group is all prompts of a question; otherwise each prompt is left out by itself
    dropped      number of prompts whose label no other question (or prompt) has
    """

    rows: list[int]
    labels: np.ndarray
    names: list[str]
    groups: np.ndarray
    by_question: bool
    dropped: int


def labelled(labels: Sequence[str], questions: Sequence[str]) -> Labelled | None:
    """The prompts whose label at least two questions have; if there are no two such labels, those whose label at least
    two prompts have; None if there are no two such labels either."""
    asked: defaultdict[str, set[str]] = defaultdict(set)
    for label, question in zip(labels, questions, strict=True):
        asked[label].add(question)
    count = Counter(labels)
    for by_question in (True, False):
        names = [label for label in count if (len(asked[label]) if by_question else count[label]) > 1]
        if len(names) > 1:
            rows = [i for i, label in enumerate(labels) if label in names]
            left_out = [questions[i] if by_question else str(i) for i in rows]
            return Labelled(rows, numbered([labels[i] for i in rows], names), names,
                            numbered(left_out, list(dict.fromkeys(left_out))), by_question, len(labels) - len(rows),
                            )  # fmt: skip
    return None


def numbered(values: Sequence[str], names: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[value] for value in values])


def principal(values: Array, count: int = 2) -> tuple[Array, Array]:
    """values [n, d] -> coordinates on the first components [n, count], and the share of the variance of each component
    [min(n, d)]. The sign of each component makes its largest coordinate positive."""
    centred = values - values.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    variance = sizes**2
    total = variance.sum()
    spread = variance / total if total > 0 else np.zeros_like(variance)
    coordinates = np.zeros((len(values), count))
    coordinates[:, : len(sizes)] = (left * sizes)[:, :count]
    largest = coordinates[np.abs(coordinates).argmax(0), np.arange(count)]
    return coordinates * np.where(largest < 0, -1.0, 1.0), spread


def inner(values: Array) -> Array:
    """values [n, d] -> the inner products of all pairs about their mean, [n, n], from which distances follow."""
    centred = values - values.mean(0)
    return centred @ centred.T


def nearest(products: Array, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Inner products [n, n], labels and groups [n] -> the label with the nearest centroid for each prompt [n], with all
    prompts of its own group left out of the centroids. A label that is then empty is ignored."""
    member = np.zeros((len(labels), int(labels.max()) + 1))
    member[np.arange(len(labels)), labels] = 1.0
    same = (groups[:, None] == groups[None]).astype(float)
    # For each prompt: its products with all prompts of a label, and with those of its own group; and their counts.
    towards, cross, mine = products @ member, (products * same) @ member, same @ member
    left = member.sum(0) - mine
    # The squared norm of a sum of prompts, without the group's rows and columns.
    square = (member * towards).sum(0) - same @ (member * (2 * towards - cross))
    kept = np.maximum(left, 1)
    distance = square / kept**2 - 2 * (towards - cross) / kept
    return np.where(left > 0, distance, np.inf).argmin(1)


def right(products: Array, of: Labelled) -> Array:
    """Whether each prompt is nearest to the centroid of its own label, [n] of 0.0 and 1.0."""
    return (nearest(products, of.labels, of.groups) == of.labels).astype(float)


def shuffled(products: Array, of: Labelled, seed: int, count: int = SHUFFLES) -> Array:
    """The share of such prompts with labels shuffled `count` times, [count]: by question if all prompts of a question
    have one label, otherwise by prompt."""
    rng = np.random.default_rng(seed)
    _, first, places = np.unique(of.groups, return_index=True, return_inverse=True)
    whole = bool((of.labels == of.labels[first][places]).all())
    found = np.empty(count)
    for i in range(count):
        labels = rng.permutation(of.labels[first])[places] if whole else rng.permutation(of.labels)
        found[i] = (nearest(products, labels, of.groups) == labels).mean()
    return found
