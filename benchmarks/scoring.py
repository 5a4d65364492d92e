"""What scoring costs beside the bare forward pass: 256 arithmetic prompts on SmolLM2-135M, as a ratio.

Bare is the model itself on the same padded tokens in batches, logits at the columns where the answers are read and
nothing done with them. Scored is `engine.run` with every score of the answer, the clean pass included. They take
turns, so that whatever else the machine does burdens both.

    python -m benchmarks.scoring [--n 256] [--rounds 5] [--no-write]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout
from lashley.experiments.interventions import Intervention
from lashley.experiments.model.loading import load
from lashley.experiments.model.subject import Subject
from lashley.experiments.tasks.batch import Batch, make_batch
from lashley.experiments.tasks.registry import task

MODEL, TASK = "smollm2-135m", "arithmetic"
AIM = 1.3
# The bare pass is given the best of these, in prompts at once.
BATCHES = (8, 32, 128)


@torch.inference_mode()
def bare(subject: Subject, batch: Batch, size: int) -> None:
    for first in range(0, len(batch), size):
        some = batch.rows(first, min(first + size, len(batch)))
        subject.model(
            input_ids=some.ids, attention_mask=some.mask, position_ids=some.position_ids, use_cache=False,
            logits_to_keep=some.reads,
        )  # fmt: skip


def scored(subject: Subject, batch: Batch) -> None:
    engine.run(subject, batch, [Intervention(name="intact")], AnswerReadout(batch))


def seconds(doing: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    doing()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description="Times scoring against the bare forward pass.")
    parser.add_argument("--n", type=int, default=256, help="how many prompts")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two take turns")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    subject = load(MODEL)
    batch = make_batch(subject.tokenizer, task(TASK).prompts(options.n), subject.device)
    ways: dict[str, Callable[[], None]] = {
        f"bare, {size} at once": lambda s=size: bare(subject, batch, s) for size in BATCHES
    }
    ways["scored"] = lambda: scored(subject, batch)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-1, options.rounds):
        for name, way in ways.items():
            took = seconds(way, subject.device)
            # The turn before the first warms up.
            if turn >= 0:
                times[name].append(took)
    middle = {name: statistics.median(each) for name, each in times.items()}
    best = min(value for name, value in middle.items() if name != "scored")
    rows = [f"| {name} | {value:.3f} | {value / best:.2f} |" for name, value in middle.items()]
    text = "\n".join(
        [
            "# Scoring compared with the bare forward pass",
            "",
            f"{options.n} prompts of {TASK}, {batch.length} columns, {MODEL} in fp32 on {subject.device.type}, "
            f"{torch.get_num_threads()} threads, torch {torch.__version__}; medians of {options.rounds}. "
            f"The aim is {AIM} times the best bare pass. `python -m benchmarks.scoring` writes this page.",
            "",
            "| way | seconds | times the best bare pass |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )
    print(text)
    if not options.no_write:
        Path(__file__).with_name("SCORING.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
