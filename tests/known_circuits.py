"""Subjects whose circuit is known edge by edge, and how well a method finds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from sklearn.metrics import roc_auc_score

from lashley.experiments.engine.graph import graph_of
from lashley.experiments.kinds.circuit_discovery import CircuitDiscovery
from lashley.experiments.lab import Lab
from lashley.experiments.methods.circuit_settings import Method
from lashley.experiments.methods.circuits import all_edges, order_of, prepare
from lashley.experiments.model import loading
from lashley.experiments.planted import build, llama
from lashley.experiments.planted.circuits import CIRCUITS, PLANTED_TASKS, circuit_model
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.tests.compiled_programs import PROGRAMS, compiled_lab, edges_of, program

N = 16
GPT2 = tuple(f"gpt2:{name}" for name in CIRCUITS)
LLAMA = ("llama:chain", "llama:decoy")
BACKUP = "planted:backup"
COMPILED = tuple(f"compiled:{name}" for name in PROGRAMS)
# With one path, every edge is needed by itself.
SINGLE_PATH = ("gpt2:chain", "gpt2:query", "gpt2:decoy", *LLAMA, "compiled:reverse", "compiled:unused_branch")


@cache
def known(name: str) -> tuple[Lab, torch.Tensor]:
    """The subject with its task, and its circuit as a mask [sender, receiver]."""
    shape, _, which = name.partition(":")
    if shape == "compiled":
        made, lab = program(which), compiled_lab(which)
        ready = prepare(lab, corrupted_prompts(lab, (N, "explore", 0)), "logit_diff", "corrupted")
        return lab, edges_of(made, ready.graph, ready.own, ready.other)
    if shape == "planted":
        subject = loading.prepare(name, build.model(TRUTHS[name]), build.tokenizer(), "cpu")
        edges, task = TRUTHS[name].edges, "induction"
    else:
        planted = CIRCUITS[which]
        model = circuit_model(planted) if shape == "gpt2" else llama.llama_model(planted)
        tokenizer = build.tokenizer() if shape == "gpt2" else llama.llama_tokenizer()
        subject = loading.prepare(f"{shape}-{which}", model, tokenizer, "cpu")
        edges, task = planted.edges, planted.task
    lab = Lab(subject, PLANTED_TASKS[task].for_tokenizer(subject.tokenizer))
    return lab, graph_of(subject.anatomy).mask(edges)


@dataclass(frozen=True)
class Found:
    """auroc over all edges; the share of true ones among as many edges as the circuit has, which is precision and
    recall at once."""

    auroc: float
    at_true_size: float
    result: Result


def found(name: str, method: Method, steps: int = 5) -> Found:
    lab, truth = known(name)
    graph = graph_of(lab.subject.anatomy)
    size = None if method == "acdc" else int(truth.sum())
    result = CircuitDiscovery(
        model=lab.subject.name, task=lab.task.name, n=N, method=method, steps=steps, verify=2, edges=size
    ).run(lab)
    shares = result.arrays["edges"].astype(float)
    if method == "acdc":
        # What it keeps comes before what it takes out.
        kept = result.arrays["circuit"]
        shares[kept[:, 0], kept[:, 1]] += 1e3
    order = order_of(graph, shares, 1.0, "absolute")[: int(truth.sum())]
    right = sum(bool(truth[edge]) for edge in order)
    places = all_edges(graph)
    return Found(
        float(roc_auc_score([bool(truth[e]) for e in places], [abs(shares[e]) for e in places])),
        right / int(truth.sum()),
        result,
    )
