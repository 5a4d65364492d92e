"""Find which modules of a layer are its attention and its MLP, from the tensors that flow through them.

The module that reads the layer's input and leads to the attention is its norm, the module that carries the attention's
output on is its post-norm, and the MLP is the chain whose last output is the rest of `out - x - attn_out`. A layer must
be such a sum, sequential or parallel; the factors of its branches are found from the sum itself. Others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor, nn

from ..errors import UnsupportedModel
from .attention_heads import biases_of, heads_among, heads_of
from .block import Added, Alone, Block, Nothing, Scaled, Third, Times, Together
from .sums import by_channel, close, factors, proportional, same
from .tracing import CACHES, Event, LayerTrace, Projected, hidden_name, kept

# Inputs that only a module that looks at other tokens gets.
OTHER_TOKENS = {*CACHES, "cache_params", "attention_mask", "state"}


def mixers(events: list[Event]) -> list[Event]:
    """The token mixers: they get inputs that only a mixer needs, or are called an attention."""
    able = [e for e in events if any(p.dim() >= 2 for p in e.module.parameters())]
    named = [e for e in able if "attn" in e.name.lower() or "attention" in e.name.lower()]
    return [e for e in able if OTHER_TOKENS & e.arguments.keys()] or named[:1]


def chain_back(
    events: list[Event], end: Tensor, starts: tuple[Tensor, ...], exact: bool = True
) -> tuple[list[Event], int] | None:
    """The modules that lead from one of `starts` to the tensor `end`, and which start it was."""
    chain: list[Event] = []
    while True:
        for which, start in enumerate(starts):
            if same(end, start) or (not exact and close(end, start, start)):
                return chain[::-1], which
        before = next((e for e in reversed(events) if same(e.out, end) and e not in chain), None)
        if before is None:
            return None
        chain.append(before)
        end = before.given


@dataclass(frozen=True)
class Branch:
    """What one branch adds: the chain of events, the tensor at its end, the argument with the stream that it added
    itself; and if the chain ends in two parallel modules, these."""

    events: tuple[Event, ...]
    out: Tensor
    residual_arg: str = ""
    parts: tuple[Event, ...] = ()


def without_residual(event: Event, streams: tuple[Tensor, ...]) -> Branch:
    """The event's output, minus the stream if it added one."""
    for name, value in event.arguments.items():
        if isinstance(value, Tensor) and value.shape == event.out.shape and any(same(value, s) for s in streams):
            return Branch((event,), event.out - value, name)
    return Branch((event,), event.out)


def added(modules: tuple[nn.Module, ...], factor: float) -> tuple[nn.Module, ...]:
    return modules if factor == 1 else (*modules, Scaled(factor))


def read_block(trace: LayerTrace, n_heads: int) -> Block:
    """Turn what one layer did into a `Block`. Raises UnsupportedModel if it is not a residual sum."""
    layer, x = trace.layer, trace.x
    name = type(layer).__name__
    if trace.out.shape != x.shape:
        raise UnsupportedModel(f"{name}: its layers do not pass on one stream: {tuple(x.shape)} became "
                               f"{tuple(trace.out.shape)}.")  # fmt: skip
    attns = mixers(trace.events)
    if len(attns) > 1:
        return mixed_layer(trace, attns, n_heads)
    attn = attns[0] if attns else None
    pre: tuple[Event, ...] = ()
    post: list[Event] = []
    attn_out = torch.zeros_like(x)
    residual = ""
    if attn is not None:
        if trace.kv is None and any(isinstance(v, Mapping) and v for v in attn.arguments.values()):
            raise UnsupportedModel(
                f"{name}: its attention ({attn.name}) uses the keys and values of an earlier layer, so its layers "
                "cannot run separately."
            )
        leading = chain_back([e for e in trace.events if e is not attn], attn.given, (x,))
        if leading is None:
            raise UnsupportedModel(f"{name}: its attention ({attn.name}) does not read the layer's input.")
        pre = tuple(leading[0])
        branch = without_residual(attn, (x, attn.given))
        attn_out, residual = branch.out, branch.residual_arg
        for event in trace.events[trace.events.index(attn) + 1 :] if not residual else ():
            if same(event.given, attn_out):
                post.append(event)
                attn_out = event.out
    others = [e for e in trace.events if e is not attn and e not in post]
    tail = 1.0
    own, handed_on = ([], None) if attn is None else ([attn_out], attn.out if residual else None)
    found = find_mlp(trace, own, handed_on, others)
    if found is None and (tail := scale_of_all(trace, attn_out)) != 1:
        trace = replace(trace, out=trace.out / tail)
        found = find_mlp(trace, own, handed_on, others)
    third: tuple[nn.Module, ...] = ()
    if found is None:
        third, trace, found = find_third(trace, own, handed_on, others)
    if found is None:
        raise UnsupportedModel(f"{name}: {why_no_sum(trace, attn_out)}")
    (a, m), branch, parallel = (found[0] if own else (1.0, *found[0])), found[1], found[2]
    down, down_scale = find_down(branch)
    heads = heads_of(trace, attn, n_heads, residual)
    return Block(
        layer=layer,
        attn=Nothing() if attn is None else attn.module,
        attn_pre=tuple(e.module for e in pre),
        attn_post=added(tuple(e.module for e in post), a),
        o_proj=heads.o_proj or Nothing(),
        mlp=mlp_modules(branch, m),
        down_proj=down.module if down else None,
        parallel=parallel,
        hidden_arg=attn.hidden_arg if attn else "",
        cache_arg=heads.cache_arg,
        attn_returns=attn.returns if attn else 0,
        mlp_returns_tuple=any(e.returns for e in (*branch.events, *branch.parts)),
        n_heads=heads.n_heads,
        d_head=heads.d_head,
        n_kv_heads=heads.n_kv_heads,
        d_key=heads.d_key,
        d_value=heads.d_value,
        latent=heads.latent,
        d_mlp=down.given.shape[-1] if down else 0,
        tail=added(third, tail),
        residual_arg=residual,
        biases={} if attn is None else biases_of(attn, x.shape[0], n_heads),
        down_scale=down_scale,
    )


