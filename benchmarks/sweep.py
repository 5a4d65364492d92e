"""What a sweep over all heads costs: the engine against other libraries, and against the arithmetic.

All ablate the same heads (z set to zero) of the same weights and read the same logit difference at the last token,
each in a process of its own. Whole sweeps of ours and slices of the rivals take turns, so that whatever else the
machine does burdens all. See README.md.

    python -m benchmarks.sweep [--only gpt2-1,smollm2-8] [--ways engine,plain] [--layers 0,29] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from .cases import CASES, Laid, lay
from .floor import operations, product_rate
from .table import Measured, Row, page, table
from .ways import CLOCKS, WAYS, WITHOUT_BF16, Failed, Process, Way


def started(
    ways: list[Way], laid: Laid, device: str, clock: str
) -> tuple[dict[str, Process], dict[str, dict[str, Any]], list[Row]]:
    """The processes that run, what they said of themselves, and rows for those that do not. They load side by side."""
    processes: dict[str, Process] = {}
    said: dict[str, dict[str, Any]] = {}
    failed: list[Row] = []
    for way in ways:
        try:
            processes[way.name] = Process(way, laid.folder, laid.ids, laid.pair, device, clock)
        except Failed as fault:
            failed.append(Row(way.name, fault=str(fault)))
    for name, process in list(processes.items()):
        try:
            said[name] = process.receive()
        except Failed as fault:
            failed.append(Row(name, fault=str(fault)))
            processes.pop(name).close()
    return processes, said, failed


def measure(
    laid: Laid, ways: list[Way], layers: list[int] | None, rounds: int, every: int, device: str, clock: str = "wall"
) -> list[Measured]:
    """Let the ways take turns: ours sweep all heads of `layers` each time, the rivals one in `every` over all turns.

    Those on an imitated processor without bf16 take turns with the others, and get a table and a floor of their own.
    """
    a = laid.subject.anatomy
    layers = [layer for layer in layers or range(a.n_layers) if layer < a.n_layers]
    heads = [(layer, h) for layer in layers for h in range(a.n_heads)]
    processes, said, failed = started(ways, laid, device, clock)
    rows = {
        way.name: Row(way.name, ours=way.ours, budget=way.options.get("memory"), **said[way.name])
        for way in ways
        if way.name in processes
    }
    kinds = sorted({way.imitated for way in ways})
    rates: dict[bool, list[float]] = {imitated: [] for imitated in kinds}
    for turn in range(-1, rounds):
        # The turn before the first warms up; the order turns, too.
        for name in sorted(processes, key=list(rows).index, reverse=bool(turn % 2)):
            row, few = rows[name], heads[::every]
            share = heads if row.ours else few[len(few) * turn // rounds : len(few) * (turn + 1) // rounds]
            if turn < 0:
                share = heads[:2]
            elif not share:
                continue
            try:
                swept = processes[name].sweep(share)
            except Failed as fault:
                row.fault = str(fault)
                processes.pop(name).close()
                continue
            if turn >= 0:
                row.add(share, swept)
        for imitated in kinds:
            rates[imitated].append((rate_without_bf16 if imitated else product_rate)(device, clock))
    for process in processes.values():
        process.close()
    least = operations(laid.subject, len(laid.ids), len(laid.ids[0]), layers)
    imitating = {way.name for way in ways if way.imitated}
    every_row = [*rows.values(), *failed]
    return [
        Measured(
            f"{laid.title}{', without bf16' * imitated}", len(heads), least / max(rates[imitated]),
            max(rates[imitated]), laid.intact, [row for row in every_row if (row.name in imitating) == imitated],
        )
        for imitated in kinds
    ]  # fmt: skip


def rate_without_bf16(device: str, clock: str) -> float:
    """`product_rate` in a process that is kept to AVX2."""
    done = subprocess.run(
        [sys.executable, "-P", Path(__file__).with_name("floor.py"), device, clock], env={**os.environ, **WITHOUT_BF16},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def chosen(names: str, known: dict[str, Any]) -> list[Any]:
    """The named ones of `known`; ends the program with one line where there is no such name."""
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        sys.exit(f"There is no '{wrong[0]}'; there is: {', '.join(known)}.")
    return [known[name] for name in names.split(",")]


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description="Times a sweep over all heads.")
    parser.add_argument("--only", help=f"which cases: {', '.join(CASES)}")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"which ways: {', '.join(WAYS)}")
    parser.add_argument("--layers", help="only these layers, such as 0,10,20; writes no file")
    parser.add_argument("--rounds", type=int, help="how often the ways take turns (by default the case says)")
    parser.add_argument("--every", type=int, help="the rivals sweep one head in so many (by default the case says)")
    parser.add_argument("--device", default=device, choices=["cpu", "cuda"])
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help="whose seconds; the processor's: of one thread")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    if options.clock == "processor":
        if options.device == "cuda":
            parser.error("the processor's seconds say nothing of a GPU; take --device cpu, or the wall clock")
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)
    fitting = ",".join(name for name, case in CASES.items() if options.device == "cuda" or not case.gpu_only)
    cases, ways = chosen(options.only or fitting, CASES), chosen(options.ways, WAYS)
    ways = [way for way in ways if options.device == "cpu" or not way.imitated]
    layers = [int(layer) for layer in options.layers.split(",")] if options.layers else None
    begun = time.perf_counter()
    measured: list[Measured] = []
    for case in cases:
        every = options.every or (case.every if options.device == "cpu" else 1)
        with tempfile.TemporaryDirectory() as folder:
            laid = lay(case, Path(folder))
            found = measure(laid, ways, layers, options.rounds or case.rounds, every, options.device, options.clock)
        print(*map(table, found), sep="\n", flush=True)
        measured += found
    command = " ".join(["python -m benchmarks.sweep", *sys.argv[1:]])
    text = page(measured, options.device, command, time.perf_counter() - begun, options.clock)
    if not options.no_write and not options.layers:
        of = options.device if options.device != "cpu" else options.clock
        name = "RESULTS.md" if of == "wall" else f"RESULTS-{of}.md"
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
    sys.exit(any(row.fault for m in measured for row in m.rows))


if __name__ == "__main__":
    main()
