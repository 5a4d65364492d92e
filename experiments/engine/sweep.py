"""Run many interventions on one batch, in as few operations as possible.

A run starts at the first layer that its intervention changes, with the clean activations before it. Runs are sorted by
their start and continue together: each layer is called once for all runs that have started. In the last layer, only the
columns that are read go through the MLP, and only they are unembedded. If all edits are at later columns, the columns
before them are not recomputed; their keys and values come from the clean pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..interventions import Intervention
from ..model.kernels import laid_out
from ..model.subject import Subject
from ..tasks.batch import Batch
from .activations import CleanRun
from .clean_pass import read
from .edits import INTACT
from .forward import gather_columns, picked, record_batch, unembed
from .memory import SHARE, Pieces, free_bytes, logits_at_once, prompts_at_once, refused_memory, rows_at_once, to_lay_out
from .narrowing import how_many, narrowable, narrowing
from .plan import Plan, Run, grouped, needed_parts, ordered_runs
from .readout import Readout, RowsOfReadout, read_columns, reads_stream
from .sources import RowsOfSource, Source
from .travel import in_full, narrowed_runs

# Tokens that travel together. On a CPU a chunk's activations should stay in the cache, and 500 to 2,000 tokens cost the
# same; a GPU wants enough of them to be busy.
CHUNK_TOKENS = 1024
CHUNK_TOKENS_GPU = 16_384
# Runs that are narrowed begin with all of their tokens and end with a few.
NARROWED_CHUNK = 2

Progress = Callable[[int, int], None]
# The values of finished chunks, by their place in the sweep, to resume an interrupted sweep.
Kept = dict[str, dict[str, Tensor]]
KEPT_NUMBERS = 100_000
# Beside the chunks, under this name, what memory the sweep went by.
BUDGET = "budget"


@torch.inference_mode()
def run(
    subject: Subject,
    batch: Batch,
    interventions: Sequence[Intervention],
    readout: Readout,
    sources: Mapping[str, Source] | None = None,
    clean: CleanRun | None = None,
    progress: Progress | None = None,
    chunk_tokens: int | None = None,
    memory: int | None = None,
    kept: Kept | None = None,
    narrowed: str | None = None,
) -> dict[str, Tensor]:
    """The readout of every intervention on every prompt: name -> [intervention, batch, ...].

    An intervention without edits or program is the identity. `clean` can be passed if it was read before with the parts
    that `needed_parts` names; without it, as many prompts run at once as their activations fit into `memory`, in bytes
    (None: a share of the free memory). `kept` is filled chunk by chunk, and its chunks from an interrupted call with
    the same arguments are not run again; the rest uses the memory of that call, so that the chunks are the same.

    With `narrowed`, the name of one value of the readout, that value is estimated, on SmolLM2 in half of the time, and
    nothing else is read (`narrowing`); each intervention must then be edits of one layer, and the subject `narrowable`.
    Raises BadConfiguration for positions or sources that do not exist, and OutOfMemory if not even one run of one
    prompt fits.
    """
    if narrowed and any(i.program is not None or len({e.site.layer for e in i.edits}) > 1 for i in interventions):
        raise BadConfiguration("Only edits of one layer at a time can be narrowed. Run the others in full.")
    if narrowed and not narrowable(subject, batch):
        raise BadConfiguration(f"The attention of {subject.name} depends on key order, so narrowing is off.")
    tokens = len(interventions) * len(batch) * batch.length
    budget = memory or begun_with(kept, free_bytes(subject.device))
    projections, memory = to_lay_out(subject, tokens, budget, narrowed is not None)
    usual = CHUNK_TOKENS if subject.device.type == "cpu" else CHUNK_TOKENS_GPU
    at_once = chunk_tokens or usual * (NARROWED_CHUNK if narrowed else 1)
    tell = Counter(len(interventions) * len(batch), progress)
    given = dict(sources or {})
    pieces: list[dict[str, Tensor]] = []
    with laid_out(projections):
        if clean is not None:
            with refused_memory(subject, batch):
                return run_prompts(
                    subject, batch, interventions, readout, given, clean, at_once, memory, tell, kept, narrowed
                )
        parts = needed_parts(subject, batch, interventions, readout, narrowed)
        size = prompts_at_once(subject, batch, parts, memory, slopes=narrowed is not None)
        dropped: tuple[int, ...] | None = None
        for first, last in (slices := Pieces(len(batch), size)):
            some, part, theirs = batch, readout, given
            if last - first < len(batch):
                if narrowed and dropped is None:
                    dropped = how_many(subject, batch, readout, narrowed)
                some, part = batch.rows(first, last), RowsOfReadout(readout, first, last)
                theirs = {name: RowsOfSource(source, first, last) for name, source in given.items()}
            tell.done = first * len(interventions)
            seen = None  # what the last prompts kept goes before these are read
            with slices.halved(), refused_memory(subject, some):
                seen = read(subject, some, needed_parts(subject, some, interventions, part, narrowed))
                pieces.append(
                    run_prompts(
                        subject, some, interventions, part, theirs, seen, at_once, memory, tell, kept, narrowed, dropped
                    )
                )
    return {name: torch.cat([p[name] for p in pieces], dim=1) for name in pieces[0]}


def begun_with(kept: Kept | None, free: int) -> int:
    """The memory budget in bytes of an interrupted call, if that much is still available; otherwise `free`. The sizes
    of chunks depend on it, and products of other sizes have other last bits."""
    if kept is None:
        return free
    before = int(kept[BUDGET]["bytes"]) if BUDGET in kept else free
    budget = before if before * SHARE <= free else free
    kept[BUDGET] = {"bytes": torch.tensor(budget)}
    return budget


def chunks_in(kept: Kept) -> Kept:
    return {place: values for place, values in kept.items() if place != BUDGET}


@dataclass
class Counter:
    """Reports how many runs are done. Runs that are repeated after a lack of memory are not counted twice."""

    total: int
    progress: Progress | None
    done: int = 0
    told: int = 0

    def add(self, n: int) -> None:
        self.done += n
        if self.progress is not None and self.done > self.told:
            self.told = self.done
            self.progress(self.done, self.total)


def run_prompts(
    subject: Subject,
    batch: Batch,
    interventions: Sequence[Intervention],
    readout: Readout,
    sources: Mapping[str, Source],
    clean: CleanRun,
    chunk_tokens: int,
    memory: int,
    tell: Counter,
    kept: Kept | None = None,
    narrowed: str | None = None,
    dropped: tuple[int, ...] | None = None,
) -> dict[str, Tensor]:
    """`run` for prompts whose clean pass is there."""
    recording = clean.recording or record_batch(subject.model, subject.anatomy, batch)
    sources = {**sources, INTACT: clean}
    read_at, logits = read_columns(batch, readout), logits_at_once(subject, memory)
    how = None if narrowed is None else narrowing(subject, batch, clean, recording, readout, narrowed, dropped)
    plan = Plan(subject, batch, clean, recording, interventions, sources, readout, read_at, logits, how)
    out: dict[str, Tensor] = {}
    for (program, first), members in grouped(plan).items():
        runs = ordered_runs(plan, members)
        columns = batch.length - first
        wanted = min(len(runs), max(1, chunk_tokens // (how.width if how else columns)))
        size = rows_at_once(subject, batch.length, columns, wanted, memory)
        for begin, end in (chunks := Pieces(len(runs), size)):
            chunk = runs[begin:end]
            # The same chunks come in the same order each time, so counting tells them apart.
            place = f"{len(batch)} {tell.done}+{len(chunk)}"
            with chunks.halved():
                values = (kept or {}).get(place)
                if values is None:
                    with refused_memory(subject, batch):
                        values = run_chunk(plan, program, first, chunk)
                    values = {name: v.float().cpu() for name, v in values.items()}
                    if kept is not None and sum(v.numel() for v in values.values()) <= KEPT_NUMBERS:
                        kept[place] = values
                where = torch.tensor([r.which for r in chunk]), torch.tensor([r.prompt for r in chunk])
                for name, value in values.items():
                    if name not in out:
                        out[name] = torch.full((len(interventions), len(batch), *value.shape[1:]), torch.nan)
                    out[name][where] = value
                tell.add(len(chunk))
    return out


def run_chunk(plan: Plan, program: tuple[int, ...] | None, first: int, runs: Sequence[Run]) -> dict[str, Tensor]:
    """Run these rows from their entries to the logits, and measure."""
    layers = program if program is not None else tuple(range(plan.subject.anatomy.n_layers))
    prompts = torch.tensor([r.prompt for r in runs], device=plan.batch.ids.device)
    columns = plan.read_columns[prompts] - first
    if plan.narrowing is None:
        x, dropped = in_full(plan, layers, first, runs, prompts, columns), None
    else:
        x, dropped = narrowed_runs(plan, plan.narrowing, runs, prompts)
    # Runs that differ from the intact model nowhere, or first after the last layer of their program.
    late = slice(len(x), len(runs))
    if len(x) < len(runs):
        stream = picked(plan.clean.at(len(layers), "resid_pre")[:, first:], prompts[late])
        read_late = gather_columns(stream, columns[late].to(stream.device)).to(x.device)
        x = torch.cat([x, read_late]) if len(x) else read_late
    values = measure(plan, x, prompts)
    if plan.narrowing is None or dropped is None:
        return values
    return {plan.narrowing.metric: values[plan.narrowing.metric] + dropped}


def measure(plan: Plan, hidden: Tensor, prompts: Tensor) -> dict[str, Tensor]:
    """Unembed hidden [row, k, d_model] in pieces that fit, and read them."""
    readout, subject = plan.readout, plan.subject
    if reads_stream(readout):
        return readout.measure(hidden.to(prompts.device), prompts)
    width = readout.tokens.shape[1] if readout.tokens is not None else subject.anatomy.vocabulary
    size = max(1, plan.logits_at_once // (hidden.shape[1] * width))
    pieces: list[dict[str, Tensor]] = []
    for begin in range(0, len(prompts), size):
        rows = prompts[begin : begin + size]
        tokens = readout.tokens[rows] if readout.tokens is not None else None
        logits = unembed(subject.model, subject.anatomy, hidden[begin : begin + size], tokens)
        pieces.append(readout.measure(logits.to(rows.device), rows))
    return {name: torch.cat([p[name] for p in pieces]) for name in pieces[0]}
