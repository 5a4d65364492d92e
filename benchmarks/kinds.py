"""What every kind of experiment costs with its default settings: SmolLM2-135M, 32 prompts of one task, on this machine.

Each kind is a command of its own; what it found stays in the tracker that `--db` names, if one is named. The seconds
are those that the tracker logs: the experiment alone, without the start of the program and the loading of the model.
`--only` measures some kinds anew and leaves the other rows of the table as they are.

    python -m benchmarks.kinds [--only head_ablation,logit_lens] [--n 32] [--task ioi] [--db FILE] [--no-write]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from lashley.experiments.kinds.registry import kinds

MODEL = "smollm2-135m"
PAGE = Path(__file__).parent / "KINDS.md"


# What has no default, or none that fits the task.
NEEDED = {
    "layer_program": ["--sweep", "skip_each"],
    "token_effects": ["--sites", "L23.H3"],
    "causal_tracing": ["--span", "s2"],
}


def measured(kind: str, task: str, n: int, db: str) -> str:
    """The kind's row: seconds, how many effects and measurements came out; or why there are none."""
    given = ["--model", MODEL, "--task", task, "--n", str(n), "--db", db, "--fresh", "--json", *NEEDED.get(kind, [])]
    command = [sys.executable, "-m", "lashley.agent.main", "experiment", kind, *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"| {kind} | failed: {done.stderr.strip().splitlines()[-1][:120]} | | |"
    found = json.loads(done.stdout)
    return f"| {kind} | {found['seconds']:.1f} | {len(found['effects'])} | {len(found['measurements'])} |"


def known(page: Path) -> dict[str, str]:
    """The rows that are there already, by kind."""
    if not page.exists():
        return {}
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row.split("|")[1].strip(): row for row in rows}


def written(rows: dict[str, str], task: str, n: int) -> str:
    missing = [name for name in kinds() if name not in rows]
    return "\n".join([
        "# What each kind costs",
        "",
        f"{MODEL}, {n} prompts of `{task}`, all other settings at their defaults, fp32. {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}. {datetime.date.today()}.",
        "Seconds are for the experiment alone. `python -m benchmarks.kinds` writes this page.",
        "",
        "| kind | seconds | effects | measurements |",
        "|---|---:|---:|---:|",
        *(rows[name] for name in kinds() if name in rows),
        *(["", f"Not measured yet: {', '.join(missing)}."] if missing else []),
        "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Times every kind of experiment with its default settings.")
    parser.add_argument("--only", help="these kinds, with commas; all others keep their rows")
    parser.add_argument("--n", type=int, default=32, help="how many prompts")
    parser.add_argument("--task", default="ioi", help="the task of all kinds")
    parser.add_argument("--db", help="keep the results in this tracker")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    rows = known(PAGE)
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.only.split(",") if options.only else kinds():
            rows[kind] = measured(kind, options.task, options.n, options.db or f"{folder}/kinds.db")
            print(rows[kind], flush=True)
            if not options.no_write:
                PAGE.write_text(written(rows, options.task, options.n), encoding="utf-8")


if __name__ == "__main__":
    main()
