"""One decoder layer as a residual sum: out = x + attention + MLP, and the modules of each branch.

A layer may lack one of the two, and a token mixer is not always an attention: a state-space or recurrent mixer has the
same place and no heads. What a layer's own code does between its modules (a constant factor, a residual that is added
inside a module) becomes a small module of ours, so that a branch is always a chain of modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Projection = (nn.Linear, Conv1D)


@contextmanager
def forwards_replaced(*replaced: tuple[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """While open, modules compute something else. A library that spreads a model over devices has replaced their
    forwards; these are restored."""
    before = [(module, module.__dict__.get("forward")) for module, _ in replaced]
    try:
        for module, forward in replaced:
            module.forward = forward  # type: ignore[method-assign]
        yield
    finally:
        for module, own in before:
            if own is not None:
                module.forward = own
            else:
                module.__dict__.pop("forward", None)


class Nothing(nn.Module):
    """The branch that a layer does not have: it adds 0."""

    def forward(self, h: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.zeros_like(h)


class Scaled(nn.Module):
    """What the layer's own code multiplies a branch by before it is added (Granite, MiniCPM3)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, h: Tensor) -> Tensor:
        return h * self.factor


class Alone(nn.Module):
    """A module that adds the stream to its output itself (BLOOM, MPT), called with 0 instead of the stream."""

    def __init__(self, module: nn.Module, residual_arg: str) -> None:
        super().__init__()
        self.module, self.residual_arg = module, residual_arg

    def forward(self, h: Tensor) -> Any:
        return self.module(h, **{self.residual_arg: torch.zeros_like(h)})


class Together(nn.Module):
    """Several modules that read the same and whose outputs are added: experts and a shared MLP (Granite)."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, h: Tensor) -> Tensor:
        outs = [part(h) for part in self.parts]
        return sum(out[0] if isinstance(out, tuple) else out for out in outs)  # type: ignore[return-value]


class Times(nn.Module):
    """A step in a chain where the layer's own code multiplies by another input of the layer than the stream."""

    def __init__(self, argument: str, width: int) -> None:
        super().__init__()
        self.argument, self.width = argument, width


