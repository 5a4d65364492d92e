"""The model's prediction if it stopped at a layer: the stream there, through the model's own final norm, head and
softcap (nostalgebraist 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model.subject import Subject
from ..tasks.batch import Batch
from .activations import Activations
from .forward import gather_columns, unembed
from .memory import free_bytes, logits_at_once
from .readout import Readout, read_columns
from .sweep import Progress


def streams(subject: Subject, seen: Activations) -> list[Tensor]:
    """The stream before the first layer and after each, [batch, position, d_model], of a pass that kept resid_pre."""
    return [seen.at(layer, "resid_pre") for layer in range(subject.anatomy.n_layers + 1)]


@torch.inference_mode()
def lens(
    subject: Subject, batch: Batch, streams: Sequence[Tensor], readout: Readout, progress: Progress | None = None
) -> dict[str, Tensor]:
    """Streams [batch, position, d_model] -> what the readout says of each: name -> [stream, batch, ...].

    The norm is applied once, and to what comes after the last layer it is the model's own: that lens is its logits.
    """
    columns = read_columns(batch, readout)
    width = subject.anatomy.vocabulary if readout.tokens is None else readout.tokens.shape[1]
    size = max(1, logits_at_once(subject, free_bytes(subject.device)) // (columns.shape[1] * width))
    rows = torch.arange(len(batch), device=batch.ids.device)
    found: list[dict[str, Tensor]] = []
    for done, stream in enumerate(streams):
        pieces: list[dict[str, Tensor]] = []
        for part in rows.split(size):
            hidden = gather_columns(stream[part.to(stream.device)], columns[part].to(stream.device))
            tokens = None if readout.tokens is None else readout.tokens[part]
            logits = unembed(subject.model, subject.anatomy, hidden.to(subject.device), tokens)
            values = readout.measure(logits.to(part.device), part)
            pieces.append({name: value.float().cpu() for name, value in values.items()})
        found.append({name: torch.cat([p[name] for p in pieces]) for name in pieces[0]})
        if progress is not None:
            progress(done + 1, len(streams))
    return {name: torch.stack([f[name] for f in found]) for name in found[0]}