def find_mlp(
    trace: LayerTrace, mixed: list[Tensor], handed_on: Tensor | None, others: list[Event]
) -> tuple[list[float], Branch, bool] | None:
    """The factors of the token mixers and of the MLP, the MLP, and whether it reads the layer's input; None if this is
    not such a sum.

    mixed      what each token mixer adds
    handed_on  the stream after it, if that module adds it itself
    """
    x, r = trace.x, trace.out - trace.x
    middle = x + sum(mixed) if handed_on is None else handed_on
    beside = [without_residual(event, (x, middle)) for event in reversed(others)]
    beside += [Branch((), a.out + b.out, parts=(a, b)) for b, a in combinations(reversed(others), 2)
               if a.out.shape == b.out.shape and same(a.given, b.given)]  # fmt: skip
    for last in beside:
        if last.out.numel() != x.numel():
            continue
        terms = factors(r, [*mixed, last.out], trace.layer, x)
        if terms is None:
            continue
        if handed_on is None:
            middle = x + sum(f * out for f, out in zip(terms, mixed, strict=False))
        ends = last.events or last.parts
        leading = [e for e in others if e not in ends]
        exact = not mixed or (len(mixed) == 1 and terms[0] == 1)
        chain = chain_back(leading, ends[0].given, (middle, x), exact)
        if chain is not None:
            branch = replace(last, events=(*chain[0], *last.events))
            return terms, branch, bool(mixed) and chain[1] == 1
    if mixed and (alone := factors(r, mixed, trace.layer, x)) is not None:
        return [*alone, 1.0], Branch((), torch.zeros_like(x)), False
    return None


def find_third(
    trace: LayerTrace, mixed: list[Tensor], handed_on: Tensor | None, others: list[Event]
) -> tuple[tuple[nn.Module, ...], LayerTrace, tuple[list[float], Branch, bool] | None]:
    """A third branch, what the layer did without it, and of that what `find_mlp` says; (), the trace and None where
    there is no such branch."""
    for last in reversed(others):
        if last.out.shape != trace.x.shape:
            continue
        before = replace(trace, out=trace.out - last.out)
        chain = chain_with_products(trace, [e for e in others if e is not last], last.given, before.out)
        if chain is None:
            continue
        rest = [e for e in others if e is not last and all(e.module is not step for step in chain)]
        found = find_mlp(before, mixed, handed_on, rest)
        if found is not None:
            return (Third([*chain, last.module]),), before, found
    return (), trace, None


def chain_with_products(trace: LayerTrace, events: list[Event], end: Tensor, start: Tensor) -> list[nn.Module] | None:
    """The modules that lead from the stream `start` to the tensor `end`, and between them products with other inputs of
    the layer; None if there are neither."""
    given = {name: kept(v) for name, v in trace.arguments.items() if isinstance(v, Tensor) and v.dim() == 3}
    chain: list[nn.Module] = []
    left = list(reversed(events))
    while not close(end, start, start):
        for event in left:
            by = [name for name, v in given.items() if v.shape == event.out.shape and same(event.out * v, end)]
            if same(event.out, end) or by:
                chain += [*(Times(name, given[name].shape[-1]) for name in by[:1]), event.module]
                left, end = left[left.index(event) + 1 :], event.given
                break
        else:
            return None
    return chain[::-1] if any(isinstance(step, Times) for step in chain) else None


