"""The heads of an attention, found from its input, its cache and its output projection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from .sums import proportional
from .tracing import CACHES, Event, LayerTrace


@dataclass(frozen=True)
class Heads:
    o_proj: nn.Module | None = None
    cache_arg: str = ""
    n_heads: int = 0
    d_head: int = 0
    n_kv_heads: int = 0
    d_key: int = 0
    d_value: int = 0
    latent: bool = False


def heads_of(trace: LayerTrace, attn: Event | None, n_heads: int, residual: str) -> Heads:
    """The heads of an attention that caches the keys and values of each, and ends in a projection."""
    accepted = () if attn is None else (a for a in CACHES if a in attn.arguments)
    cache_arg = next(iter(accepted), "")
    kv = trace.kv
    if attn is None or kv is None or not cache_arg or not attn.inside or not n_heads:
        return Heads()
    out = attn.out - attn.arguments[residual] if residual else attn.out
    last = attn.inside[-1]
    k, v = kv
    columns = attn.given.shape[1]
    width = last.given.shape[-1]
    if len(trace.heads) == 1:
        n_heads = trace.heads[0]  # which may be another number than the configuration says
    told_apart = k.dim() == v.dim() == 4 and k.shape[2] == v.shape[2] == columns and n_heads % k.shape[1] == 0
    if not told_apart or last.given.shape[-1] % n_heads or proportional(out, last.out) != 1:
        return Heads()
    if trace.more_cached:  # an index of its own beside keys and values: only run over all columns, without a cache
        return Heads(o_proj=last.module, n_heads=n_heads, d_head=width // n_heads)
    return Heads(
        o_proj=last.module, cache_arg=cache_arg, n_heads=n_heads, d_head=last.given.shape[-1] // n_heads,
        n_kv_heads=k.shape[1], d_key=k.shape[3], d_value=v.shape[3], latent=n_heads * v.shape[3] != width,
    )  # fmt: skip


def heads_among(trace: LayerTrace, attns: list[Event], n_heads: int) -> tuple[Event | None, Heads]:
    """The one of several token mixers that is an attention with heads, and its heads. What a mixer caches in addition
    does not belong to the attention's keys."""
    found: list[tuple[Event, Heads]] = []
    for event in trace.deeper or attns:
        heads = heads_of(replace(trace, more_cached=False), event, n_heads, "")
        if heads.n_heads:
            found.append((event, heads))
    return found[0] if len(found) == 1 else (None, Heads())


def biases_of(attn: Event, rows: int, n_heads: int) -> dict[str, bool]:
    """The arguments with numbers for each head, such as ALiBi's, and whether each row has its own."""
    found: dict[str, Any] = {k: v for k, v in attn.arguments.items() if isinstance(v, Tensor) and v.dim() == 3}
    return {k: len(v) != n_heads for k, v in found.items() if len(v) in (n_heads, rows * n_heads) and len(v) != rows}
