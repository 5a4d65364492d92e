"""What else could make a sweep faster, each as a ratio to the engine as it is; below 1 is faster.

Every variant is a process of its own and takes turns with another that is the engine as it is, as in `sweep.py`. A few
layers will do. What cannot be tried on a machine is said.

    python -m benchmarks.tried [--only gpt2-8] [--layers 0,5,10] [--rounds 5] [--no-write]
"""

from __future__ import annotations

import argparse
import ctypes.util
import datetime
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from .cases import CASES, lay
from .sweep import chosen, measure
from .table import Measured, difference, machine
from .ways import Way

CHUNKS = (256, 512, 1024, 2048, 4096, 8192)
HEAD = (
    "| variant | times unchanged | range over turns | largest difference, logits | memory, MB |",
    "|---|---:|---:|---:|---:|",
)
ALLOCATORS = ("jemalloc", "tcmalloc_minimal", "tcmalloc")


def engine(name: str, options: dict[str, object] | None = None, **environment: str) -> Way:
    return Way(name, "ours.py", "exact", ours=True, options=options or {}, environment=environment)


def variants() -> tuple[list[Way], list[str]]:
    """The variants that can run here, and one line for each that cannot."""
    cores = os.cpu_count() or 1
    missing: list[str] = []
    ways = [engine(f"{n} thread{'s' * (n > 1)}", OMP_NUM_THREADS=str(n)) for n in sorted({1, 2, cores})]
    ways += [engine(f"chunks of {n} tokens", {"chunk_tokens": n}) for n in CHUNKS]
    ways.append(engine("torch's own products and GELU", {"usual_kernels": True}))
    if shutil.which(os.environ.get("CXX", "c++")):
        ways.append(engine("torch.compile of the MLPs", {"compiled": True}))
        ways.append(
            engine("torch.compile of the MLPs, torch's own products", {"compiled": True, "usual_kernels": True})
        )
    else:
        missing.append("torch.compile: no C++ compiler here")
    for name in ALLOCATORS:
        if library := ctypes.util.find_library(name):
            ways.append(engine(name, LD_PRELOAD=library))
        else:
            missing.append(f"{name}: not installed")
    if sys.platform == "linux":
        ways.append(engine("glibc returns freed memory", {"usual_allocator": True}))
        ways.append(engine("huge pages", THP_MEM_ALLOC_ENABLE="1"))
    ways.append(engine("threads spin without limit", OMP_WAIT_POLICY="active"))
    ways.append(engine("threads sleep at once", OMP_WAIT_POLICY="passive"))
    return ways, missing


def line(m: Measured) -> str:
    """A variant against the unchanged engine: the median over the turns, and the range."""
    reference, row = m.rows[0], m.rows[-1]
    fault = next((r.fault for r in m.rows if r.fault), "")
    if fault:
        return f"| {row.name} | failed: {fault} | | | |"
    ratios = sorted(a / b for a, b in zip(row.per_head, reference.per_head, strict=True))
    return (
        f"| {row.name} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} "
        f"| {difference(row, reference):.1e} | {row.memory / 1e6:.0f}, unchanged {reference.memory / 1e6:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Tries what could make a sweep faster.")
    parser.add_argument("--only", default="smollm2-8,gpt2-8", help=f"which cases: {', '.join(CASES)}")
    parser.add_argument("--layers", default="0,5,10", help="which layers are swept")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two take turns")
    parser.add_argument("--no-write", action="store_true", help="do not write TRIED.md")
    options = parser.parse_args()
    layers = [int(layer) for layer in options.layers.split(",")]
    ways, missing = variants()
    lines = [
        "# What was tried\n",
        f"{machine('cpu')}. {datetime.datetime.now(datetime.UTC).date()}. Made by "
        f"`{' '.join(['python -m benchmarks.tried', *sys.argv[1:]])}`. [How to read it](README.md).",
    ]
    for case in chosen(options.only, CASES):
        with tempfile.TemporaryDirectory() as folder:
            laid = lay(case, Path(folder))
            lines += [f"\n### {laid.title}, layers {options.layers}\n", *HEAD]
            for way in ways:
                lines.append(line(measure(laid, [engine("unchanged"), way], layers, options.rounds, 1, "cpu")[0]))
                print(lines[-1], flush=True)
    lines += ["", *(f"Not tried: {reason}." for reason in missing)]
    if not options.no_write:
        Path(__file__).with_name("TRIED.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
