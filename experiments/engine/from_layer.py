"""Runs with gradients that begin at a layer: what an edit of the stream there does to the logits, as a function of it.

Everything before the layer, and in later layers every column before the first edited one, is taken from one clean pass.
So a training step costs the later layers at a few columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.subject import Subject
from ..sites import Part
from ..tasks.batch import Batch
from .activations import CleanRun
from .clean_pass import read
from .edits import Editor
from .forward import Recording, Window, gather_columns, record_batch, unembed
from .layer import FULL, Layer


@dataclass(frozen=True)
class FromLayer:
    """layer: whose entry is edited (n_layers: the stream after the last); first: the first column that is."""

    subject: Subject
    batch: Batch
    clean: CleanRun
    recording: Recording
    layer: int
    first: int

    @property
    def stream(self) -> Tensor:
        """The clean stream before the layer from the first column on, [batch, column, d_model]."""
        return self.clean.at(self.layer, "resid_pre")[:, self.first :]

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """The stream x [row, column, d_model] of some prompts [row] instead of the clean one -> the logits at the
        columns where answers are read, [row, reads, vocabulary]."""
        anatomy, batch = self.subject.anatomy, self.batch
        window = Window(self.recording, rows, self.first, batch.length)
        for number in range(self.layer, anatomy.n_layers):
            device = self.recording.devices[number]
            editor = Editor(batch, {}, anatomy, rows, self.first, batch.length).to(device)
            x = Layer(anatomy, self.clean, number, [FULL] * len(rows), editor, window).run(x.to(device))
        start = batch.length - batch.reads - self.first
        columns = torch.arange(start, start + batch.reads, device=x.device).repeat(len(rows), 1)
        return unembed(self.subject.model, anatomy, gather_columns(x, columns))


def from_layer(subject: Subject, batch: Batch, layer: int, first: int) -> FromLayer:
    """Prepare for runs that begin before `layer`; `first` is the first column that they change."""
    first = min(first, batch.length - batch.reads) if subject.anatomy.by_column else 0
    parts: set[Part] = {"resid_pre", "k", "v"} if first else {"resid_pre"}
    seen = read(subject, batch, parts, range(layer, subject.anatomy.n_layers))
    # Tensors of an inference pass cannot be saved for a backward pass.
    values = {key: value.clone() for key, value in seen.values.items() if key[1] != "resid_pre" or key[0] == layer}
    with torch.no_grad():
        recording = record_batch(subject.model, subject.anatomy, batch)
    return FromLayer(subject, batch, CleanRun(values), recording, layer, first)