class Third(nn.Module):
    """A branch that reads the stream after the MLP and is added to it (Gemma 4's per-layer inputs)."""

    def __init__(self, chain: Sequence[nn.Module]) -> None:
        super().__init__()
        self.chain = nn.ModuleList(chain)

    @property
    def given(self) -> dict[str, int]:
        """The input of the layer that it needs, and how many numbers this has at a position."""
        return {step.argument: step.width for step in self.chain if isinstance(step, Times)}

    def forward(self, h: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """h and each of `given` [row, position, width]."""
        u = h
        for step in self.chain:
            out = u * given[step.argument].to(u.device) if isinstance(step, Times) else step(u)
            u = out[0] if isinstance(out, tuple) else out
        return h + u


class Added(nn.Module):
    """All that a layer adds to the stream except its MLP, if it has several token mixers (Falcon-H1), or its branches
    cannot be separated (Zamba2).

    without    the modules at the end of the MLP, in parallel; they give 0 meanwhile
    attention  the token mixer whose heads are the layer's, and how it gets its cache
    """

    def __init__(
        self,
        layer: nn.Module,
        without: Sequence[nn.Module] = (),
        attention: nn.Module | None = None,
        cache_arg: str = "",
    ) -> None:
        super().__init__()
        self.layer, self.without, self.attention, self.cache_arg = layer, tuple(without), attention, cache_arg
        self.config = getattr(attention, "config", None)

    @contextmanager
    def caching(self, cache: Any) -> Iterator[None]:
        """While open, the attention uses this cache. The layer's other mixers have none, and begin at the first
        column."""
        if self.attention is None:
            yield
            return

        def given(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, {**kwargs, self.cache_arg: cache}

        handle = self.attention.register_forward_pre_hook(given, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def forward(self, **kwargs: Any) -> Tensor:
        hidden = next(value for value in kwargs.values() if isinstance(value, Tensor))
        with forwards_replaced(*((module, Nothing().forward) for module in self.without)):
            out = self.layer(**kwargs)
        return (out[0] if isinstance(out, tuple) else out) - hidden


class Unpadded(nn.Module):
    """A mixer that treats pads as tokens (RecurrentGemma, RWKV, xLSTM), called with rows without their pads; rows with
    the same number of pads run together. At pads it adds 0."""

    def __init__(self, module: nn.Module, hidden_arg: str) -> None:
        super().__init__()
        self.module, self.hidden_arg = module, hidden_arg

    def forward(self, pads: Tensor, **kwargs: Any) -> Tensor:
        """pads [row or 1, 1], how many each row begins with."""
        h = kwargs[self.hidden_arg]
        pads = pads.to(h.device).expand(len(h), 1)[:, 0]
        whole = torch.zeros_like(h)
        for n in pads.unique().tolist():
            rows = (pads == n).nonzero()[:, 0]
            out = self.module(
                **{name: without_pads(value, rows, len(h), h.shape[1], n) for name, value in kwargs.items()}
            )
            whole[rows, n:] = (out[0] if isinstance(out, tuple) else out).to(whole.dtype)
        return whole


def without_pads(value: Any, rows: Tensor, n_rows: int, length: int, pads: int) -> Any:
    """What a module is called with for these of its rows, from the column `pads` on; masks are [..., query, key]."""
    if isinstance(value, (tuple, list)):
        return type(value)(without_pads(v, rows, n_rows, length, pads) for v in value)
    if not isinstance(value, Tensor):
        return value
    if value.dim() > 1 and len(value) == n_rows:
        value = value[rows.to(value.device)]
    if value.dim() == 4 and value.shape[-1] == length:
        return value[:, :, pads if value.shape[2] == length else 0 :, pads:]
    if value.dim() in (2, 3) and value.shape[1] == length:
        return value[:, pads:]
    return value[pads:] if value.dim() == 1 and len(value) == length else value


@dataclass(frozen=True)
class Block:
    """One decoder layer: out = x + post(attn(pre(x))) + mlp(x or x + attn_out), and then `tail`.

    attn, mlp    `Nothing` if the layer has no such branch
    cache_arg    the argument for keys and values; empty if the attention keeps none, so that it can only run over all
                 columns at once (a state-space mixer)
    residual_arg the argument for the stream if the attention adds it itself; mostly empty
    biases       arguments with numbers for each head, [row * head, ...] (True) or [head, ...] (False)
    n_heads      0 if the token mixer has no heads; then so are d_head (the width of z), n_kv_heads, d_key, d_value
    d_mlp        0 if no neurons were found: in a mixture of experts they differ between tokens
    latent       whether the cache contains, instead of keys and values of heads, a latent that gives them (latent
                 attention): there are no K and V sites
    down_scale   the factor of the down projection's output in the MLP's own code
    out_scale    the factor of the output projection's output in the layer's own code, if `attn` is `Added`
    tail         an additional third branch, and a factor of the layer's whole output; mostly neither
    heads_write  whether the heads' output is added to the stream; in Zamba another module of the layer reads it
    """

    layer: nn.Module
    attn: nn.Module
    attn_pre: tuple[nn.Module, ...]
    attn_post: tuple[nn.Module, ...]
    o_proj: nn.Module
    mlp: tuple[nn.Module, ...]
    down_proj: nn.Module | None
    parallel: bool
    hidden_arg: str
    cache_arg: str
    attn_returns: int
    mlp_returns_tuple: bool
    n_heads: int
    d_head: int
    n_kv_heads: int
    d_key: int
    d_value: int
    d_mlp: int
    residual_arg: str = ""
    biases: Mapping[str, bool] = field(default_factory=dict)
    down_scale: float = 1.0
    out_scale: float = 1.0
    heads_write: bool = True
    latent: bool = False
    tail: tuple[nn.Module, ...] = ()

    @property
    def W_O(self) -> Tensor:
        """The output projection, [n_heads * d_head, d_model], whatever way its module stores it."""
        return matrix(self.o_proj) if self.out_scale == 1 else matrix(self.o_proj) * self.out_scale

    @property
    def given(self) -> dict[str, int]:
        """The inputs of the layer that the tail needs, and the width of each."""
        return {name: width for m in self.tail if isinstance(m, Third) for name, width in m.given.items()}

    @property
    def called(self) -> nn.Module:
        """The module of the model's own code that is called with what the attention is called with."""
        inner = self.attn.module if isinstance(self.attn, Unpadded) else self.attn
        return inner.layer if isinstance(inner, Added) else inner

    def unpadded(self) -> Block:
        """The same block, with pads left out if no mask can hide them from its token mixer."""
        if self.n_heads or not self.has_attn or isinstance(self.attn, Unpadded):
            return self
        return replace(self, attn=Unpadded(self.attn, self.hidden_arg))

    @property
    def reading(self) -> list[nn.Module]:
        """The modules through which the heads read the input of `attn`."""
        inner = self.attn
        if not isinstance(inner, Added) or inner.attention is None:
            return list(inner.modules())
        return [*inner.layer.children(), *inner.attention.modules()]

    @property
    def heads_alone(self) -> bool:
        """Whether the heads and a bias are all that the attention adds."""
        return bool(self.n_heads) and not isinstance(self.attn, Added)

    @property
    def has_attn(self) -> bool:
        return not isinstance(self.attn, Nothing)

    @property
    def has_mlp(self) -> bool:
        return not isinstance(self.mlp[0], Nothing)

    @property
    def by_column(self) -> bool:
        """Whether later columns can be run alone, from the keys and values of the earlier ones."""
        return bool(self.cache_arg) or not self.has_attn

    @property
    def post_norms(self) -> bool:
        return any(not isinstance(m, Scaled) for m in self.attn_post)

    def units(self, part: str) -> int:
        """How many heads, KV heads or neurons a part has; of the other parts there is one."""
        kv = 0 if self.latent else self.n_kv_heads
        counts = {"z": self.n_heads, "pattern": self.n_heads, "k": kv, "v": kv, "neurons": self.d_mlp}
        return counts.get(part, 1)

    def width(self, part: str) -> int:
        """How many numbers one head of z, k or v has at a position; of neurons 1."""
        return {"z": self.d_head, "k": self.d_key, "v": self.d_value, "neurons": 1}[part]

    def after_down(self) -> tuple[nn.Module, ...]:
        """The modules of the MLP's chain after the one with the down projection."""
        assert self.down_proj is not None
        at = max(i for i, m in enumerate(self.mlp) if any(part is self.down_proj for part in m.modules()))
        return self.mlp[at + 1 :]


def matrix(projection: nn.Module) -> Tensor:
    """The weights of a projection, [in, out]."""
    weight = projection.weight
    assert isinstance(weight, Tensor)
    return weight if isinstance(projection, Conv1D) else weight.T
