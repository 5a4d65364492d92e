"""Apply an edit to a tensor, for some rows of a folded batch, at some columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..interventions import Edit, Intervention
from ..model.anatomy import Anatomy
from ..positions import check_positions, excluded
from ..sites import Part
from ..tasks.batch import Batch
from .forward import picked
from .pattern import fit_keys
from .sources import Source

# The name under which an Editor finds the values that a freeze goes back to.
INTACT = "the intact run"


@dataclass(frozen=True)
class Placed:
    """An edit and the rows of the folded batch it is meant for."""

    edit: Edit
    rows: Tensor


def placed_by_layer(
    interventions: Sequence[Intervention], which: Sequence[int], device: torch.device
) -> dict[int, list[Placed]]:
    """The edits at each layer, for a folded batch whose rows are under the interventions `which` [row]."""
    rows: dict[int, list[int]] = {}
    for row, w in enumerate(which):
        rows.setdefault(w, []).append(row)
    placed: dict[int, list[Placed]] = {}
    for w, members in rows.items():
        index = torch.tensor(members, device=device)
        for edit in interventions[w].edits:
            placed.setdefault(edit.site.layer, []).append(Placed(edit, index))
    return placed


def frozen_parts(interventions: Sequence[Intervention]) -> set[Part]:
    """What the intact run must keep for the freezes among their edits."""
    return {e.site.part for i in interventions for e in i.edits if e.op == "freeze"}


def columns_of(batch: Batch, positions: str) -> Tensor:
    """Which columns an edit touches, [batch, position] of bool; `positions` as in `positions.py`. Pads are never
    touched."""
    tokens = batch.mask.bool()
    if positions == "all":
        return tokens
    chosen = torch.zeros_like(tokens)
    for i, spans in enumerate(batch.spans):
        check_positions(positions, spans)
        without = excluded(positions, spans)
        name = positions if without is None else without
        start = int(tokens[i].nonzero()[0])
        first, last = spans.get(name, (start, start + 1))
        chosen[i, first:last] = True
        if without is not None:
            chosen[i] = tokens[i] & ~chosen[i]
    return chosen


def touches_generated(batch: Batch, positions: str) -> bool:
    """Whether positions contain the tokens that are generated after a prompt: they belong to no span."""
    return positions == "all" or all(excluded(positions, spans) is not None for spans in batch.spans)


@dataclass(frozen=True)
class Editor:
    """The edits of one layer, for the rows of one folded batch.

    batch    the prompts; prompt [row] is the one that each row runs
    first    the tensors contain the columns [first, last)
    anatomy  has the size of one head of z, k or v in each layer
    """

    batch: Batch
    sources: Mapping[str, Source]
    anatomy: Anatomy
    prompt: Tensor
    first: int
    last: int
    placed: Sequence[Placed] = ()

    def of(self, part: Part) -> list[Placed]:
        return [p for p in self.placed if p.edit.site.part == part]

    def touches(self, *parts: Part) -> bool:
        return any(p.edit.site.part in parts for p in self.placed)

    def to(self, device: torch.device) -> Editor:
        """The same for tensors on a device."""
        if self.prompt.device == device:
            return self
        placed = [Placed(p.edit, p.rows.to(device)) for p in self.placed]
        return replace(self, prompt=self.prompt.to(device), placed=placed)

    def only(self, rows: slice | Tensor) -> Editor:
        """The editor of some of the rows, renumbered from 0."""
        prompt = self.prompt[rows]
        if len(prompt) == len(self.prompt):
            return self
        number = torch.full_like(self.prompt, -1)
        number[rows] = torch.arange(len(prompt), device=prompt.device)
        kept = [Placed(p.edit, n[n >= 0]) for p in self.placed for n in [number[p.rows]]]
        return replace(self, prompt=prompt, placed=[p for p in kept if len(p.rows)])

    def edit(self, value: Tensor, part: Part) -> Tensor:
        """value [row, column, width] of a part with its edits made, one after the other; never changed in place."""
        wanted = self.of(part)
        if not wanted:
            return value
        value = value.clone()
        for p in wanted:
            width = self.width(p.edit)
            value[p.rows, :, width] = self.changed(value[p.rows][..., width], p.edit, self.prompt[p.rows])
        return value

    def width(self, edit: Edit) -> slice:
        """Which numbers of its part an edit is about: all of them, one head's, or one neuron's."""
        i, part = edit.site.index, edit.site.part
        if i is None:
            return slice(None)
        d = self.last if part == "pattern" else self.anatomy.blocks[edit.site.layer].width(part)
        return slice(i * d, (i + 1) * d)

    def changed(self, old: Tensor, edit: Edit, prompts: Tensor) -> Tensor:
        """old [row, column, width], what the edit is about, for some prompts [row]: the same after the edit."""
        if edit.op == "zero":
            new = torch.zeros_like(old)
        elif edit.op == "scale":
            new = old * edit.factor
        else:
            source = self.from_source(edit, prompts).to(old)
            if edit.op in ("replace", "freeze"):
                new = source.expand_as(old)
            elif edit.op == "add":
                new = old + edit.factor * source
            elif edit.op == "cut":
                kept = old * source
                # Without a key that is left, all weights are 0.
                new = kept / kept.sum(-1, keepdim=True).clamp(min=torch.finfo(kept.dtype).tiny)
            else:
                unit = torch.nn.functional.normalize(source, dim=-1)
                new = old - (old * unit).sum(-1, keepdim=True) * unit
        return torch.where(self.chosen(edit, prompts).to(old.device), new, old)

    def chosen(self, edit: Edit, prompts: Tensor) -> Tensor:
        """[row, column, 1] of bool; columns after the batch's own (generated ones) belong to "all" and "all-X"."""
        inside = columns_of(self.batch, edit.positions)[:, self.first : min(self.last, self.batch.length)]
        inside = picked(inside, prompts)
        beyond = self.last - max(self.first, self.batch.length)
        if beyond > 0:
            touched = touches_generated(self.batch, edit.positions)
            new = torch.full((len(prompts), beyond), touched, device=inside.device)
            inside = torch.cat([inside, new], dim=1)
        return inside[..., None]

    def from_source(self, edit: Edit, prompts: Tensor) -> Tensor:
        name = INTACT if edit.op == "freeze" else edit.source
        if name is None or name not in self.sources:
            given = ", ".join(s for s in self.sources if s != INTACT) or "none"
            raise BadConfiguration(f"The edit at {edit.site} needs a source. Given: {given}.")
        values = self.sources[name].at(edit.site.layer, edit.site.part)
        n, length = values.shape[:2]
        if edit.site.part == "pattern" and length == 1 < self.batch.length:
            raise BadConfiguration(f"The source '{name}' has only one vector, but a pattern needs one per query.")
        if n not in (1, len(self.batch)) or (length != 1 and length < self.batch.length):
            raise BadConfiguration(
                f"The source '{name}' has {n} prompts of {length} columns, and the batch {len(self.batch)} of "
                f"{self.batch.length}."
            )
        if edit.site.part == "pattern":
            # Generated tokens are never among the keys that are cut.
            values = fit_keys(values, length, self.last, weight=float(edit.op == "cut"))
        values = values[..., self.width(edit)]
        values = picked(values, prompts) if n > 1 else values
        if values.shape[1] > 1:
            # A generated position has no counterpart in the source; it uses the value at the prompt's last position.
            wanted = torch.arange(self.first, self.last, device=values.device).clamp(max=self.batch.length - 1)
            values = values[:, wanted]
        if edit.site.part == "pattern":
            # Pads get no attention, whatever the source says.
            keys = torch.nn.functional.pad(self.batch.mask, (0, max(0, self.last - self.batch.length)), value=1)
            heads = values.shape[-1] // self.last
            values = values * picked(keys[:, : self.last], prompts).repeat(1, heads)[:, None].to(values.device)
        return values
