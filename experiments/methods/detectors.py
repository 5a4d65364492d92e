"""What heads do, on text made to show it, and by their weights: a score from 0 to 1 for each head and pattern.

Where a head attends is read on random tokens said twice (a BOS, `length` different tokens, the same again), at the
queries of the second copy: nothing but the repetition can be attended to, and each place means one thing. What a head
writes for a token is read from its weights, from the stream that the token has after the first layer (from its
embedding for heads of the first layer): the first layer's MLP is part of what a token looks like to later heads.
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

# By key, for a query q of the second copy, where one copy has `length` tokens.
ATTENDED = ("previous_token", "duplicate_token", "induction", "first_token")
WRITTEN = ("copying", "copy_suppression", "successor")
SAMPLE = 256
# Sequences whose patterns are held at a time.
AT_ONCE = 8
# A series with fewer tokens says little.
FEWEST = 4


def ordinary_tokens(subject: Subject) -> list[int]:
    """The tokens that text is made of: all that have an embedding and are not special."""
    special = set(subject.tokenizer.all_special_ids)
    known = min(len(subject.tokenizer), subject.anatomy.vocabulary)
    return [token for token in range(known) if token not in special]


def first_token(subject: Subject) -> int | None:
    """What stands before a text: the BOS, or what the tokenizer has in its place."""
    found = (subject.tokenizer.bos_token_id, subject.tokenizer.eos_token_id)
    return next((token for token in found if token is not None), None)


def repeated_tokens(subject: Subject, n: int, length: int, seed: str) -> Tensor:
    """[n, position]: a BOS where there is one, `length` different random tokens, and the same again."""
    ordinary, begin = ordinary_tokens(subject), first_token(subject)
    config = subject.model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or 1_000_000
    fits = min(len(ordinary), (longest - 1) // 2)
    if length > fits:
        raise BadConfiguration(f"{subject.name} takes at most {fits} different tokens said twice; lower length.")
    draw = random.Random(seed)
    rows = [draw.sample(ordinary, length) for _ in range(n)]
    start = [] if begin is None else [begin]
    return torch.tensor([[*start, *row, *row] for row in rows], device=subject.device)


def attended(subject: Subject, ids: Tensor, length: int) -> dict[str, Tensor]:
    """The mean weight at each place over the queries of the second copy: name -> [layer * head, row]."""
    found: dict[str, list[Tensor]] = {name: [] for name in ATTENDED}
    first = ids.shape[1] - length
    query = torch.arange(first, ids.shape[1])
    # Where there is no BOS the token before the first repeated one is the last of the first copy, as it should be.
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
    """[token, d_model] twice: the embeddings behind a BOS, and the same after the first layer."""
    begin = first_token(subject)
    rows = [[*([] if begin is None else [begin]), token] for token in tokens]
    batch = token_batch(torch.tensor(rows, device=subject.device))
    seen = engine.read(subject, batch, {"resid_pre", "resid_post"}, layers=[0])
    return seen.at(0, "resid_pre")[:, -1], seen.at(0, "resid_post")[:, -1]


def said(subject: Subject, tokens: Sequence[int]) -> Tensor:
    """What each head says of each token for each of them when it attends to it: [layer * head, seen, said], in logits
    but for a factor."""
    early, late = seen_by(subject, tokens)
    directions = engine.unembedding(subject, torch.tensor(list(tokens), device=subject.device))
    found: list[Tensor] = []
    for layer in subject.anatomy.with_heads:
        found.append((engine.written(subject, layer, early if layer == 0 else late) @ directions).cpu())
    return torch.cat(found)


def centred(logits: Tensor) -> Tensor:
    """[head, seen, said] without what a head says for every token alike."""
    return logits - logits.mean(1, keepdim=True)


def copied(subject: Subject, seed: str) -> dict[str, Tensor]:
    """`extremes` of what is said of a random sample of tokens."""
    ordinary = ordinary_tokens(subject)
    return extremes(centred(said(subject, random.Random(seed).sample(ordinary, min(SAMPLE, len(ordinary))))))


def extremes(logits: Tensor, top: int = 1) -> dict[str, Tensor]:
    """`centred` of some tokens -> [layer * head, token] of 0 and 1: whether the token that the head attends to is among
    the `top` of them that it raises most (with 1: more than any other), and among those that it lowers most."""
    own, beyond = logits.diagonal(dim1=1, dim2=2), rounding(logits)
    others = torch.eye(logits.shape[-1], dtype=torch.bool)
    highest = logits.masked_fill(others, -torch.inf).topk(top, -1).values[..., -1]
    lowest = logits.masked_fill(others, torch.inf).topk(top, -1, largest=False).values[..., -1]
    return {"copying": (own > highest + beyond).float(), "copy_suppression": (own < lowest - beyond).float()}


def next_said(logits: Tensor, ends: bool) -> Tensor:
    """`centred` of a series -> [layer * head, step] of 0 and 1: whether the head raises what comes next more than any
    other of the series. The last one leads to the first unless the series ends there."""
    at = torch.arange(logits.shape[-1] - ends)
    after = (at + 1) % logits.shape[-1]
    own = logits[:, at, after]
    rest = logits[:, at].scatter(2, after[None, :, None].expand(len(logits), -1, 1), -torch.inf).amax(-1)
    return (own > rest + rounding(logits)).float()


def rounding(logits: Tensor) -> Tensor:
    """[head, 1]: what rounding can make of a difference; it prefers nobody."""
    return 1e-4 * logits.abs().amax((1, 2))[:, None]


def series_of(subject: Subject) -> dict[str, list[int]]:
    """Days, months and so on, as far as all their words from the first on are single tokens behind a space."""
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
    more than any other word of the series (successor heads, arXiv 2312.09230). None where the tokenizer has none."""
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
    """Whether the last of so many words of a series is followed by the first."""
    return name in ROUND and count == len(SERIES[name])
