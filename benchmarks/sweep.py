"""What a sweep over all heads costs: a plain loop of hooks against the engine, and against the arithmetic.

Both ablate the same heads (z set to zero) and read the same logit difference at the last token. The plain loop runs
all prompts in one batch, one forward pass per head, and unembeds the last position only, which is what a careful
person writes. The floor is the number of floating-point operations that a sweep cannot do without, at the rate that
this machine's matrix product reaches, measured here. Slices of the loop and whole sweeps of the engine take turns, so
that whatever else the machine does burdens both.

    python -m benchmarks.sweep [--layers 0,10,20] [--rounds 3] [--only smollm2,gpt2] [--no-write]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lashley.experiments import engine
from lashley.experiments.batch import Batch, make_batch
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.scoring import PairReadout
from lashley.experiments.sites import Site, head
from lashley.experiments.subject import Subject, load, prepare
from lashley.experiments.tasks.registry import task

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Row:
    """One case. Times in seconds, for all heads that were swept; `difference` is the largest, in logits."""

    name: str
    heads: int
    plain: float
    engine: float
    floor: float
    rate: float
    difference: float


def smollm2() -> tuple[str, Subject, Batch]:
    subject = load("smollm2-135m")
    batch = make_batch(subject.tokenizer, task("arithmetic").prompts(8))
    return f"SmolLM2-135M, 8 prompts of {batch.length} tokens", subject, batch


def gpt2() -> tuple[str, Subject, Batch]:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    subject = prepare("gpt2-shape", GPT2LMHeadModel(GPT2Config()), None, "cpu")
    ids = torch.randint(0, 50_000, (1, 16))
    batch = Batch(
        ids=ids, mask=torch.ones_like(ids), position_ids=torch.arange(16)[None], reads=1, targets=torch.tensor([[11]]),
        answer_at=torch.tensor([0]), pair=torch.tensor([[11, 7]]), prompt_len=torch.tensor([16]),
        spans=({"last": (15, 16)},), groups=(("random", 16),),
    )  # fmt: skip
    return "GPT-2-small shape, random weights, 1 prompt of 16 tokens", subject, batch


CASES = {"smollm2": smollm2, "gpt2": gpt2}


@torch.inference_mode()
def plain_loop(subject: Subject, batch: Batch, sites: Sequence[Site]) -> Tensor:
    """The logit difference [head, prompt], by one hooked forward pass per head."""
    anatomy = subject.anatomy
    found: list[Tensor] = []
    for site in sites:
        assert site.index is not None
        where = slice(site.index * anatomy.d_head, (site.index + 1) * anatomy.d_head)

        def ablate(_: object, args: tuple[Tensor, ...], where: slice = where) -> tuple[Tensor, ...]:
            z = args[0].clone()
            z[..., where] = 0.0
            return (z, *args[1:])

        handle = anatomy.blocks[site.layer].o_proj.register_forward_pre_hook(ablate)
        out = subject.model(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids, use_cache=False,
            logits_to_keep=batch.reads,
        )  # fmt: skip
        handle.remove()
        logits = out.logits[torch.arange(len(batch)), batch.answer_at]
        pair = logits.gather(-1, batch.pair)
        found.append(pair[:, 0] - pair[:, 1])
    return torch.stack(found)


def engine_sweep(subject: Subject, batch: Batch, sites: Sequence[Site]) -> Tensor:
    """The same by the engine."""
    removals = [Intervention(name=str(s), edits=(Edit(site=s),)) for s in sites]
    return engine.run(subject, batch, removals, PairReadout(batch))["logit_diff"]


def gemm_rate() -> float:
    """Floating-point operations per second of a matrix product of the size that a folded batch has."""
    a, b = torch.randn(2048, 768), torch.randn(768, 3072)
    times: list[float] = []
    for _ in range(12):
        begun = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - begun)
    return 2 * 2048 * 768 * 3072 / min(times)


def floor(subject: Subject, batch: Batch, layers: Sequence[int]) -> float:
    """Operations of a sweep of all heads of `layers`: what lies before an edit is run once, what is not read, never."""
    a = subject.anatomy
    config = subject.model.config.get_text_config()
    gated = hasattr(config, "hidden_act") and config.model_type == "llama"
    s, b, d, h = batch.length, len(batch), a.d_model, a.n_heads
    qo = 4 * d * h * a.d_head
    kv = 4 * d * a.n_kv_heads * a.d_head
    scores = 2 * s * h * a.d_head
    m = 2 * (3 if gated else 2) * d * a.d_mlp
    c = qo + kv + scores + m
    last = a.n_layers - 1
    own = m * batch.reads  # the last layer's MLP, at the positions that are read
    per_run = [own if l == last else s * m + (last - 1 - l) * s * c + s * kv + (c - kv) * batch.reads for l in layers]
    return b * s * a.n_layers * c + h * b * sum(per_run)


def measure(name: str, subject: Subject, batch: Batch, layers: Sequence[int], rounds: int) -> Row:
    sites = [head(layer, h) for layer in layers for h in range(subject.anatomy.n_heads)]
    engine_sweep(subject, batch, sites[:2])
    plain_loop(subject, batch, sites[:2])
    slow: list[Tensor] = []
    plain, ours, rates = 0.0, [], []
    fast = torch.empty(0)
    for turn in range(rounds):
        share = sites[len(sites) * turn // rounds : len(sites) * (turn + 1) // rounds]
        begun = time.perf_counter()
        slow.append(plain_loop(subject, batch, share))
        plain += time.perf_counter() - begun
        rates.append(gemm_rate())
        begun = time.perf_counter()
        fast = engine_sweep(subject, batch, sites)
        ours.append(time.perf_counter() - begun)
    rate = max(rates)
    return Row(
        name=name, heads=len(sites), plain=plain, engine=statistics.median(ours),
        floor=floor(subject, batch, layers) / rate, rate=rate, difference=float((fast - torch.cat(slow)).abs().max()),
    )  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| case | heads | plain, s | engine, s | floor, s | plain / engine | engine / floor | largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.name} | {r.heads} | {r.plain:.2f} | {r.engine:.2f} | {r.floor:.2f} | {r.plain / r.engine:.1f} "
        f"| {r.engine / r.floor:.2f} | {r.difference:.1e} |"
        for r in rows
    ]
    return "\n".join(lines)


def machine() -> str:
    """The processor and its cores, as far as the system tells."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description="Times a sweep over all heads.")
    parser.add_argument("--layers", help="only these layers, such as 0,10,20")
    parser.add_argument("--rounds", type=int, default=3, help="how often the two take turns")
    parser.add_argument("--only", default=",".join(CASES), help=f"which cases: {', '.join(CASES)}")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    rows: list[Row] = []
    for case in options.only.split(","):
        name, subject, batch = CASES[case]()
        chosen = options.layers.split(",") if options.layers else range(subject.anatomy.n_layers)
        layers = [int(l) for l in chosen if int(l) < subject.anatomy.n_layers]
        rows.append(measure(name, subject, batch, layers, options.rounds))
        print(table(rows[-1:]), flush=True)
    rate = max(r.rate for r in rows) / 1e9
    text = (
        "# What a sweep over all heads costs\n\n"
        f"{machine()}; fp32 matrix product {rate:.0f} GFLOP/s. Made by `python -m benchmarks.sweep`.\n\n{table(rows)}\n"
    )
    print(text)
    if not options.no_write and not options.layers:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
