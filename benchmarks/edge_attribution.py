"""Our edge attribution against that of its authors, on the same weights: do they agree, and what does each cost?

    python -m benchmarks.edge_attribution --python OTHER/bin/python [--no-write]

OTHER is an environment as `rivals/edge_attribution.py` describes it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import GPT2Config, GPT2LMHeadModel

from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.engine.edges import edge_attribution
from lashley.experiments.methods.circuits import PARTS
from lashley.experiments.model.loading import prepare
from lashley.tests.tiny import batch_of, tiny_tokenizer

RIVAL = Path(__file__).parent / "rivals" / "edge_attribution.py"
PROMPTS, LENGTH, STEPS = 8, 16, 5
SAME = "eap_ig, at their points"
# Wide enough that attention prefers some tokens.
SPREAD = 0.08


def model(layers: int, heads: int, width: int) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=layers, n_head=heads, n_embd=width, vocab_size=96, n_positions=64, bos_token_id=1, eos_token_id=1,
        initializer_range=SPREAD, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares edge attribution with that of its authors.")
    parser.add_argument("--python", required=True, help="the python of the other environment")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    made = model(12, 12, 768)
    generator = torch.Generator().manual_seed(1)
    clean, corrupted = (torch.randint(3, 96, (PROMPTS, LENGTH), generator=generator) for _ in range(2))
    pair = torch.randint(3, 96, (PROMPTS, 2), generator=generator)
    subject = prepare("gpt2-shape", made, tiny_tokenizer(), "cpu")
    wired = engine.wiring(subject)
    batches = [replace(batch_of(ids.tolist()), pair=pair) for ids in (clean, corrupted)]
    readout = PairReadout(batches[0])
    ours: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}

    def estimate(steps: int | list[float]) -> np.ndarray:
        runs = [engine.read(subject, batch, PARTS) for batch in batches]
        own, other = (engine.written_in(subject, run, wired.writings) for run in runs)
        return edge_attribution(wired, batches[0], own, other, readout, "logit_diff", steps).mean(0).numpy()

    for name, steps in (("eap", 1), ("eap_ig", STEPS)):
        estimate(steps)
        times: list[float] = []
        for _ in range(options.rounds):
            start = time.perf_counter()
            ours[name] = estimate(steps)
            times.append(time.perf_counter() - start)
        seconds[name] = statistics.median(times)
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        made.save_pretrained(folder / "model")
        np.savez(folder / "given.npz", clean=clean.numpy(), corrupted=corrupted.numpy(), pair=pair.numpy(),
                 steps=STEPS, rounds=options.rounds)  # fmt: skip
        files = [folder / name for name in ("model", "given.npz", "found.npz")]
        # Not with the folder of the other ways in the path: one of them has the name of a library.
        subprocess.run([options.python, "-P", RIVAL, *files], check=True)
        with np.load(folder / "found.npz") as found:
            theirs = {name: found[name] for name in ours}
            their_seconds = dict(zip(ours, found["seconds"], strict=True))
    after = wired.graph.after.numpy()
    # Theirs, too: the ends of the steps from the corrupted run, so that the last one is the prompt's own.
    ours[SAME] = estimate([k / STEPS for k in range(STEPS)])
    theirs[SAME] = theirs["eap_ig"]
    rows = list[str]()
    for name in ours:
        a, b = ours[name][after], theirs[name][after]
        off = float(np.abs(a - b).max() / np.abs(b).max())
        ranks = " | ".join(f"{spearmanr(one, other).statistic:.6f}" for one, other in ((a, b), (abs(a), abs(b))))
        times = (
            " | | "
            if name == SAME
            else f"{seconds[name]:.2f} | {their_seconds[name]:.2f} | {seconds[name] / their_seconds[name]:.2f}"
        )
        rows.append(f"| {name} | {ranks} | {off:.1e} | {times} |")
    text = "\n".join(
        [
            "# Edge attribution, against its authors' code",
            "",
            f"A GPT-2-small shape with random weights (12 layers of 12 heads, {wired.graph.size} edges), {PROMPTS} "
            f"prompts of {LENGTH} tokens, fp32, {torch.get_num_threads()} threads, torch {torch.__version__}. The "
            "other is EAP-IG as CircuitKIT 0.2.0 ships it, on TransformerLens 3.8.0. "
            "`python -m benchmarks.edge_attribution` writes this page.",
            "",
            "| method | Spearman | of sizes | largest difference, of the largest score | seconds | theirs | ratio |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
            f"For eap_ig, both average {STEPS} slopes on the way from the prompt's embeddings to the corrupted ones. "
            "We take the middles of equal steps; they take the ends, with the intact run as one of them. The two rules "
            "differ by as much as the function is curved, and a random model this wide is. At the same points the "
            "scores are the same. Ours also gives every edge for each prompt by itself; theirs only the mean.",
            "",
        ]
    )
    print(text)
    if not options.no_write:
        Path(__file__).with_name("EDGES.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
