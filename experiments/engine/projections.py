"""Where a head's queries, keys and values come from, so that each can read a stream of its own.

An attention projects its input by one or several matrices. Which columns of them belong to which head is found by
observation, without code per architecture: the keys and values of one KV head, and the output of one head, depend on
certain columns alone (autograd says which). The answer is checked: an attention that gets its projections as tensors,
and an input of zeros, must give what it gave before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import UnsupportedModel
from ..model.block import Block, Projection, forwards_replaced, matrix
from ..model.subject import Subject
from .activations import flat_heads, unflat_heads
from .forward import KVSlot, Window, attention, record

By = Literal["q", "k", "v"]
TOLERANCE = 1e-4
# How many tokens an attention is observed with.
TOKENS = 4
SMALL = 0.3


@dataclass(frozen=True)
class Columns:
    """The columns of a projection module that make the queries, keys or values of one head or KV head."""

    module: int
    columns: Tensor


@dataclass(frozen=True)
class Projections:
    """A layer's projections, and of each head (q) and KV head (k, v) its columns."""

    modules: tuple[nn.Module, ...]
    heads: dict[By, tuple[Columns, ...]]

    def weight(self, by: By, index: int) -> tuple[Tensor, Tensor | None]:
        """[d_model, columns] and the bias [columns], of one head."""
        at = self.heads[by][index]
        module: Any = self.modules[at.module]
        bias = module.bias
        return matrix(module)[:, at.columns], None if bias is None else bias[at.columns]


def all_projections(subject: Subject) -> list[Projections | None]:
    """Of all layers; None for one without heads. Raises UnsupportedModel if a head's queries, keys and values cannot be
    separated."""
    ids = torch.zeros((1, TOKENS), dtype=torch.long, device=subject.device)
    positions = torch.arange(TOKENS, device=ids.device)[None]
    recording = record(subject.model, subject.anatomy, ids, torch.ones_like(ids), positions)
    window = Window(recording, torch.arange(1, device=ids.device), 0, TOKENS)
    return [projections(subject, layer, block, window) if block.n_heads else None
            for layer, block in enumerate(subject.anatomy.blocks)]  # fmt: skip


def projections(subject: Subject, layer: int, block: Block, window: Window) -> Projections:
    refused = UnsupportedModel(
        f"The queries, keys and values of {type(block.attn).__name__} (layer {layer}) cannot be read head by head, so "
        "there are no edges to them. Use path_patching with by: all."
    )
    if not block.units("k") or not block.heads_alone:
        raise refused
    if any(p.is_meta for p in block.attn.parameters()):
        raise UnsupportedModel("The weights of this model are not all in memory. Load it where it fits.")
    seen = observed(subject, block, window.kwargs(layer), window.recording.devices[layer])
    read = [m for m, out in seen.out.items() if torch.equal(seen.given[m].view(-1), seen.hidden.view(-1))]
    if not read:
        raise refused
    heads: dict[By, tuple[Columns, ...]] = {}
    taken = [torch.zeros(seen.out[m].shape[-1], dtype=torch.bool, device=seen.hidden.device) for m in read]
    outs = [seen.out[m] for m in read]
    parts: tuple[tuple[By, Sequence[Tensor]], ...] = (("k", seen.k), ("v", seen.v), ("q", seen.z))
    for by, values in parts:
        found: list[Columns] = []
        for own in values:
            depends = columns_behind(own, outs)
            # A head's output depends on keys and values, too; they are known by now.
            rest = [d & ~t for d, t in zip(depends, taken, strict=True)] if by == "q" else depends
            where = [i for i, d in enumerate(rest) if bool(d.any())]
            if len(where) != 1:
                raise refused
            found.append(Columns(where[0], rest[where[0]].nonzero()[:, 0]))
        for one in found:
            if bool(taken[one.module][one.columns].any()):
                raise refused
            taken[one.module][one.columns] = True
        heads[by] = tuple(found)
    if not all(bool(t.all()) for t in taken):
        raise refused
    made = Projections(tuple(read), heads)
    with torch.inference_mode():
        bare = replace(block, attn_pre=())
        attended = attention(bare, seen.hidden, seen.kwargs, KVSlot() if block.cache_arg else None, None)
        given = [m(seen.hidden) for m in read]
        again = with_projections(block, made, given, torch.zeros_like(seen.hidden), seen.kwargs)
    if not torch.allclose(again, attended, atol=TOLERANCE * float(attended.abs().max())):
        raise refused
    return made


