"""What an edit does to a tensor, for some rows of a folded batch, at some columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..batch import Batch
from ..errors import BadConfiguration
from ..interventions import Edit
from ..sites import Part


class Source(Protocol):
    """Where replacement values come from: per layer and part, [batch or 1, position or 1, width]."""

    def at(self, layer: int, part: Part) -> Tensor: ...


@dataclass(frozen=True)
class Placed:
    """An edit and the rows of the folded batch it is meant for."""

    edit: Edit
    rows: Tensor


def columns_of(batch: Batch, positions: str) -> Tensor:
    """Which columns an edit touches, [batch, position] of bool. Pads are never touched."""
    if positions == "all":
        return batch.mask.bool()
    chosen = torch.zeros_like(batch.mask, dtype=torch.bool)
    for i, spans in enumerate(batch.spans):
        if positions not in spans:
            known = ", ".join(sorted(set().union(*batch.spans)))
            raise BadConfiguration(f"No prompt span is called '{positions}'; positions are: all, {known}.")
        first, last = spans[positions]
        chosen[i, first:last] = True
    return chosen


@dataclass(frozen=True)
class Editor:
    """Applies edits to the rows of one folded batch.

    batch    the prompts; prompt [row] says which one each row runs
    columns  the absolute columns that the tensors at hand stand for, [first, last)
    """

    batch: Batch
    sources: Mapping[str, Source]
    prompt: Tensor
    first: int
    last: int

    def chosen(self, edit: Edit, prompts: Tensor) -> Tensor:
        """[row, column, 1] of bool; columns after the batch's own (generated ones) belong to 'all'."""
        inside = columns_of(self.batch, edit.positions)[prompts, self.first : min(self.last, self.batch.length)]
        beyond = self.last - max(self.first, self.batch.length)
        if beyond > 0:
            new = torch.full((len(prompts), beyond), edit.positions == "all", device=inside.device)
            inside = torch.cat([inside, new], dim=1)
        return inside[..., None]

    def from_source(self, edit: Edit, prompts: Tensor, width: slice) -> Tensor:
        if edit.source is None or edit.source not in self.sources:
            raise BadConfiguration(
                f"The edit at {edit.site} needs a source; given: {', '.join(self.sources) or 'none'}."
            )
        values = self.sources[edit.source].at(edit.site.layer, edit.site.part)
        values = values[prompts] if values.shape[0] > 1 else values
        if values.shape[1] > 1:
            # A generated position has no counterpart in the source; it takes the value of the last one.
            wanted = torch.arange(self.first, self.last, device=values.device).clamp(max=values.shape[1] - 1)
            values = values[:, wanted]
        return values[..., width]

    def apply(self, value: Tensor, placed: Sequence[Placed], d_part: int | None = None) -> Tensor:
        """value [row, column, width] with the edits made, as a new tensor. d_part: the width of one head or neuron."""
        value = value.clone()
        for edit, rows in ((p.edit, p.rows) for p in placed):
            i, d = edit.site.index, d_part or 0
            width = slice(None) if i is None else slice(i * d, (i + 1) * d)
            value[rows, :, width] = self.changed(value[rows][..., width], edit, self.prompt[rows], width)
        return value

    def changed(self, old: Tensor, edit: Edit, prompts: Tensor, width: slice) -> Tensor:
        """old [row, column, width], the part of a value that `width` cuts out, after one edit."""
        if edit.op == "zero":
            new = torch.zeros_like(old)
        elif edit.op == "scale":
            new = old * edit.factor
        else:
            source = self.from_source(edit, prompts, width).to(old.dtype)
            if edit.op == "replace":
                new = source.expand_as(old)
            elif edit.op == "add":
                new = old + edit.factor * source
            else:
                unit = torch.nn.functional.normalize(source, dim=-1)
                new = old - (old * unit).sum(-1, keepdim=True) * unit
        return torch.where(self.chosen(edit, prompts), new, old)
