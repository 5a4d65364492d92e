"""What it costs to make prompts: 10,000 of every family, beside a plain loop that makes as many of one fixed text.

The plain loop builds the same class with the same checks and nothing else: what is above 1 is the family's own work.

    python -m benchmarks.tasks [--n 10000] [--rounds 3] [--only ioi,rules]

Without --only it writes PROMPTS.md.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.registry import tasks
from lashley.experiments.tasks.task import Task


def plain(n: int) -> list[Prompt]:
    """As many prompts of a fixed form, in a loop."""
    return [
        Prompt(text=f"{i} + 1 =", answer=f" {i + 1}", distractor=f" {i}", spans={"a": (0, 1)}, key=str(i))
        for i in range(n)
    ]


def seconds(make: Callable[[], Iterable[Prompt]], rounds: int) -> float:
    """The quickest of some rounds, in seconds of this process alone."""
    found: list[float] = []
    for _ in range(rounds):
        begun = time.process_time()
        list(make())
        found.append(time.process_time() - begun)
    return min(found)


def line(task: Task, n: int, rounds: int, loop: float) -> str:
    """One row: how many prompts were made, in how long, and how much longer than the plain loop takes."""
    made = min(n, task.capacity("explore"))
    spent = seconds(lambda: task.prompts(made), rounds)
    return f"| {task.name} | {made:,} | {spent:.2f} | {spent / made / (loop / n):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the making of prompts.")
    parser.add_argument("--n", type=int, default=10_000, help="how many of each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="tasks by name, with commas")
    options = parser.parse_args()
    families = [t for t in tasks().values() if t.group != "small sets"]
    chosen = [t for t in families if options.only is None or t.name in options.only.split(",")]
    plain(options.n)
    loop = seconds(lambda: plain(options.n), options.rounds)
    head = [
        "# What making prompts costs",
        "",
        f"{options.n:,} prompts of every family, or all of its explore split. Seconds of one core, the "
        f"quickest of {options.rounds} rounds, Python {platform.python_version()}. The aim is 1 second for 10,000. "
        f"A plain loop that makes {options.n:,} of one fixed text takes {loop:.2f}. "
        "`python -m benchmarks.tasks` writes this page.",
        "",
        "| task | prompts | seconds | times the plain loop |",
        "|---|---:|---:|---:|",
    ]
    print("\n".join(head), flush=True)
    lines: list[str] = []
    for task in chosen:
        lines.append(line(task, options.n, options.rounds, loop))
        print(lines[-1], flush=True)
    if options.only is None:
        Path(__file__).with_name("PROMPTS.md").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
