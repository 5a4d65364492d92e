"""Measurements as a table, and the tables as a page."""

from __future__ import annotations

import datetime
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import stats

from lashley.experiments.model.processor import processor

from .ways import WAYS, Swept

Head = tuple[int, int]

PLAIN = WAYS["plain"].name
COUNTED = {"wall": "the clock's", "processor": "the processor's"}


@dataclass
class Row:
    """What one way did.

    per_head  seconds per head, one number for each turn
    values    logit differences by head, each [prompt]
    memory    the most, in bytes, above the loaded model
    fault     why it did not come to the end; empty if it did
    """

    name: str
    ours: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    threads: int = 0
    per_head: list[float] = field(default_factory=list)
    values: dict[Head, list[float]] = field(default_factory=dict)
    memory: int = 0
    budget: int | None = None
    fault: str = ""

    def add(self, heads: Sequence[Head], swept: Swept) -> None:
        self.per_head.append(swept.seconds / len(heads))
        self.values |= dict(zip(heads, swept.values, strict=True))
        self.memory = max(self.memory, swept.memory)

    def seconds(self, heads: int) -> float:
        return statistics.median(self.per_head) * heads


@dataclass(frozen=True)
class Measured:
    """One case. `floor` in seconds, `rate` in operations per second; the first row is what others are compared with."""

    title: str
    heads: int
    floor: float
    rate: float
    intact: float
    rows: list[Row]


def difference(row: Row, reference: Row) -> float:
    """The largest, in logits, over the heads that both swept."""
    both = [h for h in row.values if h in reference.values]
    return max(float(np.abs(np.subtract(row.values[h], reference.values[h])).max()) for h in both)


def agreement(row: Row, reference: Row, intact: float) -> str:
    """Of a way that may err: rank correlation of the heads' mean effects, and how many of the ten strongest agree."""
    heads = list(reference.values)
    effects = [np.array([np.mean(r.values[h]) for h in heads]) - intact for r in (row, reference)]
    strongest = [set(np.argsort(-np.abs(e))[:10].tolist()) for e in effects]
    correlation = stats.spearmanr(effects[0], effects[1])[0]
    return f"{correlation:.3f}, {len(strongest[0] & strongest[1])} of {len(strongest[1])}"


def table(m: Measured) -> str:
    reference = m.rows[0]
    ours = reference.seconds(m.heads) if reference.per_head else float("nan")
    plain = next((r.seconds(m.heads) for r in m.rows if r.name.startswith(PLAIN) and r.per_head), None)
    lines = [
        f"### {m.title}: {m.heads} heads\n",
        f"The floor is {m.floor:.2f} s, at {m.rate / 1e9:.0f} GFLOP/s.\n",
        f"| way | heads swept | seconds | times {reference.name} | times as fast as {PLAIN} | times the floor "
        "| largest difference, logits | ranks, top ten | memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in m.rows:
        if row.fault or not row.per_head:
            lines.append(f"| {row.name} | failed: {row.fault} | | | | | | | |")
            continue
        seconds = row.seconds(m.heads)
        compared = row is not reference and bool(reference.per_head)
        cells = [
            row.name,
            f"{len(row.values)}",
            f"{seconds:.2f}",
            f"{seconds / ours:.2f}",
            f"{plain / seconds:.1f}" if plain else "",
            f"{seconds / m.floor:.2f}",
            f"{difference(row, reference):.1e}" if compared else "",
            agreement(row, reference, m.intact) if compared and row.ours else "",
            f"{row.memory / 1e6:.0f}" + (f" of {row.budget / 1e6:.0f}" if row.budget else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def machine(device: str) -> str:
    """The processor and its cores, as far as the system says."""
    gpu = f"{torch.cuda.get_device_name()}, with " if device == "cuda" else ""
    return f"{gpu}{processor()}, {os.cpu_count()} cores"


def page(measured: Sequence[Measured], device: str, command: str, seconds: float, clock: str) -> str:
    """All tables, and what is needed to judge them."""
    rows = [row for m in measured for row in m.rows if row.versions]
    versions = sorted({f"{package} {version}" for row in rows for package, version in row.versions.items()})
    threads = ", ".join(sorted({str(row.threads) for row in rows}))
    return "\n".join([
        "# What a sweep over all heads costs\n",
        f"{machine(device)}, {threads} threads. {datetime.datetime.now(datetime.UTC).date()}. Made by `{command}` in "
        f"{seconds / 60:.0f} minutes; seconds are {COUNTED[clock]}. [How to read it](README.md).\n",
        f"{', '.join(versions)}.",
        "",
        *map(table, measured),
    ])  # fmt: skip
