"""The clean pass: `read` runs the prompts once, intact or under one set of edits, and keeps chosen activations.

Prompts run in slices of a fixed size, whether their activations are kept in memory or on disk, so both have the same
bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..interventions import Edit, Intervention
from ..model.block import Block
from ..model.subject import Subject
from ..sites import Part
from ..tasks.batch import Batch
from .activations import CleanRun, Key, StoredRun, flat_heads
from .edits import Editor, placed_by_layer
from .forward import KVSlot, Recording, Window, attention, mlp, record_batch, tail, through
from .layer import edited_kv, edited_pattern
from .memory import Pieces, refused_memory
from .sources import RowsOfSource, Source

# Tokens per slice: enough for large products, but few compared with what is kept.
SLICE_TOKENS = 4096
SLICE_TOKENS_GPU = 65_536


@torch.inference_mode()
def read(
    subject: Subject,
    batch: Batch,
    parts: Iterable[Part],
    layers: Iterable[int] | None = None,
    to: str | Path | None = None,
    slice_tokens: int | None = None,
    edits: Sequence[Edit] = (),
    sources: Mapping[str, Source] | None = None,
) -> CleanRun:
    """Run the batch and keep `parts` of `layers` (None: all); attn_raw comes with attn_out.

    The run is intact unless there are edits; a freeze is not possible, because there is no other run to take values
    from. With `to`, a new or empty folder, the values are kept there instead of in memory. Raises BadConfiguration if
    the folder is not empty, OutOfMemory if one prompt does not fit.
    """
    parts = set(parts)
    wanted = set(range(subject.anatomy.n_layers)) if layers is None else set(layers)
    stored = None if to is None else StoredRun.create(Path(to).expanduser())
    tokens = slice_tokens or (SLICE_TOKENS if subject.device.type == "cpu" else SLICE_TOKENS_GPU)
    size = max(1, tokens // batch.length)
    kept: dict[Key, list[Tensor]] = {}
    recording: Recording | None = None
    for first, last in (slices := Pieces(len(batch), size)):
        with slices.halved():
            with refused_memory(subject, batch):
                given = {name: RowsOfSource(source, first, last) for name, source in (sources or {}).items()}
                recording, values = read_slice(subject, batch.rows(first, last), parts, wanted, edits, given)
            if stored is not None:
                stored.append(values)
            else:
                for key, value in values.items():
                    kept.setdefault(key, []).append(value)
    if stored is not None:
        return stored
    whole: dict[Key, Tensor] = {}
    for key in list(kept):
        pieces = kept.pop(key)
        whole[key] = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return CleanRun(whole, recording if len(batch) <= slices.size else None)


def read_slice(
    subject: Subject,
    batch: Batch,
    parts: set[Part],
    layers: set[int],
    edits: Sequence[Edit],
    sources: Mapping[str, Source],
) -> tuple[Recording, dict[Key, Tensor]]:
    """The values of some prompts that run together."""
    anatomy = subject.anatomy
    recording = record_batch(subject.model, anatomy, batch)
    rows = torch.arange(len(batch), device=batch.ids.device)
    window = Window(recording, rows, 0, batch.length)
    placed = placed_by_layer([Intervention(name="read", edits=tuple(edits))], [0] * len(batch), rows.device)
    values: dict[Key, Tensor] = {}
    x = recording.embedded
    for layer, block in enumerate(anatomy.blocks):
        x = x.to(recording.devices[layer])
        editor = Editor(batch, sources, anatomy, rows, 0, batch.length, placed.get(layer, ())).to(x.device)
        x = read_block(values, layer, block, x, window, parts if layer in layers else set(), editor)
    values[anatomy.n_layers, "resid_pre"] = x
    return recording, values


def read_block(
    values: dict[Key, Tensor],
    layer: int,
    block: Block,
    x: Tensor,
    window: Window,
    parts: set[Part],
    editor: Editor,
) -> Tensor:
    x = editor.edit(x, "resid_pre")
    keep: dict[str, Tensor] = {"resid_pre": x}
    slot = KVSlot(keep=True) if parts & {"k", "v"} or editor.touches("k", "v") else None
    if slot is not None and editor.touches("k", "v"):
        slot.edit = lambda k, v: edited_kv(editor, k, v)

    def keep_z(z: Tensor) -> Tensor:
        keep["z"] = editor.edit(z, "z")
        return keep["z"]

    def keep_neurons(h: Tensor) -> Tensor:
        # Some architectures flatten rows and columns before their projections.
        keep["neurons"] = editor.edit(h.view(*x.shape[:2], -1), "neurons")
        return keep["neurons"].view_as(h)

    def keep_pattern(p: Tensor) -> Tensor:
        p = edited_pattern(editor)(p) if editor.touches("pattern") else p
        keep["pattern"] = flat_heads(p)
        return p

    kwargs = window.kwargs(layer)
    raw = attention(
        block, x, kwargs, slot,
        keep_z if "z" in parts or editor.touches("z") else None,
        keep_pattern if "pattern" in parts or editor.touches("pattern") else None,
    )  # fmt: skip
    attn_out = editor.edit(through(block.attn_post, raw), "attn_out")
    u = x if block.parallel else x + attn_out
    mlp_out = mlp(block, u, keep_neurons if "neurons" in parts or editor.touches("neurons") else None)
    mlp_out = editor.edit(mlp_out, "mlp_out")
    out = editor.edit(tail(block, x + attn_out + mlp_out, kwargs), "resid_post")
    keep |= {"attn_raw": raw, "attn_out": attn_out, "mlp_out": mlp_out, "resid_post": out}
    if slot is not None and slot.k is not None and slot.v is not None:
        keep |= {"k": flat_heads(slot.k), "v": flat_heads(slot.v)}
    for part in {*parts, *({"attn_raw"} if "attn_out" in parts else ())} & keep.keys():
        values[layer, part] = keep[part]  # a layer without heads has no z
    return out
