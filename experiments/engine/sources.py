"""The values for edits: means, other prompts of the batch, another batch, given positions, given vectors.

Means and resamples use a prompt's donors (`donors`): other prompts with another question and answer, column by column
if they have its length. A patch uses the activation of the corresponding prompt in another batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..model.subject import Subject
from ..sites import Part, part_width
from ..tasks.batch import Batch
from .activations import Activations
from .donors import Donors, donors, drawn, means
from .pattern import fit_keys


class Source(Protocol):
    """Where replacement values come from: per layer and part, [batch or 1, position or 1, width]."""

    def at(self, layer: int, part: Part) -> Tensor: ...


@dataclass
class Mean:
    """The means of each prompt's donors."""

    clean: Activations
    batch: Batch
    lent: Donors
    _means: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    def at(self, layer: int, part: Part) -> Tensor:
        if part == "pattern":
            refuse_scattered("mean", self.lent)
        if (layer, part) not in self._means:
            self._means[layer, part] = means(self.clean.at(layer, part), self.batch, self.lent)
        return self._means[layer, part]


def mean_source(clean: Activations, batch: Batch, n: int | None = None) -> Mean:
    """For the first n prompts of the batch (None: for all), whose intact run is `clean`. Raises BadConfiguration if one
    of them has no donor."""
    return Mean(clean, batch, donors(batch, n))


@dataclass
class Places:
    """Each prompt gets, at each of its columns, what is at a place of another run: `rows`, `columns` [batch, position].

    Either may be wide or high 1: `columns` [batch, 1] gives all of a prompt's columns the same vector.
    """

    clean: Activations
    rows: Tensor
    columns: Tensor

    def at(self, layer: int, part: Part) -> Tensor:
        values = self.clean.at(layer, part)
        if part == "pattern":
            values = fit_keys(values, values.shape[1], self.columns.shape[1])
        return values[self.rows, self.columns]


@dataclass
class Resample(Places):
    """Places in each prompt's donors."""

    lent: Donors

    def at(self, layer: int, part: Part) -> Tensor:
        if part == "pattern":
            refuse_scattered("resample", self.lent)
        return super().at(layer, part)


def refuse_scattered(method: str, lent: Donors) -> None:
    """A pattern belongs to the keys of its own prompt, so only prompts of the same length can exchange patterns."""
    if scattered := int(lent.scattered.any(-1).sum()):
        raise BadConfiguration(
            f"{scattered} of {len(lent.scattered)} prompts have no donor of their length, so their patterns have no "
            f"{method}. Use prompts of one length."
        )


def resample_source(clean: Activations, batch: Batch, seed: int, n: int | None = None) -> Resample:
    """As `mean_source`, of one donor for each prompt, drawn by the seed."""
    lent, device = donors(batch, n), batch.ids.device
    rows, columns = drawn(batch, lent, seed)
    return Resample(clean, rows.to(device), columns.to(device), lent)


@dataclass(frozen=True)
class RowsOfSource:
    """What a source has for the prompts [first, last)."""

    source: Source
    first: int
    last: int

    def at(self, layer: int, part: Part) -> Tensor:
        values = self.source.at(layer, part)
        return values if values.shape[0] == 1 else values[self.first : self.last]


# --- other batches, given places, given vectors --------------------------------------------------------------


def patch_source(clean: Activations, batch: Batch, other: Batch) -> Places:
    """The values of each prompt's counterpart in `other` at the same column; `clean` is the intact run of `other`.

    If an answer is longer than its counterpart's, its further tokens use the counterpart's last token. Raises
    BadConfiguration unless every prompt has a counterpart with the same number of tokens.
    """
    if len(batch) != len(other):
        raise BadConfiguration(f"{len(batch)} prompts cannot be patched from {len(other)}. Each needs one counterpart.")
    for i, (own, twin) in enumerate(zip(batch.prompt_len.tolist(), other.prompt_len.tolist(), strict=True)):
        if own != twin:
            raise BadConfiguration(
                f"Prompt {i} has {own} tokens and its counterpart {twin}. Use prompts of equal length."
            )
    first, twins_first = (b.mask.argmax(-1) for b in (batch, other))
    if not torch.equal(first, twins_first):
        raise BadConfiguration(
            "The prompts and their counterparts start at different columns. Make both batches in the same way."
        )
    columns = torch.arange(batch.length, device=batch.ids.device)
    last = other.length - 1 - other.mask.flip(-1).argmax(-1)
    rows = torch.arange(len(batch), device=batch.ids.device)
    return Places(clean, rows[:, None], torch.minimum(columns[None], last[:, None]))


def places_source(
    clean: Activations, batch: Batch, other: Batch, rows: Sequence[int], columns: Sequence[int]
) -> Places:
    """One vector for each prompt of `batch`, wherever the edit is: what `other` has at (row, column), each [batch].

    `clean` is the intact run of `other`, which may be any batch. Raises BadConfiguration unless there is one place for
    each prompt, and a token there.
    """
    if not len(rows) == len(columns) == len(batch):
        raise BadConfiguration(
            f"{len(batch)} prompts need a row and a column each, not {len(rows)} rows and {len(columns)} columns."
        )
    for row, column in zip(rows, columns, strict=True):
        if not (0 <= row < len(other) and 0 <= column < other.length and bool(other.mask[row, column])):
            raise BadConfiguration(
                f"There is no token at row {row}, column {column}: the batch has {len(other)} rows of {other.length} "
                "columns, padded on the left."
            )
    device = batch.ids.device
    return Places(clean, torch.tensor(rows, device=device)[:, None], torch.tensor(columns, device=device)[:, None])


def vector_source(subject: Subject, vectors: Mapping[tuple[int, Part], Tensor]) -> Activations:
    """The same vector at every prompt and position: by (layer, part), as wide as the part (all heads side by side).

    Raises BadConfiguration for a vector of another width or with a value that is not finite.
    """
    values: dict[tuple[int, str], Tensor] = {}
    for (layer, part), vector in vectors.items():
        if part == "pattern":
            raise BadConfiguration("A pattern is not a vector. Use the pattern of a batch that was read.")
        width = part_width(part, subject.sizes, 1)
        if tuple(vector.shape) != (width,):
            raise BadConfiguration(
                f"The vector for {part} of layer {layer} has the shape {tuple(vector.shape)}; it must be ({width},)."
            )
        if not bool(vector.isfinite().all()):
            raise BadConfiguration(f"The vector for {part} of layer {layer} contains values that are not finite.")
        values[layer, part] = vector.to(subject.device, subject.dtype)[None, None]
    return Activations(values)