@dataclass
class Observed:
    """One run of an attention over a few vectors, in which what its projections give is random: so what depends on
    which columns does not depend on the weights, some of which are 0. `out` is what is given."""

    hidden: Tensor
    kwargs: dict[str, Any]
    given: dict[nn.Module, Tensor]
    out: dict[nn.Module, Tensor]
    k: Sequence[Tensor]
    v: Sequence[Tensor]
    z: Sequence[Tensor]


def observed(subject: Subject, block: Block, kwargs: dict[str, Any], device: torch.device) -> Observed:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn((1, TOKENS, subject.anatomy.d_model), generator=generator).to(device, subject.dtype)
    given, out = dict[nn.Module, Tensor](), dict[nn.Module, Tensor]()
    kept = dict[str, Tensor]()

    def keep_projected(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> Tensor:
        # Small, so that every query attends to all keys.
        made = SMALL * torch.randn(result.shape, generator=generator)
        given[module], out[module] = args[0].detach(), made.to(result).requires_grad_()
        return out[module]

    def keep_kv(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        kept.update(k=flat_heads(k), v=flat_heads(v))
        return unflat_heads(kept["k"], block.n_kv_heads), unflat_heads(kept["v"], block.n_kv_heads)

    def keep_z(z: Tensor) -> Tensor:
        kept["z"] = z.view(1, TOKENS, -1)
        return z

    slot = KVSlot()
    slot.edit = keep_kv
    with torch.enable_grad(), ExitStack() as stack:
        for module in block.reading:
            if isinstance(module, Projection) and module is not block.o_proj:
                stack.callback(module.register_forward_hook(keep_projected).remove)
        bare = replace(block, attn_pre=())
        attention(bare, hidden, kwargs, slot, keep_z)
    widths = {"k": block.d_key, "v": block.d_value, "z": block.d_head}
    parts = {name: kept[name].split(widths[name], -1) for name in ("k", "v", "z")}
    return Observed(hidden, kwargs, given, out, parts["k"], parts["v"], parts["z"])


def columns_behind(value: Tensor, outs: Sequence[Tensor]) -> list[Tensor]:
    """Of each output [..., column] the columns that a value depends on, as [column] of bool."""
    weights = torch.linspace(0.3, 1.7, value.numel(), device=value.device).view_as(value)
    slopes = torch.autograd.grad((value * weights).sum(), list(outs), retain_graph=True, allow_unused=True)
    return [
        torch.zeros(o.shape[-1], dtype=torch.bool, device=o.device) if s is None
        else (s.reshape(-1, o.shape[-1]) != 0).any(0)
        for s, o in zip(slopes, outs, strict=True)
    ]  # fmt: skip


def with_projections(
    block: Block,
    made: Projections,
    projected: Sequence[Tensor],
    hidden: Tensor,
    kwargs: dict[str, Any],
    change_z: Callable[[Tensor], Tensor] | None = None,
    write: bool = True,
) -> Tensor:
    """The attention whose projections give these tensors [row, position, columns]; its output, [row, position,
    d_model]. `hidden` gives only the shape. Without `write` the heads' outputs are not projected: the result is 0."""

    def giving(value: Tensor) -> Callable[..., Tensor]:
        return lambda h, *_: value.view(*h.shape[:-1], -1)

    replaced: list[tuple[nn.Module, Callable[..., Any]]] = [
        (module, giving(value)) for module, value in zip(made.modules, projected, strict=True)
    ]
    if not write:
        replaced.append((block.o_proj, lambda z, *_: z.new_zeros(*z.shape[:-1], hidden.shape[-1])))
    bare = replace(block, attn_pre=())
    with forwards_replaced(*replaced):
        return attention(bare, hidden, kwargs, KVSlot() if block.cache_arg else None, change_z)
