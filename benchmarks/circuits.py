"""What circuits cost: estimating every edge of SmolLM2-135M, and running circuits of ten sizes, as ratios.

An estimate is compared with two forward passes and one backward pass of the model itself; a circuit with one forward
pass. ACDC is timed on a planted subject. The ways take turns, so that whatever else the machine does burdens all.

    python -m benchmarks.circuits [--task ioi] [--n 16] [--rounds 5] [--no-write]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lashley.experiments import engine
from lashley.experiments.kinds.circuit_discovery import CircuitDiscovery
from lashley.experiments.lab import Lab, lab_of
from lashley.experiments.methods.circuits import PARTS, order_of, prepare, sizes_of
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.corrupted_prompts import CorruptedPrompts, corrupted_prompts
from lashley.experiments.tasks.registry import task

from .scoring import seconds

MODEL, PLANTED = "smollm2-135m", "planted:induction"
FORWARD, BACKWARD, ESTIMATE, TEN = "forward", "forward and backward", "all edges (eap)", "circuits of ten sizes"


def given(pair: CorruptedPrompts) -> dict[str, Any]:
    batch = pair.clean
    return {"attention_mask": batch.mask, "position_ids": batch.position_ids, "use_cache": False,
            "logits_to_keep": batch.reads}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Times circuits against passes of the model itself.")
    parser.add_argument("--task", default="ioi", help="a task with corrupted prompts")
    parser.add_argument("--n", type=int, default=16, help="how many prompts")
    parser.add_argument("--rounds", type=int, default=5, help="how often the ways take turns")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    lab = Lab(load(MODEL), task(options.task))
    subject, model = lab.subject, lab.subject.model
    pair = corrupted_prompts(lab, (options.n, "explore", 0))
    made = prepare(lab, pair, "logit_diff", "corrupted")
    graph, wired = made.graph, made.wired
    order = order_of(graph, made.estimates(1, "estimates").mean(0).numpy(), made.scale.gap, "absolute")
    masks = [engine.top(graph, order, count) for _, count in sizes_of(graph)]

    def forward() -> None:
        with torch.inference_mode():
            model(input_ids=pair.clean.ids, **given(pair))

    def backward() -> None:
        embedded = model.get_input_embeddings()(pair.clean.ids).detach().requires_grad_()
        model(inputs_embeds=embedded, **given(pair)).logits[:, -1].max(-1).values.sum().backward()

    def estimate() -> None:
        runs = [engine.read(subject, batch, PARTS) for batch in (pair.clean, pair.corrupted)]
        own, other = (engine.written_in(subject, run, wired.writings) for run in runs)
        engine.edge_attribution(wired, pair.clean, own, other, made.readout, "logit_diff")

    def ten() -> None:
        engine.run_circuits(wired, pair.clean, masks, made.between, made.readout)

    ways: dict[str, Callable[[], None]] = {FORWARD: forward, BACKWARD: backward, ESTIMATE: estimate, TEN: ten}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-1, options.rounds):
        for name, way in ways.items():
            took = seconds(way, subject.device)
            # The turn before the first warms up.
            if turn >= 0:
                times[name].append(took)
    middle = {name: statistics.median(each) for name, each in times.items()}
    passes = middle[FORWARD] + middle[BACKWARD]
    planted = lab_of(load(PLANTED), task("induction"))
    acdc = seconds(lambda: CircuitDiscovery(model=PLANTED, task="induction", n=16, method="acdc").run(planted) and None,
                   subject.device)  # fmt: skip
    text = "\n".join(
        [
            "# What circuits cost",
            "",
            f"{options.n} prompts of {options.task}, {pair.clean.length} columns, {MODEL} ({graph.size} edges) in fp32 "
            f"on {subject.device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}; medians of "
            f"{options.rounds}. `python -m benchmarks.circuits` writes this page.",
            "",
            "| way | seconds | compared with | ratio | aim |",
            "|---|---|---|---|---|",
            f"| {FORWARD} | {middle[FORWARD]:.3f} | | | |",
            f"| {BACKWARD} | {middle[BACKWARD]:.3f} | | | |",
            f"| {ESTIMATE} | {middle[ESTIMATE]:.3f} | two forward passes and one backward pass | "
            f"{middle[ESTIMATE] / passes:.2f} | 1.5 |",
            f"| {TEN} | {middle[TEN]:.3f} | ten forward passes | "
            f"{middle[TEN] / middle[FORWARD] / len(masks):.2f} | 1.5 |",
            f"| acdc on {PLANTED}, 16 prompts | {acdc:.1f} | | | 20 s |",
            "",
        ]
    )
    print(text)
    if not options.no_write:
        Path(__file__).with_name("CIRCUITS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
