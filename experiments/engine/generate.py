"""Greedy text under interventions: all interventions with one layer program and all prompts in one batch.

Each step of the program has its own cache of keys and values, so a repeated layer keeps its runs apart, and
what is generated equals a full recomputation at every token (a test compares the two).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..interventions import Intervention
from ..model.block import Block
from ..model.subject import Subject
from ..tasks.batch import Batch
from .clean_pass import read
from .edits import INTACT, Editor, frozen_parts, placed_by_layer
from .forward import GIVEN, KVSlot, Recording, Window, attention, embed, mlp, record, tail, through, unembed
from .layer import edited_kv, edited_pattern
from .memory import Pieces, refused_memory
from .sources import Source

CHUNK_ROWS = 128


@torch.inference_mode()
def generate(
    subject: Subject,
    batch: Batch,
    interventions: Sequence[Intervention],
    max_new_tokens: int,
    stop: Sequence[str] = (),
    sources: Mapping[str, Source] | None = None,
    progress: Any = None,
) -> list[list[str]]:
    """What the subject writes after each prompt, [intervention][batch], cut before the first of `stop`.

    Generation starts after each prompt's last token; answers in the batch are neither read nor used by an edit.
    What is generated belongs to the positions "all" and "all-X", and takes what a source (for a freeze the intact run)
    has at the prompt's last token.
    """
    batch = batch.without_answers()
    frozen = frozen_parts(interventions)
    sources = {**(sources or {}), INTACT: read(subject, batch, frozen)} if frozen else sources
    texts: list[list[str]] = [[""] * len(batch) for _ in interventions]
    by_program: dict[tuple[int, ...] | None, list[int]] = {}
    for which, intervention in enumerate(interventions):
        by_program.setdefault(intervention.program, []).append(which)
    done = 0
    for program, members in by_program.items():
        pairs = [(which, prompt) for which in members for prompt in range(len(batch))]
        for begin, end in (pieces := Pieces(len(pairs), CHUNK_ROWS)):
            chunk = pairs[begin:end]
            with pieces.halved():
                with refused_memory(subject, batch):
                    writer = Writer(subject, batch, program, interventions, chunk, sources or {},
                                    max_new_tokens)  # fmt: skip
                    written = writer.write(max_new_tokens, stop)
                for (which, prompt), text in zip(chunk, written, strict=True):
                    texts[which][prompt] = text
                done += len(chunk)
                if progress is not None:
                    progress(done, len(interventions) * len(batch))
    return texts


def cut_at(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string. Leading white space never ends it."""
    body = len(text) - len(text.lstrip())
    ends = [at for s in stop if (at := text.find(s, body)) >= 0]
    return text[: min(ends)] if ends else text


