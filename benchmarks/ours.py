"""Our own ways of sweeping, one function each. A new one is a function here and a line in `sweep.WAYS`.

Each loads the model and returns `sweep(heads) -> Tensor [head, prompt]`: the logit difference with that head's z at
zero, or, for a way that only ranks, its estimate of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from lashley import experiments
from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.kernels import FastConv1D, FastGELU, FastLinear
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.low_precision import rounded
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Site, head
from lashley.experiments.statistics.screening import chosen, look
from lashley.experiments.tasks.batch import Batch

PACKAGES = ("lashley", "torch", "transformers")

Heads = Sequence[tuple[int, int]]
Sweep = Callable[[Heads], Tensor]

VERIFY = 24  # as `head_ablation` does by default


def load(folder: str, ids: Tensor, pair: Tensor, device: str) -> tuple[Subject, Batch]:
    """The subject, and prompts [prompt, position] of which the last column is read."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    subject = prepare(folder, model, None, device)
    n, length = ids.shape
    batch = Batch(
        ids=ids, mask=torch.ones_like(ids), position_ids=torch.arange(length, device=ids.device).repeat(n, 1), reads=1,
        targets=pair[:, :1], answer_at=torch.zeros(n, dtype=torch.long, device=ids.device), pair=pair,
        prompt_len=torch.full((n,), length, device=ids.device), spans=({"last": (length - 1, length)},) * n,
        groups=(("benchmark", length),) * n,
        questions=tuple(map(str, range(n))),
    )  # fmt: skip
    return subject, batch


def exact(
    folder: str, ids: Tensor, pair: Tensor, device: str, chunk_tokens: int | None = None, memory: int | None = None,
    usual_kernels: bool = False, usual_allocator: bool = False, compiled: bool = False,
) -> Sweep:  # fmt: skip
    """The engine in fp32. The options are what `tried.py` tries."""
    if usual_allocator:
        experiments.subject.keep_freed_memory = lambda: None
    subject, batch = load(folder, ids, pair, device)
    if usual_kernels:
        slow_down(subject.model)
    if compiled:
        for module in (m for block in subject.anatomy.blocks for m in block.mlp):
            module.forward = torch.compile(module.forward, dynamic=True)

    def sweep(heads: Heads) -> Tensor:
        return measured(subject, batch, heads, chunk_tokens=chunk_tokens, memory=memory)[1:]

    return sweep


def measured(subject: Subject, batch: Batch, heads: Heads, **limits: Any) -> Tensor:
    """[1 + head, prompt]: the logit difference intact, then without each head."""
    sites = [head(layer, index) for layer, index in heads]
    removals = [Intervention(name=str(site), edits=(Edit(site=site),)) for site in sites]
    runs = [Intervention(name="intact"), *removals]
    return engine.run(subject, batch, runs, PairReadout(batch), **limits)["logit_diff"]


def screen(folder: str, ids: Tensor, pair: Tensor, device: str, verify: int = VERIFY, narrowed: bool = True) -> Sweep:
    """A screen's look at all heads, then the strongest in fp32. Rounding the weights, where that pays, is part of it.
    Not narrowed it is in bf16 whatever pays."""
    subject, batch = load(folder, ids, pair, device)

    def guess(heads: Heads) -> Tensor:
        found = look(subject, batch, "logit_diff", [layer for layer, _ in heads]) if narrowed else None
        if found is None:
            values = measured(rounded(subject), batch, heads)
        else:
            values = measured(found.subject, batch, heads, narrowed=found.narrowed)
        return values[1:] - values[0]

    return verified(subject, batch, guess, verify)


def attribution(folder: str, ids: Tensor, pair: Tensor, device: str, verify: int = VERIFY) -> Sweep:
    """All heads to first order, by one backward pass, then the strongest in fp32."""
    subject, batch = load(folder, ids, pair, device)

    def guess(heads: Heads) -> Tensor:
        layers = sorted({layer for layer, _ in heads})
        edits = [Edit(site=Site(layer=layer, part="z")) for layer in layers]
        found = engine.attribution(subject, batch, edits, PairReadout(batch), "logit_diff")
        by_layer = dict(zip(layers, found, strict=True))
        return torch.stack([by_layer[layer][:, index] for layer, index in heads]).cpu()

    return verified(subject, batch, guess, verify)


def verified(subject: Subject, batch: Batch, guess: Callable[[Heads], Tensor], verify: int) -> Sweep:
    """A sweep whose `verify` strongest heads, and a few others, are measured. Of the rest it gives the guessed change
    [head, prompt]; with `verify` 0, of all.
    """

    def sweep(heads: Heads) -> Tensor:
        changes = guess(heads)
        order = chosen(changes.numpy(), verify, seed=0) if verify else []
        exactly = measured(subject, batch, [heads[i] for i in order])
        values = exactly[0] + changes
        values[order] = exactly[1:]
        return values

    return sweep


def slow_down(model: nn.Module) -> None:
    """Undo `kernels.speed_up`."""
    usual = {FastLinear: nn.Linear, FastConv1D: Conv1D, FastGELU: NewGELUActivation}
    for module in model.modules():
        module.__class__ = usual.get(type(module), type(module))
