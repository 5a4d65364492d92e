"""Greedy text under interventions: all interventions with one layer program and all prompts in one batch.

Each step of the program has its own cache of keys and values, so a repeated layer keeps its runs apart, and
what is generated equals a full recomputation at every token (a test compares the two).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import Batch
from ..interventions import Intervention
from ..subject import Subject
from .activations import flat_heads, unflat_heads
from .edits import Editor, Placed, Source
from .forward import KVSlot, Recording, Window, attention, embed, mlp, record, through, unembed

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

    Any answer tokens in the batch are ignored: generation starts after each prompt's last token.
    """
    texts: list[list[str]] = [[""] * len(batch) for _ in interventions]
    by_program: dict[tuple[int, ...] | None, list[int]] = {}
    for which, intervention in enumerate(interventions):
        by_program.setdefault(intervention.program, []).append(which)
    done = 0
    for program, members in by_program.items():
        pairs = [(which, prompt) for which in members for prompt in range(len(batch))]
        for begin in range(0, len(pairs), CHUNK_ROWS):
            chunk = pairs[begin : begin + CHUNK_ROWS]
            written = Writer(subject, batch, program, interventions, chunk, sources or {}).write(max_new_tokens, stop)
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
    ) -> None:
        self.subject, self.batch, self.sources = subject, batch, sources
        self.layers = program if program is not None else tuple(range(subject.anatomy.n_layers))
        self.prompts = torch.tensor([p for _, p in pairs], device=batch.ids.device)
        rows: dict[int, list[int]] = {}
        for row, (which, _) in enumerate(pairs):
            rows.setdefault(which, []).append(row)
        self.placed = [
            Placed(e, torch.tensor(r, device=batch.ids.device)) for w, r in rows.items() for e in interventions[w].edits
        ]
        self.prompt_end = batch.length - batch.reads + 1
        self.slots = [KVSlot(keep=True) for _ in self.layers]

    def write(self, max_new_tokens: int, stop: Sequence[str]) -> list[str]:
        batch, tokenizer = self.batch, self.subject.tokenizer
        end = self.prompt_end
        extra = max_new_tokens
        room = torch.zeros((len(batch), extra), dtype=torch.long, device=batch.ids.device)
        ids = torch.cat([batch.ids[:, :end], room], 1)
        mask = torch.cat([batch.mask[:, :end], torch.ones_like(room)], 1)
        position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
        recording = record(self.subject.model, self.subject.anatomy, ids, mask, position_ids)
        ids, mask, position_ids = ids[self.prompts], mask[self.prompts], position_ids[self.prompts]
        logits = self.forward(recording, recording.embedded[self.prompts][:, :end], 0, end)
        finished = torch.zeros(len(self.prompts), dtype=torch.bool, device=ids.device)
        written = 0
        while True:
            token = logits.argmax(-1)
            ids[:, end + written] = torch.where(finished, tokenizer.eos_token_id or 0, token)
            written += 1
            if tokenizer.eos_token_id is not None:
                finished |= token == tokenizer.eos_token_id
            texts = tokenizer.batch_decode(ids[:, end : end + written], skip_special_tokens=True)
            if stop:
                finished |= torch.tensor([cut_at(t, stop) != t for t in texts], device=ids.device)
            if written == max_new_tokens or bool(finished.all()):
                return [cut_at(t, stop) for t in texts]
            last = end + written
            hidden = embed(
                self.subject.model, self.subject.anatomy, ids[:, :last], mask[:, :last], position_ids[:, :last]
            )
            logits = self.forward(recording, hidden[:, -1:], last - 1, last)

    def forward(self, recording: Recording, x: Tensor, first: int, last: int) -> Tensor:
        """Columns [first, last) through the program; the logits [row, vocabulary] of the last one."""
        anatomy = self.subject.anatomy
        window = Window(recording, self.prompts, first, last)
        editor = Editor(self.batch, self.sources, self.prompts, first, last)
        for slot, layer in zip(self.slots, self.layers, strict=True):
            block = anatomy.blocks[layer]

            def edit(value: Tensor, part: str, d: int | None = None, layer: int = layer) -> Tensor:
                wanted = [p for p in self.placed if p.edit.site.layer == layer and p.edit.site.part == part]
                return editor.apply(value, wanted, d) if wanted else value

            def edit_kv(k: Tensor, v: Tensor, edit: Any = edit) -> tuple[Tensor, Tensor]:
                n = k.shape[1]
                k = unflat_heads(edit(flat_heads(k), "k", anatomy.d_head), n)
                return k, unflat_heads(edit(flat_heads(v), "v", anatomy.d_head), n)

            x = edit(x, "resid_pre")
            slot.edit = edit_kv
            raw = attention(block, x, window.kwargs(layer), slot, lambda z, edit=edit: edit(z, "z", anatomy.d_head))
            attn_out = edit(through(block.attn_post, raw), "attn_out")
            u = x if block.parallel else x + attn_out
            shape = u.shape[:2]
            mlp_out = mlp(block, u, lambda h, edit=edit, s=shape: edit(h.view(*s, -1), "neurons", 1).view_as(h))
            x = edit(x + attn_out + edit(mlp_out, "mlp_out"), "resid_post")
        return unembed(self.subject.model, anatomy, x[:, -1:])[:, -1]
