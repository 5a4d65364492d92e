"""Detectors of head types, on text made for this and from the weights: a score from 0 to 1 for each head and type.

Where a head attends is measured on repeated random tokens (a BOS, `length` different tokens, the same again), at the
queries of the second copy: only the repetition gives structure, so each key position has one meaning. What a head
writes for a token is computed from its weights and the token's stream after the first layer (for heads of the first
layer, its embedding): later heads read tokens as the first layer's MLP has written them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import engine
from ..errors import BadConfiguration
from ..model.subject import Subject
from ..tasks.batch import token_batch
from ..tasks.successor import ROUND, SERIES

# The key position for a query q of the second copy, if one copy has `length` tokens.
ATTENDED = ("previous_token", "duplicate_token", "induction", "first_token")
WRITTEN = ("copying", "copy_suppression", "successor")
SAMPLE = 256
# Number of sequences whose patterns are in memory at a time.
AT_ONCE = 8
# Shorter series are not used.
FEWEST = 4


def ordinary_tokens(subject: Subject) -> list[int]:
    """The tokens that occur in text: all with an embedding that are not special."""
    special = set(subject.tokenizer.all_special_ids)
    known = min(len(subject.tokenizer), subject.anatomy.vocabulary)
    return [token for token in range(known) if token not in special]


def first_token(subject: Subject) -> int | None:
    """The token that starts a text: the BOS, or the tokenizer's replacement for it."""
    found = (subject.tokenizer.bos_token_id, subject.tokenizer.eos_token_id)
    return next((token for token in found if token is not None), None)


def repeated_tokens(subject: Subject, n: int, length: int, seed: str) -> Tensor:
    """[n, position]: a BOS if there is one, `length` different random tokens, and the same again."""
    ordinary, begin = ordinary_tokens(subject), first_token(subject)
    config = subject.model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or 1_000_000
    fits = min(len(ordinary), (longest - 1) // 2)
    if length > fits:
        raise BadConfiguration(f"{subject.name} has room for at most {fits} repeated tokens. Lower length.")
    draw = random.Random(seed)
    rows = [draw.sample(ordinary, length) for _ in range(n)]
    start = [] if begin is None else [begin]
    return torch.tensor([[*start, *row, *row] for row in rows], device=subject.device)


def attended(subject: Subject, ids: Tensor, length: int) -> dict[str, Tensor]:
    """The mean weight at each key position over the queries of the second copy: name -> [layer * head, row]."""
    found: dict[str, list[Tensor]] = {name: [] for name in ATTENDED}
    first = ids.shape[1] - length
    query = torch.arange(first, ids.shape[1])
    # Without a BOS, the token before the first repeated one is the last of the first copy, which is right.
    keys = {"previous_token": query - 1, "duplicate_token": query - length, "induction": query - length + 1,
            "first_token": torch.zeros_like(query)}  # fmt: skip
    for begin in range(0, len(ids), AT_ONCE):
        seen = engine.read(subject, token_batch(ids[begin : begin + AT_ONCE]), {"pattern"})
        patterns = [seen.pattern(layer).float().cpu() for layer in subject.anatomy.with_heads]
        for name, key in keys.items():
            scores = [p[:, :, query, key].mean(-1) for p in patterns]
            found[name].append(torch.cat(scores, dim=1).T)
    return {name: torch.cat(parts, dim=1) for name, parts in found.items()}


def seen_by(subject: Subject, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
    """[token, d_model] twice: the embeddings after a BOS, and the stream after the first layer."""
    begin = first_token(subject)
    rows = [[*([] if begin is None else [begin]), token] for token in tokens]
    batch = token_batch(torch.tensor(rows, device=subject.device))
    seen = engine.read(subject, batch, {"resid_pre", "resid_post"}, layers=[0])
    return seen.at(0, "resid_pre")[:, -1], seen.at(0, "resid_post")[:, -1]


def said(subject: Subject, tokens: Sequence[int]) -> Tensor:
    """What each head adds to the logit of each token when it attends to each of them: [layer * head, seen, said], in
    logits up to a factor."""
    early, late = seen_by(subject, tokens)
    directions = engine.unembedding(subject, torch.tensor(list(tokens), device=subject.device))
    found: list[Tensor] = []
    for layer in subject.anatomy.with_heads:
        found.append((engine.written(subject, layer, early if layer == 0 else late) @ directions).cpu())
    return torch.cat(found)


def centred(logits: Tensor) -> Tensor:
    """[head, seen, said] minus what a head writes whatever the token."""
    return logits - logits.mean(1, keepdim=True)


def copied(subject: Subject, seed: str) -> dict[str, Tensor]:
    """`extremes` for a random sample of tokens."""
    ordinary = ordinary_tokens(subject)
    return extremes(centred(said(subject, random.Random(seed).sample(ordinary, min(SAMPLE, len(ordinary))))))


def extremes(logits: Tensor, top: int = 1) -> dict[str, Tensor]:
    """`centred` of some tokens -> [layer * head, token] of 0 and 1: whether the attended token is among the `top` that
    the head raises most (1: more than any other), and among those that it lowers most."""
    own, beyond = logits.diagonal(dim1=1, dim2=2), rounding(logits)
    others = torch.eye(logits.shape[-1], dtype=torch.bool)
    highest = logits.masked_fill(others, -torch.inf).topk(top, -1).values[..., -1]
    lowest = logits.masked_fill(others, torch.inf).topk(top, -1, largest=False).values[..., -1]
    return {"copying": (own > highest + beyond).float(), "copy_suppression": (own < lowest - beyond).float()}


def next_said(logits: Tensor, ends: bool) -> Tensor:
    """`centred` of a series -> [layer * head, step] of 0 and 1: whether the head raises the next token more than any
    other of the series. The first follows the last unless the series ends there."""
    at = torch.arange(logits.shape[-1] - ends)
    after = (at + 1) % logits.shape[-1]
    own = logits[:, at, after]
    rest = logits[:, at].scatter(2, after[None, :, None].expand(len(logits), -1, 1), -torch.inf).amax(-1)
    return (own > rest + rounding(logits)).float()


def rounding(logits: Tensor) -> Tensor:
    """[head, 1]: the differences that rounding can cause, which count as ties."""
    return 1e-4 * logits.abs().amax((1, 2))[:, None]


def series_of(subject: Subject) -> dict[str, list[int]]:
    """Days, months and so on, up to the first word that is not a single token after a space."""
    found: dict[str, list[int]] = {}
    for name, words in SERIES.items():
        tokens: list[int] = []
        for word in words:
            ids = subject.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            if len(ids) != 1 or ids[0] in subject.tokenizer.all_special_ids:
                break
            tokens.append(ids[0])
        if len(tokens) >= FEWEST:
            found[name] = tokens
    return found


def succeeded(subject: Subject) -> Tensor | None:
    """[layer * head, step] of 0 and 1: whether the head, when it attends to a word of a series, raises the next one
    more than any other word of the series (successor heads, arXiv 2312.09230). None if the tokenizer has no series."""
    series = series_of(subject)
    if not series:
        return None
    whole = said(subject, [token for tokens in series.values() for token in tokens])
    found: list[Tensor] = []
    first = 0
    for name, tokens in series.items():
        part = slice(first, first + len(tokens))
        first = part.stop
        found.append(next_said(centred(whole[:, part, part]), not goes_round(name, len(tokens))))
    return torch.cat(found, dim=1)


def goes_round(name: str, count: int) -> bool:
    """Whether the first word follows the last in a series with this many words."""
    return name in ROUND and count == len(SERIES[name])
