"""Prompts with twins for tiny random models, and what a patch does to them, worked out plainly.

A random model has no answers. So each prompt's answer is the token that the clean run prefers most beside the
corrupted one, and the twin's answer the other way round: then the two runs differ, whatever the weights are.
"""

from __future__ import annotations

import functools
import json
import random

import torch
from torch import Tensor

from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.lab import Lab
from lashley.experiments.sites import Site
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.slow_way import clean_values, slow_logits
from lashley.tests.tiny import VOCABULARY, tiny_subject


def ids(kind: str, text: str) -> Tensor:
    return torch.tensor([tiny_subject(kind).tokenizer(text)["input_ids"]])


@torch.no_grad()
def last(kind: str, text: str) -> Tensor:
    return tiny_subject(kind).model(ids(kind, text)).logits[0, -1]


@functools.cache
def corrupted_lab(kind: str, prompts: int = 40) -> Lab:
    rng, lines = random.Random(7), list[str]()
    for i in range(prompts):
        words = [f"w{j}" for j in rng.sample(range(3, VOCABULARY), 7 if i % 3 else 5)]
        at = rng.randrange(1, len(words) - 2)
        other = [*words[:at], f"w{rng.randrange(3, VOCABULARY)}", *words[at + 1 :]]
        text, corrupted = " ".join(words), " ".join(other)
        if other == words:
            continue
        moved = (last(kind, text) - last(kind, corrupted))[3:]
        start = len(" ".join(words[:at])) + 1
        span = [start, start + len(words[at])]
        lines.append(
            json.dumps({"text": text, "answer": f" w{int(moved.argmax()) + 3}", "corrupted": corrupted,
                        "corrupted_answer": f" w{int(moved.argmin()) + 3}", "spans": {"subject": span},
                        "distractor": f" w{int(moved.argmin()) + 3}", "template": f"t{len(words)}"})
        )  # fmt: skip
    return Lab(tiny_subject(kind), from_jsonl("twins", "\n".join(lines)))


def difference(logits: Tensor, prompt: Prompt) -> float:
    """Of the answer from the twin's answer, at the last position."""
    assert prompt.corrupted_answer is not None
    answer, other = (int(word.strip()[1:]) for word in (prompt.answer, prompt.corrupted_answer))
    return float(logits[-1, answer] - logits[-1, other])


def columns(kind: str, prompt: Prompt, positions: str) -> range:
    """The tokens of a position, counted from the prompt's first."""
    tokens, offsets = (tiny_subject(kind).tokenizer(prompt.text, return_offsets_mapping=True)[k]
                       for k in ("input_ids", "offset_mapping"))  # fmt: skip
    if positions == "all":
        return range(len(tokens))
    if positions in ("last", "read"):
        return range(len(tokens) - 1, len(tokens))
    assert positions in ("subject", "changed")
    (at,) = [i for i, (a, b) in enumerate(offsets) if a == prompt.spans["subject"][0] and b > a]
    return range(at, at + 1)


def slow_recovery(kind: str, prompts: tuple[Prompt, ...], site: Site, positions: str, denoising: bool) -> float:
    """One forward pass of the plain model for each prompt and run, with hooks."""
    subject, change, whole = tiny_subject(kind), 0.0, 0.0
    for prompt in prompts:
        assert prompt.corrupted is not None
        clean, corrupted = ids(kind, prompt.text), ids(kind, prompt.corrupted)
        base, other = (corrupted, clean) if denoising else (clean, corrupted)
        values = clean_values(subject.model, other)[site.model_copy(update={"index": None})]
        where = columns(kind, prompt, positions)
        edit = Edit(site=site, op="replace", source="other")
        patched = slow_logits(
            subject.model, base, Intervention(name="p", edits=(edit,)), lambda _, at, where=where: at in where,
            lambda _, at, values=values: values[at], subject.anatomy.d_head,
        )  # fmt: skip
        with torch.no_grad():
            ends = {run: difference(subject.model(tokens).logits[0], prompt)
                    for run, tokens in (("clean", clean), ("corrupted", corrupted))}  # fmt: skip
        change += difference(patched, prompt) - ends["corrupted" if denoising else "clean"]
        whole += ends["clean"] - ends["corrupted"]
    return change / whole
