"""The baseline of saliency methods: what replaces a prompt's tokens to show how much they matter.

By default it is another prompt's token at the same position, which is a word that the subject expects there. A subject
never reads a mean embedding, or none: any token replaced by it breaks the run, so every token seems to matter. A
corrupted prompt differs from its prompt in one or two tokens, so nothing else can matter.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
import torch

from .. import engine
from ..engine import Source
from ..engine.activations import Activations
from ..engine.donors import anywhere, means
from ..errors import BadConfiguration, BadTask
from ..lab import Lab
from ..result import Note
from ..statistics.intervals import Array
from ..tasks.batch import Batch, encode_answer, make_batch
from ..tasks.corrupted_prompts import CorruptedPrompts, corrupted_prompts, passed_over, with_text
from ..tasks.donors import LOOKED_AT, place
from ..tasks.prompt import Prompt, Split

Instead = Literal["other", "twin", "mean", "zero"]
# The number of prompts to search for another one.
POOL = 1000


@dataclass(frozen=True)
class Replaced:
    """Prompts, and what replaces their tokens.

    batch      with a span for each token, see `by_token`
    plain      with only the task's own spans
    longest    number of tokens of the longest prompt
    baseline   the embeddings of the baseline
    differs    [token, n], tokens counted from the end: 1 if there is a token and the baseline has another one
    instead    per prompt, the baseline's ids from its first token to its last; None if the baseline has no tokens
    notes      notes on skipped prompts
    """

    prompts: tuple[Prompt, ...]
    batch: Batch
    plain: Batch
    longest: int
    baseline: Source
    differs: Array
    instead: list[list[int]] | None
    notes: tuple[Note, ...] = ()


def replaced(lab: Lab, draw: tuple[int, Split, int], kind: Instead) -> Replaced:
    """The prompts of a draw with their baseline. Raises BadConfiguration if too few prompts have one."""
    if kind in ("other", "twin"):
        pair = others(lab, draw) if kind == "other" else corrupted_prompts(lab, draw)
        prompts, own = pair.prompts, [p.spans for p in pair.prompts]
        # The batch of corrupted prompts has spans that the task does not have.
        spans = tuple({s: row[s] for s in (*names, "last")} for row, names in zip(pair.clean.spans, own, strict=True))
        plain = replace(pair.clean, spans=spans)
        batch, longest = by_token(plain)
        embedded = engine.read(lab.subject, pair.corrupted, {"resid_pre"}, [0])
        source: Source = engine.patch_source(embedded, batch, pair.corrupted)
        ids, instead = own_ids(plain), own_ids(pair.corrupted)
        pairs = [list(zip(a, b, strict=True))[::-1] for a, b in zip(ids, instead, strict=True)]
        changed = [[a != b for a, b in row] + [False] * (longest - len(row)) for row in pairs]
        return Replaced(prompts, batch, plain, longest, source, np.array(changed, dtype=float).T, instead, pair.notes)
    prompts, plain = lab.prompts(*draw)
    batch, longest = by_token(plain)
    there = np.arange(longest)[:, None] < batch.prompt_len.cpu().numpy()
    source = baseline(lab, draw, batch, kind == "mean")
    return Replaced(prompts, batch, plain, longest, source, there.astype(np.float64), None)


def own_ids(batch: Batch) -> list[list[int]]:
    """The tokens of each prompt, without those of its answer."""
    ends = [row["last"][1] for row in batch.spans]
    return [ids[end - length : end] for ids, end, length in
            zip(batch.ids.tolist(), ends, batch.prompt_len.tolist(), strict=True)]  # fmt: skip


def others(lab: Lab, draw: tuple[int, Split, int]) -> CorruptedPrompts:
    """The first n prompts of the draw that have another prompt with the same template and number of tokens and another
    answer; each with a random such prompt of the explore split, scored on the first one's answers.

    Raises BadConfiguration if there are fewer.
    """
    n, split, seed = draw
    rng = random.Random(seed)
    pool: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in islice(lab.task.source.stream("explore", seed), POOL):
        pool[prompt.template].append(prompt)
    chosen: list[Prompt] = []
    lent: list[Prompt] = []
    looked_at = 0
    for prompt in islice(lab.task.source.stream(split, seed), LOOKED_AT):
        looked_at += 1
        free = [p for p in pool[prompt.template] if p.key != prompt.key and p.answer != prompt.answer]
        rng.shuffle(free)
        found = next((p for p in free if fits(lab, prompt, p)), None)
        if found is not None:
            chosen.append(prompt)
            lent.append(with_text(prompt, found.text))
        if len(chosen) == n:
            break
    if len(chosen) < n:
        raise BadConfiguration(
            f"Only {len(chosen)} of the {n} prompts of {lab.task.name} have another prompt with the same template and "
            "number of tokens and another answer. "
            + (f"Use n of at most {len(chosen)}, or " if chosen else "Use ") + "baseline twin, mean or zero."
        )  # fmt: skip
    tokens, device = lab.subject.tokenizer, lab.subject.device
    notes = passed_over("without_other_prompt", looked_at - n, looked_at)
    return CorruptedPrompts(tuple(chosen), make_batch(tokens, chosen, device), make_batch(tokens, lent, device), notes)


def fits(lab: Lab, prompt: Prompt, other: Prompt) -> bool:
    """Whether the other prompt has another answer where the prompt's answer is read, as many tokens but different ones,
    and tokenizes the prompt's answers in the same way."""
    tokenizer, text = lab.subject.tokenizer, other.text
    words = [w for w in (prompt.answer, prompt.distractor) if w is not None]
    try:
        made = [[encode_answer(tokenizer, t, w)[:2] for w in words] for t in (prompt.text, text)]
        lends = place(tokenizer, other).lends_to(place(tokenizer, prompt))
    except BadTask:
        return False
    (head, _), (instead, _) = made[0][0], made[1][0]
    same_answers = [a for _, a in made[0]] == [a for _, a in made[1]]
    return lends and len(head) == len(instead) and head != instead and same_answers


def by_token(batch: Batch) -> tuple[Batch, int]:
    """The batch with a span for each token of the prompt, counted from its end, and the largest number of them."""
    longest = int(batch.prompt_len.max())
    spans = []
    for row, length in zip(batch.spans, batch.prompt_len.tolist(), strict=True):
        end = row["last"][1]
        own = {f"t{k}": (end - k, end - k + 1) if k <= length else (0, 0) for k in range(1, longest + 1)}
        spans.append({**row, **own})
    return replace(batch, spans=tuple(spans)), longest


def baseline(lab: Lab, draw: tuple[int, Split, int], batch: Batch, mean: bool) -> Activations:
    """The embeddings of the batch, [batch, position, d_model], in which a vector replaces the prompts' tokens: zero, or
    the mean embedding of other prompts with another question and answer.

    Raises BadConfiguration if a prompt has no such other prompt.
    """
    embedded = engine.read(lab.subject, batch, {"resid_pre"}, [0]).at(0, "resid_pre")
    vectors = torch.zeros_like(embedded[:, :1])
    if mean:
        more = lab.with_donors(*draw)
        others = engine.read(lab.subject, more, {"resid_pre"}, [0]).at(0, "resid_pre")
        vectors = means(others, more, anywhere(more, len(batch)))[:, :1]
    columns = torch.arange(batch.length, device=batch.ids.device)
    end = torch.tensor([row["last"][1] for row in batch.spans], device=columns.device)
    inside = batch.mask.bool() & (columns[None] < end[:, None])
    return Activations({(0, "resid_pre"): torch.where(inside[..., None].to(embedded.device), vectors, embedded)})
