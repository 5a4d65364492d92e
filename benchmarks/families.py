"""What SmolLM2 can do of every family: accuracy, loss and logit difference with intervals, chance, and how it fails.

Each row is an experiment `baseline`, run and logged as `agent experiment baseline` does it, on both splits.

    python -m benchmarks.families [--n 256] [--only ioi,rules] [--db FILE] [--no-write]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lashley.db.records import Experiment, Measurement
from lashley.experiments.answers.failures import FAILURES
from lashley.experiments.errors import ExperimentError
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.tasks.prompt import SPLITS, Split
from lashley.experiments.tasks.registry import tasks
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import run_experiment

MODEL = "smollm2-135m"
FILE = Path(__file__).with_name("TASKS.md")
MEASURED = ("accuracy", "loss", "logit_diff", "prefers_answer")
HEAD = ("task", "split", "n", "questions", "chance", *(m.replace("_", " ") for m in MEASURED), "can do it")
WORDS = """# What SmolLM2-135M can do in every family

The table measures the intact model on greedy text, with 95% intervals over the questions asked (prompts that ask the
same question count as one). Chance is the score of a fair guesser: the better of always the commonest answer and a
random one of the answers that the prompt offers. *Prefers answer* is the share of prompts in which the answer is
likelier than the distractor. The model can do a task when its accuracy is above chance and when it prefers the answer
in more than half, both by the whole interval.

The chance of `greater_than` is that of a random number. A model that always says 99 would always be right, so its
preference says more than its accuracy. The same holds for `gender`: free text often says neither "he" nor "she".
`python -m benchmarks.families` (`make bench-families`) writes this page.
"""
FAILED = """## How it fails

Answers of both splits by class. `experiments/answers/failures.py` defines the classes; the first that fits counts.
"""


def measured(context: Context, name: str, split: Split, n: int) -> Experiment:
    """The logged baseline of a family on n prompts, or on all there are. Raises ExperimentError where there is none."""
    fitted = context.lab(MODEL, name).task
    asked = Baseline(model=MODEL, task=name, n=min(n, fitted.capacity(split)), split=split)
    outcome = run_experiment(context, asked)
    if outcome.error is not None:
        raise ExperimentError(outcome.error)
    return context.reader.experiment(outcome.number)


def number(found: Measurement) -> str:
    if found.low is None:
        return f"{found.value:.3f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def row(logged: Experiment) -> list[str]:
    found = {m.name: m for m in logged.measurements}
    able = "no" if any(doubt.code == "unable" for doubt in logged.doubts) else "yes"
    values = [number(found[name]) if name in found else "" for name in ("chance", *MEASURED)]
    return [logged.task, logged.split, str(logged.n), f"{found['questions'].value:.0f}", *values, able]


def lines(cells: list[list[str]], head: list[str]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for each in cells:
        yield f"| {' | '.join(each)} |"


def page(logged: list[dict[str, Any]], left_out: list[str]) -> str:
    counts: dict[str, Counter[str]] = {}
    for one in logged:
        counts.setdefault(one.task, Counter()).update(sample.failure for sample in one.samples)
    classes = [name for name in FAILURES if any(name in each for each in counts.values())]
    failed = [[task, *(str(each[name] or "") for name in classes)] for task, each in counts.items()]
    parts = [
        *(WORDS, *lines([row(one) for one in logged], list(HEAD)), ""),
        *(f"Left out: {text}" for text in left_out),
        *("", FAILED, *lines(failed, ["task", *(name.replace("_", " ") for name in classes)]), ""),
    ]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what SmolLM2 can do of every family.")
    parser.add_argument("--n", type=int, default=256, help="prompts of each split, or all there are")
    parser.add_argument("--only", help="tasks by name, with commas; the page is left as it is")
    parser.add_argument("--db", help="a tracker to keep the experiments in; what it has already is not run again")
    parser.add_argument("--no-write", action="store_true", help="leave the page as it is")
    options = parser.parse_args()
    families = [t.name for t in tasks().values() if t.group != "small sets" and t.answer_kind != "open"]
    chosen = [name for name in families if options.only is None or name in options.only.split(",")]
    logged: list[dict[str, Any]] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Context.open(options.db or f"{folder}/tasks.db") as context:
        for name in chosen:
            try:
                for split in SPLITS:
                    logged.append(measured(context, name, split, options.n))
                    print(" | ".join(row(logged[-1])), flush=True)
            except ExperimentError as error:
                left_out.append(f"`{name}`. {error}")
                print(left_out[-1], flush=True)
    text = page(logged, left_out)
    if options.only is None and not options.no_write:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