def scale_of_all(trace: LayerTrace, attn_out: Tensor) -> float:
    """The factor of a layer's whole output (Gemma 4's layer_scalar), or 1 if it has none."""
    held = [float(b) for b in trace.layer.buffers(recurse=False) if b.numel() == 1]
    return next((s for s in held if s not in (0.0, 1.0)), 1.0)


def mixed_layer(trace: LayerTrace, attns: list[Event], n_heads: int) -> Block:
    """A layer with several token mixers. All that they add together takes the place of the attention; the heads are
    those of the one attention among them, or inside one of them. An MLP after them is one; without it (Zamba2's
    transformer feeds its state-space mixer), the whole layer takes that place."""
    hidden = hidden_name(trace.arguments)
    if hidden is None:
        raise UnsupportedModel(f"{type(trace.layer).__name__} does not receive one stream of hidden states.")
    found = None
    if all(e.out.shape == trace.x.shape for e in attns):
        found = find_mlp(trace, [e.out for e in attns], None, [e for e in trace.events if e not in attns])
    m, branch, parallel = (found[0][-1], *found[1:]) if found else (1.0, Branch((), torch.zeros_like(trace.x)), False)
    if branch.residual_arg or any(e.returns for e in branch.parts or branch.events[-1:]):  # cannot be given 0 for
        m, branch, parallel = 1.0, Branch((), torch.zeros_like(trace.x)), False
    down, down_scale = find_down(branch)
    ends = [e.module for e in branch.parts or branch.events[-1:]]
    attention, heads = heads_among(trace, attns, n_heads)
    writes = bool(ends) and any(e is attention for e in attns)
    factor = found[0][next(i for i, e in enumerate(attns) if e is attention)] if found and writes else 1.0
    return Block(
        layer=trace.layer, attn_pre=(), attn_post=(), o_proj=heads.o_proj or Nothing(),
        attn=Added(trace.layer, ends, attention.module if attention else None, heads.cache_arg),
        mlp=mlp_modules(branch, m), down_proj=down.module if down else None, parallel=parallel, hidden_arg=hidden,
        cache_arg="", attn_returns=trace.returned, n_heads=heads.n_heads, d_head=heads.d_head,
        n_kv_heads=heads.n_kv_heads, d_key=heads.d_key, d_value=heads.d_value, latent=heads.latent,
        mlp_returns_tuple=any(e.returns for e in (*branch.events, *branch.parts)),
        d_mlp=down.given.shape[-1] if down else 0, down_scale=down_scale, out_scale=factor,
        heads_write=writes or not heads.n_heads,
    )  # fmt: skip


def why_no_sum(trace: LayerTrace, attn_out: Tensor) -> str:
    """Why a layer is not a residual sum, as far as can be seen."""
    if any(same(e.out, trace.out) for e in trace.events):
        last = next(e for e in trace.events if same(e.out, trace.out))
        return (
            f"its output is not x + attention + MLP but {last.name} of a sum (post-norm layers), so what a part adds "
            "to the stream cannot be removed."
        )
    x, rest = trace.x, [e.out for e in trace.events if e.out.shape == trace.x.shape]
    for first, second in combinations(trace.events, 2):
        if factors(trace.out / scale_of_all(trace, attn_out) - x, [attn_out, first.out, second.out], trace.layer, x):
            return f"it adds a third branch ({second.name}) to attention and MLP ({first.name})."
    for first, second in combinations(trace.events, 2):
        if factors(trace.out, [first.out, second.out], trace.layer, x):
            return (
                f"its output is made of only {first.name} and {second.name}, without its input stream, so what a part "
                "adds does not stay in the stream."
            )
    for out in rest:
        left = trace.out - x - attn_out - out
        if close(left, left[:1, :1].expand_as(left), trace.out):
            return "it adds a bias that belongs to neither attention nor MLP."
    for out in rest:
        if by_channel(trace.out, [x, attn_out, out]):
            return (
                "it multiplies the stream itself and not only what it adds to it, so what a part adds does not stay "
                "the same."
            )
    return "its output is not x + attention + MLP, so an ablation would be ambiguous."


def mlp_modules(branch: Branch, factor: float) -> tuple[nn.Module, ...]:
    modules = [e.module for e in branch.events]
    if branch.parts:
        modules.append(Together([e.module for e in branch.parts]))
    if not modules:
        return (Nothing(),)
    if branch.residual_arg:
        modules[-1] = Alone(modules[-1], branch.residual_arg)
    return added(tuple(modules), factor)


def find_down(branch: Branch) -> tuple[Projected | None, float]:
    """The projection whose output is the MLP's, so that its inputs are neurons; and the factor of its output. Experts
    and gates have other projections, which do not count."""
    for event in reversed(branch.events if not branch.parts else ()):
        out = branch.out if event is branch.events[-1] else event.out
        for projected in reversed(event.inside):
            scale = proportional(out, projected.out)
            if scale is not None:
                return projected, scale
    return None, 1.0
