"""One layer, called once for many runs: those already running, and those that start here.

A run that starts here computes only what its edits change. Its stream is clean; if the edits start at a head, its
attention is the clean one plus the change of z through W_O; if they start later, its attention, and perhaps its MLP,
are clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.anatomy import Anatomy
from ..sites import Part
from .activations import CleanRun, flat_heads, unflat_heads
from .edits import Editor
from .forward import KVSlot, Window, attention, gather_columns, mlp, picked, tail, through
from .pattern import Change

# How much of a layer a run computes where it enters; everything before it is clean.
FULL, AFTER_Z, AFTER_ATTN, AFTER_MLP = range(4)
# The parts after the middle of a layer, where its attention has been added to the stream.
BEHIND: tuple[Part, ...] = ("neurons", "mlp_out", "resid_post")
ENTRY: dict[Part, int] = {
    "resid_pre": FULL, "k": FULL, "v": FULL, "pattern": FULL, "z": AFTER_Z, "attn_out": AFTER_Z,
    "neurons": AFTER_ATTN, "mlp_out": AFTER_MLP, "resid_post": AFTER_MLP,
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A layer and the rows it is run for, sorted by how much each of them computes (`entries`)."""

    anatomy: Anatomy
    clean: CleanRun
    number: int
    entries: Sequence[int]
    editor: Editor
    window: Window

    def count(self, entry: int) -> int:
        """How many rows, from the first on, compute at least as much as one that enters there."""
        return sum(e <= entry for e in self.entries)

    def clean_at(self, part: str, rows: slice | Tensor) -> Tensor:
        """What an intact run has there, for some rows, at the columns at hand."""
        values = self.clean.at(self.number, part)[:, self.editor.first :]
        return picked(values, self.editor.prompt[rows]).to(self.editor.prompt.device)

    def run(self, x: Tensor, columns: Tensor | None = None) -> Tensor:
        """The stream x [row, column, d_model] before the layer -> after it, cut to `columns` [row, k] if given."""
        return self.second_half(*self.first_half(x), columns)

    def first_half(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The stream x [row, column, d_model] before the layer -> the same with its edits, and after the attention."""
        x = self.editor.edit(x, "resid_pre")
        return x, x + self.editor.edit(self.attn_out(x), "attn_out")

    def second_half(self, x: Tensor, middle: Tensor, columns: Tensor | None = None) -> Tensor:
        """From the middle to the end of the layer, cut to `columns` [row, k] if given."""
        block, editor = self.anatomy.blocks[self.number], self.editor
        # Nothing after the attention looks at other columns, so what nobody reads ends here.
        cut = columns if columns is not None and not editor.touches(*BEHIND) else None
        if cut is not None:
            x, middle = gather_columns(x, cut), gather_columns(middle, cut)
        mlp_out = editor.edit(self.mlp_out(x if block.parallel else middle, cut), "mlp_out")
        kwargs = self.window.kwargs(self.number) if block.given else {}
        out = editor.edit(tail(block, middle + mlp_out, kwargs, cut), "resid_post")
        return gather_columns(out, columns) if columns is not None and cut is None else out

    def attn_out(self, x: Tensor) -> Tensor:
        full, changed = self.count(FULL), self.count(AFTER_Z)
        pieces: list[Tensor] = []
        if full:
            pieces.append(self.full_attention(x[:full]))
        if changed > full:
            pieces.append(self.edited_attention(slice(full, changed)))
        if pieces:
            pieces = [through(self.anatomy.blocks[self.number].attn_post, joined(pieces))]
        if len(x) > changed:
            pieces.append(self.clean_at("attn_out", slice(changed, len(x))))
        return joined(pieces)

    def full_attention(self, x: Tensor) -> Tensor:
        block, n, first = self.anatomy.blocks[self.number], len(x), self.editor.first
        editor, window = self.editor.only(slice(0, n)), self.window
        if len(window.rows) != n:
            window = Window(window.recording, editor.prompt, window.first, window.last)
        slot: KVSlot | None = None
        if first > 0 and block.n_kv_heads:
            before = (self.clean.at(self.number, part)[:, :first] for part in ("k", "v"))
            k, v = (picked(values, editor.prompt).to(x.device) for values in before)
            slot = KVSlot(unflat_heads(k, block.n_kv_heads), unflat_heads(v, block.n_kv_heads))
        if editor.touches("k", "v"):
            slot = slot or KVSlot()
            slot.edit = lambda k, v: edited_kv(editor, k, v)
        change_z = (lambda z: editor.edit(z, "z")) if editor.touches("z") else None
        change_pattern = edited_pattern(editor) if editor.touches("pattern") else None
        return attention(block, x, window.kwargs(self.number), slot, change_z, change_pattern)

    def edited_attention(self, rows: slice) -> Tensor:
        """attn_raw + (z' - z) W_O. A row that edits its z more than once needs all of z, others only their head's.

        If a norm follows, z' W_O is computed in full: for an attention without its heads, the difference leaves about
        1e-7 instead of 0, and a norm would amplify that.
        """
        block, editor = self.anatomy.blocks[self.number], self.editor.only(rows)
        raw = self.clean_at("attn_raw", rows)
        edits = editor.of("z")
        if not edits:
            return raw
        z, W_O = self.clean_at("z", rows), block.W_O
        if block.attn_post:
            return block.o_proj(editor.edit(z, "z"))
        touched = torch.cat([e.rows for e in edits])
        if len(touched.unique()) < len(touched):
            return raw + (editor.edit(z, "z") - z) @ W_O
        for e in edits:
            width = editor.width(e.edit)
            old = z[e.rows][..., width]
            raw[e.rows] += (editor.changed(old, e.edit, editor.prompt[e.rows]) - old) @ W_O[width]
        return raw

    def mlp_out(self, u: Tensor, cut: Tensor | None) -> Tensor:
        """Computed at the changed positions of the stream u or the neurons, clean elsewhere."""
        block = self.anatomy.blocks[self.number]
        changed = self.count(FULL if block.parallel else AFTER_Z)
        rows = {*range(changed), *(r for p in self.editor.of("neurons") for r in p.rows.tolist())}
        if len(rows) == len(u):
            return self.computed_mlp(u, self.editor)
        out = self.clean_at("mlp_out", slice(0, len(u)))
        out = out if cut is None else gather_columns(out, cut)
        if rows:
            index = torch.tensor(sorted(rows), device=u.device)
            out[index] = self.computed_mlp(u[index], self.editor.only(index))
        return out

    def computed_mlp(self, u: Tensor, editor: Editor) -> Tensor:
        shape = u.shape[:2]
        # Some architectures flatten rows and columns before their projections.
        change = lambda h: editor.edit(h.view(*shape, -1), "neurons").view_as(h)  # noqa: E731
        return mlp(self.anatomy.blocks[self.number], u, change if editor.touches("neurons") else None)


def edited_kv(editor: Editor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """New keys and values [row, kv_head, column, d_head] with their edits made."""
    n = k.shape[1]
    return (
        unflat_heads(editor.edit(flat_heads(k), "k"), n) if editor.touches("k") else k,
        unflat_heads(editor.edit(flat_heads(v), "v"), n) if editor.touches("v") else v,
    )


def edited_pattern(editor: Editor) -> Change:
    """What turns a pattern [row, head, query, key] into the same with its edits made."""
    return lambda p: unflat_heads(editor.edit(flat_heads(p), "pattern"), p.shape[1])


def joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))
