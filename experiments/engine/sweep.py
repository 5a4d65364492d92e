"""Many interventions on one batch, in as few operations as they need.

A run enters at the layer that its intervention first touches, with the clean activations before it: a head
edit takes the clean attention output plus the change of its z through W_O, so no attention is computed there.
Runs are sorted by entry, and travel on together: each layer is called once for all runs that have begun.
In the last layer only the columns that are read go through the MLP, and only they are unembedded.
Where all edits lie at later columns, the columns before them are never recomputed; their keys and values
are kept from the clean pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..batch import Batch
from ..interventions import Intervention, first_part
from ..sites import Part
from ..subject import Subject
from .activations import CleanRun, flat_heads, read, unflat_heads
from .edits import Editor, Placed, Source, columns_of
from .forward import KVSlot, Window, attention, mlp, through, unembed

# How much of a layer a run computes when it enters there. Everything before is clean.
FULL, AFTER_Z, AFTER_ATTN, AFTER_MLP, AFTER_LAYER = range(5)
ENTRY: dict[str, int] = {
    "resid_pre": FULL, "k": FULL, "v": FULL, "z": AFTER_Z, "attn_out": AFTER_Z,
    "neurons": AFTER_ATTN, "mlp_out": AFTER_MLP, "resid_post": AFTER_LAYER,
}  # fmt: skip

# Tokens that travel together. Larger chunks amortise weight traffic until activations leave the cache.
CHUNK_TOKENS = 4096
LOGIT_NUMBERS = 32_000_000

Progress = Callable[[int, int], None]


class Readout(Protocol):
    """What is read from the logits.

    at      [batch] which of the batch's read columns is wanted, or None for all of them
    tokens  [batch, t] which tokens' logits are wanted, or None for the whole vocabulary
    every_column  read all columns of the batch instead of its read columns
    """

    at: Tensor | None
    tokens: Tensor | None
    every_column: bool

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        """logits [row, column, vocabulary or t] of the prompts [row] -> named values, each [row, ...]."""
        ...


@dataclass(frozen=True)
class Run:
    """One row to be computed: an intervention on a prompt, and where it enters."""

    which: int
    prompt: int
    step: int
    entry: int


@dataclass
class Plan:
    """What all chunks of one call share."""

    subject: Subject
    batch: Batch
    clean: CleanRun
    interventions: Sequence[Intervention]
    sources: Mapping[str, Source]
    readout: Readout
    read_columns: Tensor


def read_columns(batch: Batch, readout: Readout) -> Tensor:
    """The absolute columns to read, [batch, k]."""
    device = batch.ids.device
    if readout.every_column:
        return torch.arange(batch.length, device=device).repeat(len(batch), 1)
    first = batch.length - batch.reads
    if readout.at is not None:
        return (first + readout.at)[:, None]
    return torch.arange(first, batch.length, device=device).repeat(len(batch), 1)


@torch.inference_mode()
def run(
    subject: Subject,
    batch: Batch,
    interventions: Sequence[Intervention],
    readout: Readout,
    sources: Mapping[str, Source] | None = None,
    clean: CleanRun | None = None,
    progress: Progress | None = None,
    chunk_tokens: int = CHUNK_TOKENS,
) -> dict[str, Tensor]:
    """The readout of every intervention on every prompt: name -> [intervention, batch, ...].

    An intervention without edits or program is the identity. `clean` may be handed in when it was read before
    with the parts that `needed_parts` names. Raises BadConfiguration for positions or sources that are not there.
    """
    if clean is None:
        clean = read(subject, batch, needed_parts(subject, batch, interventions, readout))
    plan = Plan(subject, batch, clean, interventions, sources or {}, readout, read_columns(batch, readout))
    out: dict[str, Tensor] = {}
    total, done = len(interventions) * len(batch), 0
    for (program, first), members in grouped(plan).items():
        runs = ordered_runs(plan, members)
        size = max(1, chunk_tokens // (batch.length - first))
        while runs:
            try:
                values = run_chunk(plan, program, first, runs[:size])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = max(1, size // 2)
                continue
            chunk, runs = runs[:size], runs[size:]
            where = torch.tensor([r.which for r in chunk]), torch.tensor([r.prompt for r in chunk])
            for name, value in values.items():
                if name not in out:
                    out[name] = torch.full((len(interventions), len(batch), *value.shape[1:]), torch.nan)
                out[name][where] = value.float().cpu()
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    return out


def needed_parts(subject: Subject, batch: Batch, interventions: Sequence[Intervention], readout: Readout) -> set[Part]:
    """What the clean pass must keep for these interventions."""
    parts: set[Part] = {"resid_pre"}
    edited = {e.site.part for i in interventions for e in i.edits}
    if edited & {"z", "attn_out", "neurons", "mlp_out"}:
        parts |= {"z", "attn_out", "mlp_out"} if subject.anatomy.blocks[0].parallel else {"z", "attn_out"}
    if "mlp_out" in edited:
        parts.add("mlp_out")
    if "resid_post" in edited:
        parts.add("resid_post")
    columns = read_columns(batch, readout)
    if any(first_column(batch, i, columns) > 0 for i in interventions):
        parts |= {"k", "v"}
    return parts


def first_column(batch: Batch, intervention: Intervention, columns: Tensor) -> int:
    """The first column, over all prompts, that this intervention changes and that can reach what is read."""
    if intervention.program is not None or not intervention.edits:
        return 0
    chosen = torch.stack([columns_of(batch, e.positions) for e in intervention.edits]).any(0).any(0)
    touched = chosen.nonzero()
    edited = int(touched[0]) if len(touched) else batch.length - 1
    return min(edited, int(columns.min()))


def grouped(plan: Plan) -> dict[tuple[tuple[int, ...] | None, int], list[int]]:
    """Interventions that can travel together: the same layer program, the same first column."""
    groups: dict[tuple[tuple[int, ...] | None, int], list[int]] = {}
    for which, intervention in enumerate(plan.interventions):
        first = first_column(plan.batch, intervention, plan.read_columns)
        groups.setdefault((intervention.program, first), []).append(which)
    return groups


def ordered_runs(plan: Plan, members: Sequence[int]) -> list[Run]:
    n_layers = plan.subject.anatomy.n_layers
    runs: list[Run] = []
    for which in members:
        intervention = plan.interventions[which]
        step = intervention.first_step(n_layers)
        entry = FULL
        if intervention.program is None and step < n_layers:
            entry = ENTRY[first_part(tuple(e for e in intervention.edits if e.site.layer == step))]
        runs += [Run(which, prompt, step, entry) for prompt in range(len(plan.batch))]
    return sorted(runs, key=lambda r: (r.step, r.entry, r.which, r.prompt))


def run_chunk(plan: Plan, program: tuple[int, ...] | None, first: int, runs: Sequence[Run]) -> dict[str, Tensor]:
    """Run these rows from their entries to the logits, and measure."""
    anatomy, batch, clean = plan.subject.anatomy, plan.batch, plan.clean
    device = batch.ids.device
    layers = program if program is not None else tuple(range(anatomy.n_layers))
    prompts = torch.tensor([r.prompt for r in runs], device=device)
    steps = [r.step for r in runs]
    x = torch.empty(0, batch.length - first, anatomy.d_model, device=device, dtype=plan.subject.dtype)
    columns = plan.read_columns[prompts] - first
    window: Window | None = None
    cut = False
    for step in range(min(steps), len(layers)):
        begun = sum(s <= step for s in steps)
        running = sum(s < step for s in steps)
        if begun == 0:
            continue
        if window is None or len(window.rows) != begun:
            assert clean.recording is not None
            window = Window(clean.recording, prompts[:begun], first, batch.length)
        last = step == len(layers) - 1
        x = run_layer(plan, layers[step], runs[:begun], running, x, prompts[:begun], window, first,
                      columns[:begun] if last else None)  # fmt: skip
        cut = last
    late = [i for i, s in enumerate(steps) if s >= len(layers)]
    if not cut:
        x = gather_columns(x, columns[: x.shape[0]])
    if late:
        source = clean_stream(plan, len(layers))[prompts[late]][:, first:]
        x = torch.cat([x, gather_columns(source, columns[late])])
    return measure(plan, x, prompts)


def clean_stream(plan: Plan, step: int) -> Tensor:
    """The clean stream before step `step` of the natural order, [batch, position, d_model]."""
    if step == plan.subject.anatomy.n_layers:
        assert plan.clean.final is not None
        return plan.clean.final
    return plan.clean.at(step, "resid_pre")


def gather_columns(x: Tensor, columns: Tensor) -> Tensor:
    """x [row, column, d] at columns [row, k] -> [row, k, d]."""
    return x.gather(1, columns[..., None].expand(-1, -1, x.shape[-1]))


def run_layer(
    plan: Plan,
    layer: int,
    runs: Sequence[Run],
    running: int,
    x: Tensor,
    prompts: Tensor,
    window: Window,
    first: int,
    columns: Tensor | None,
) -> Tensor:
    """One layer for the runs under way (`x`, the first `running`) and those that enter here.

    Returns the stream after the layer, cut to `columns` [row, k] when they are given.
    """
    block, clean = plan.subject.anatomy.blocks[layer], plan.clean
    last = window.last
    new = prompts[running:]
    if len(new):
        x = torch.cat([x, clean_stream(plan, runs[running].step)[new, first:]])
    entries = [FULL] * running + [r.entry for r in runs[running:]]
    full, z_end, attn_end, mlp_end = (
        sum(e <= limit for e in entries) for limit in (FULL, AFTER_Z, AFTER_ATTN, AFTER_MLP)
    )
    placed = place(plan, layer, runs, prompts.device)
    editor = Editor(plan.batch, plan.sources, prompts, first, last)
    x = edit(editor, x, placed, "resid_pre")

    # Attention: computed for runs whose stream has changed; for head edits, the clean output plus the change.
    attn: list[Tensor] = []
    if full:
        attn.append(full_attention(plan, layer, x[:full], window, editor, placed, full, first))
    if z_end > full:
        attn.append(edited_attention(plan, layer, slice(full, z_end), editor, placed, prompts, first))
    attn_out = through(block.attn_post, torch.cat(attn)) if attn else x[:0]
    if len(prompts) > z_end:
        attn_out = torch.cat([attn_out, clean.at(layer, "attn_out")[prompts[z_end:], first:]])
    attn_out = edit(editor, attn_out, placed, "attn_out")

    # MLP: where its input or its neurons have changed; in the last layer only for what is read.
    mlp_from = z_end if block.parallel else attn_end
    editing_later = any(p.edit.site.part in ("neurons", "mlp_out", "resid_post") for p in placed)
    cut_now = columns is not None and not editing_later
    if cut_now:
        assert columns is not None
        x, attn_out = gather_columns(x, columns), gather_columns(attn_out, columns)
    middle = x + attn_out
    u = x if block.parallel else middle

    def cut(value: Tensor, rows: slice) -> Tensor:
        value = value[prompts[rows], first:]
        return gather_columns(value, columns[rows]) if cut_now and columns is not None else value

    computed = [(0, full), (z_end, attn_end)] if block.parallel else [(0, mlp_from)]
    pieces: list[Tensor] = []
    at = 0
    for begin, end in computed:
        if begin > at:
            pieces.append(cut(clean.at(layer, "mlp_out"), slice(at, begin)))
        if end > begin:
            rows = slice(begin, end)
            neurons = within(placed, "neurons", begin, end)
            change = None
            if neurons:
                part = Editor(plan.batch, plan.sources, prompts[rows], first, last)
                change = lambda h, e=part, n=neurons, u=u[rows]: e.apply(h.view(*u.shape[:2], -1), n, 1).view_as(h)  # noqa: E731
            pieces.append(mlp(block, u[rows], change))
        at = max(at, end)
    if len(prompts) > at:
        needs = slice(at, mlp_end) if mlp_end > at else slice(at, at)
        if needs.stop > needs.start:
            pieces.append(cut(clean.at(layer, "mlp_out"), needs))
    mlp_out = torch.cat(pieces) if len(pieces) != 1 else pieces[0]
    mlp_out = edit(editor, mlp_out, within(placed, "mlp_out", 0, mlp_out.shape[0]), "mlp_out")
    out = middle[: mlp_out.shape[0]] + mlp_out
    if len(prompts) > mlp_out.shape[0]:
        out = torch.cat([out, cut(clean.at(layer, "resid_post"), slice(mlp_out.shape[0], len(prompts)))])
    out = edit(editor, out, placed, "resid_post")
    return gather_columns(out, columns) if columns is not None and not cut_now else out


def place(plan: Plan, layer: int, runs: Sequence[Run], device: torch.device) -> list[Placed]:
    """The edits at this layer, each with the rows it is for."""
    rows: dict[int, list[int]] = {}
    for row, r in enumerate(runs):
        rows.setdefault(r.which, []).append(row)
    return [
        Placed(e, torch.tensor(members, device=device))
        for which, members in rows.items()
        for e in plan.interventions[which].edits
        if e.site.layer == layer
    ]


def within(placed: Sequence[Placed], part: Part, begin: int, end: int) -> list[Placed]:
    """The edits of one part on the rows [begin, end), with rows counted from `begin`."""
    found: list[Placed] = []
    for p in placed:
        if p.edit.site.part == part:
            rows = p.rows[(p.rows >= begin) & (p.rows < end)] - begin
            if len(rows):
                found.append(Placed(p.edit, rows))
    return found


def edit(editor: Editor, value: Tensor, placed: Sequence[Placed], part: Part) -> Tensor:
    wanted = [p for p in placed if p.edit.site.part == part]
    return editor.apply(value, wanted) if wanted else value


def full_attention(
    plan: Plan, layer: int, x: Tensor, window: Window, editor: Editor, placed: Sequence[Placed], n: int, first: int
) -> Tensor:
    anatomy = plan.subject.anatomy
    prompts = editor.prompt[:n]
    own = Editor(editor.batch, editor.sources, prompts, editor.first, editor.last)
    if len(window.rows) != n:
        window = Window(window.recording, prompts, window.first, window.last)
    heads = within(placed, "z", 0, n)
    keys, values = within(placed, "k", 0, n), within(placed, "v", 0, n)
    slot: KVSlot | None = None
    if first > 0:
        k, v = (unflat_heads(plan.clean.at(layer, part)[prompts, :first], anatomy.n_kv_heads) for part in ("k", "v"))
        slot = KVSlot(k, v)
    elif keys or values:
        slot = KVSlot()
    if slot is not None and (keys or values):
        d = anatomy.d_head

        def change(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            edited = [
                unflat_heads(own.apply(flat_heads(t), e, d), t.shape[1]) if e else t
                for t, e in ((k, keys), (v, values))
            ]
            return edited[0], edited[1]

        slot.edit = change
    change_z = (lambda z: own.apply(z, heads, anatomy.d_head)) if heads else None
    return attention(anatomy.blocks[layer], x, window.kwargs(layer), slot, change_z)


def edited_attention(
    plan: Plan, layer: int, rows: slice, editor: Editor, placed: Sequence[Placed], prompts: Tensor, first: int
) -> Tensor:
    """attn_raw + (z' - z) W_O for runs that enter by an edit of z (or of attn_out, which changes nothing here)."""
    anatomy, clean = plan.subject.anatomy, plan.clean
    block, d = anatomy.blocks[layer], anatomy.d_head
    chosen = prompts[rows]
    raw = clean.at(layer, "attn_raw")[chosen, first:]  # type: ignore[arg-type]
    own = Editor(editor.batch, editor.sources, chosen, editor.first, editor.last)
    edits = within(placed, "z", rows.start, rows.stop)
    z = clean.at(layer, "z")
    once = len(torch.cat([e.rows for e in edits]).unique()) == sum(len(e.rows) for e in edits) if edits else True
    W_O = block.W_O
    if once and all(e.edit.site.index is not None for e in edits):
        raw = raw.clone()
        for e in edits:
            head = int(e.edit.site.index or 0)
            part = slice(head * d, (head + 1) * d)
            old = z[chosen[e.rows], first:, part]
            raw[e.rows] += (own.changed(old, e.edit, chosen[e.rows], part) - old) @ W_O[part]
        return raw
    old = z[chosen, first:]
    return raw + (own.apply(old, edits, d) - old) @ W_O if edits else raw


def measure(plan: Plan, hidden: Tensor, prompts: Tensor) -> dict[str, Tensor]:
    """Unembed hidden [row, k, d_model] in pieces that fit, and read them."""
    readout, subject = plan.readout, plan.subject
    width = readout.tokens.shape[1] if readout.tokens is not None else subject.anatomy.vocabulary
    size = max(1, LOGIT_NUMBERS // (hidden.shape[1] * width))
    pieces: list[dict[str, Tensor]] = []
    for begin in range(0, len(prompts), size):
        rows = prompts[begin : begin + size]
        tokens = readout.tokens[rows] if readout.tokens is not None else None
        logits = unembed(subject.model, subject.anatomy, hidden[begin : begin + size], tokens)
        pieces.append(readout.measure(logits, rows))
    return {name: torch.cat([p[name] for p in pieces]) for name in pieces[0]}