class Writer:
    """The state of one batch under way: tokens so far, and one KVSlot per step of the program."""

    def __init__(
        self,
        subject: Subject,
        batch: Batch,
        program: tuple[int, ...] | None,
        interventions: Sequence[Intervention],
        pairs: Sequence[tuple[int, int]],
        sources: Mapping[str, Source],
        room: int,
    ) -> None:
        self.subject, self.batch, self.sources = subject, batch, sources
        self.layers = program if program is not None else tuple(range(subject.anatomy.n_layers))
        self.prompts = torch.tensor([p for _, p in pairs], device=batch.ids.device)
        self.placed = placed_by_layer(interventions, [which for which, _ in pairs], batch.ids.device)
        self.slots = [KVSlot(keep=True) for _ in self.layers]
        empty = torch.zeros((len(batch), room), dtype=torch.long, device=batch.ids.device)
        ids, mask = torch.cat([batch.ids, empty], 1), torch.cat([batch.mask, torch.ones_like(empty)], 1)
        position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
        self.recording = record(subject.model, subject.anatomy, ids, mask, position_ids)
        self.ids, self.mask, self.position_ids = (t[self.prompts] for t in (ids, mask, position_ids))
        self.rows = self.prompts  # which row of the recording each run has
        self.end = batch.length
        self.last: Recording | None = None  # only the last token's, if layers get more than the stream

    def begin(self) -> Tensor:
        """The logits [row, vocabulary] of the first token to be written."""
        return self.forward(self.recording.embedded[self.prompts][:, : self.end], 0, self.end)

    def add(self, token: Tensor) -> Tensor:
        """Write a token [row]; the logits [row, vocabulary] of the next one."""
        self.ids[:, self.end] = token
        self.end += 1
        model, anatomy = self.subject.model, self.subject.anatomy
        if not anatomy.by_column:  # a layer keeps no keys and values, so all columns run again
            known = (t[:, : self.end] for t in (self.ids, self.mask, self.position_ids))
            self.recording = record(model, anatomy, *known)
            self.rows = torch.arange(len(self.ids), device=self.ids.device)
            self.slots = [KVSlot(keep=True) for _ in self.layers]
            return self.forward(self.recording.embedded, 0, self.end)
        new = slice(self.end - 1, self.end)
        if anatomy.given:  # the other inputs of the layers depend on the token, which is only known now
            self.last = record(model, anatomy, *(t[:, new] for t in (self.ids, self.mask, self.position_ids)))
            return self.forward(self.last.embedded, self.end - 1, self.end)
        hidden = embed(model, anatomy, self.ids[:, new], self.position_ids[:, new])
        return self.forward(hidden, self.end - 1, self.end)

    def write(self, max_new_tokens: int, stop: Sequence[str]) -> list[str]:
        tokenizer, start = self.subject.tokenizer, self.end
        logits = self.begin()
        finished = torch.zeros(len(self.prompts), dtype=torch.bool, device=self.ids.device)
        written = 0
        while True:
            token = logits.argmax(-1)
            new = torch.where(finished, tokenizer.eos_token_id or 0, token)
            self.ids[:, start + written] = new
            written += 1
            if tokenizer.eos_token_id is not None:
                finished |= token == tokenizer.eos_token_id
            texts = tokenizer.batch_decode(self.ids[:, start : start + written], skip_special_tokens=True)
            if stop:
                finished |= torch.tensor([cut_at(t, stop) != t for t in texts], device=self.ids.device)
            if written == max_new_tokens or bool(finished.all()):
                return [cut_at(t, stop) for t in texts]
            logits = self.add(new)

    def forward(self, x: Tensor, first: int, last: int) -> Tensor:
        """Columns [first, last) through the program; the logits [row, vocabulary] of the last one."""
        anatomy = self.subject.anatomy
        window = Window(self.recording, self.rows, first, last)
        for slot, layer in zip(self.slots, self.layers, strict=True):
            x = x.to(self.recording.devices[layer])
            editor = Editor(self.batch, self.sources, anatomy, self.prompts, first, last,
                            self.placed.get(layer, ())).to(x.device)  # fmt: skip
            kwargs = window.kwargs(layer)
            if self.last is not None:
                kwargs |= {GIVEN: self.last.kwargs[layer].get(GIVEN, {})}
            x = written_layer(anatomy.blocks[layer], x, kwargs, slot, editor)
        return unembed(self.subject.model, anatomy, x[:, -1:])[:, -1].to(self.prompts.device)


def written_layer(block: Block, x: Tensor, kwargs: dict[str, Any], slot: KVSlot, editor: Editor) -> Tensor:
    """One layer over the new columns x [row, column, d_model], with the keys and values of the earlier ones in slot."""
    shape = x.shape[:2]
    x = editor.edit(x, "resid_pre")
    slot.edit = (lambda k, v: edited_kv(editor, k, v)) if editor.touches("k", "v") else None
    change_z = (lambda z: editor.edit(z, "z")) if editor.touches("z") else None
    change = (lambda h: editor.edit(h.view(*shape, -1), "neurons").view_as(h)) if editor.touches("neurons") else None
    change_p = edited_pattern(editor) if editor.touches("pattern") else None
    attn_out = editor.edit(through(block.attn_post, attention(block, x, kwargs, slot, change_z, change_p)), "attn_out")
    mlp_out = editor.edit(mlp(block, x if block.parallel else x + attn_out, change), "mlp_out")
    return editor.edit(tail(block, x + attn_out + mlp_out, kwargs), "resid_post")
