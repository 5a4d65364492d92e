"""What is read from the logits, and at which columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..tasks.batch import Batch


class Readout(Protocol):
    """What is read from the logits.

    at      [batch] the column to read, counted from the first of the batch's read columns (negative: before it), or
            None for all read columns
    tokens  [batch, t] the tokens whose logits to read, or None for the whole vocabulary
    every_column  read all columns of the batch instead of its read columns
    """

    @property
    def at(self) -> Tensor | None: ...

    @property
    def tokens(self) -> Tensor | None: ...

    @property
    def every_column(self) -> bool: ...

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        """logits [row, column, vocabulary or t] of the prompts [row] -> named values, each [row, ...]."""
        ...


@dataclass(frozen=True)
class StreamReadout:
    """The dot product of the stream after the program's last layer with `directions` [batch or 1, d_model], at one
    column of each prompt: it goes through no norm and no head."""

    at: Tensor
    directions: Tensor
    tokens: Tensor | None = None
    every_column: bool = False

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        """Here `logits` is the stream, [row, 1, d_model]."""
        along = self.directions.to(logits.device)
        own = along[prompts.to(logits.device)] if len(along) > 1 else along
        return {"projection": (logits[:, 0].float() * own.float()).sum(-1)}


@dataclass(frozen=True)
class RowsOfReadout:
    """A readout of the whole batch, for the prompts [first, last)."""

    readout: Readout
    first: int
    last: int

    @property
    def every_column(self) -> bool:
        return self.readout.every_column

    @property
    def at(self) -> Tensor | None:
        return None if self.readout.at is None else self.readout.at[self.first : self.last]

    @property
    def tokens(self) -> Tensor | None:
        return None if self.readout.tokens is None else self.readout.tokens[self.first : self.last]

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        return self.readout.measure(logits, prompts + self.first)


def reads_stream(readout: Readout) -> bool:
    return isinstance(readout.readout if isinstance(readout, RowsOfReadout) else readout, StreamReadout)


def read_columns(batch: Batch, readout: Readout) -> Tensor:
    """The absolute columns to read, [batch, k]."""
    device = batch.ids.device
    if readout.every_column:
        return torch.arange(batch.length, device=device).repeat(len(batch), 1)
    first = batch.length - batch.reads
    if readout.at is not None:
        return (first + readout.at)[:, None]
    return torch.arange(first, batch.length, device=device).repeat(len(batch), 1)
