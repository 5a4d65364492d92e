"""Run the parts of the model separately: embedding, blocks, head.

One cheap recording per batch (every block stubbed out) keeps the keyword arguments that the model's own code
passes to each attention: masks, rotary angles, positions. With them a block can run alone, on any rows and columns of
the batch. Masks are recorded as additive tensors, never omitted, because an omitted mask means "causal from column 0",
which is wrong for a run that starts later.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..model.anatomy import Anatomy, layers_replaced
from ..model.block import Added, Block, Third, Unpadded, forwards_replaced
from ..model.room import require_room
from ..model.tracing import attending, eager, first_tensor, hidden_of, named_arguments
from ..tasks.batch import Batch
from . import short
from .pattern import Change, pattern_tap

# The key, among an attention's arguments, of what its layer receives for its tail.
GIVEN = "given for the tail"


@dataclass(frozen=True)
class Recording:
    """For one batch: the embedded tokens [batch, position, d_model], each layer's attention arguments (and `GIVEN`),
    and its devices: a model may be on several."""

    embedded: Tensor
    kwargs: tuple[dict[str, Any], ...]
    n_rows: int
    length: int
    devices: tuple[torch.device, ...]


class KVSlot:
    """What one attention call sees as its cache: earlier keys and values, an edit of the new ones, a memory.

    One slot serves one step of a layer program, so a repeated layer keeps its runs apart.
    Keys and values are [row, kv_head, position, d_head].
    """

    is_compileable = False

    def __init__(self, k: Tensor | None = None, v: Tensor | None = None, keep: bool = False) -> None:
        self.k, self.v, self.keep = k, v, keep
        self.edit: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def update(self, k: Tensor, v: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self.edit is not None:
            k, v = self.edit(k, v)
        if self.k is not None and self.v is not None:
            k, v = torch.cat([self.k, k], dim=2), torch.cat([self.v, v], dim=2)
        if self.keep:
            self.k, self.v = k, v
        return k, v

    def get_seq_length(self, *_: Any) -> int:
        return 0 if self.k is None else self.k.shape[2]


def record(model: PreTrainedModel, anatomy: Anatomy, ids: Tensor, mask: Tensor, position_ids: Tensor) -> Recording:
    """Run the model with every attention and MLP stubbed out, and keep the arguments of their calls. Raises BadTask if
    the batch is longer than the model's positions."""
    require_room(model, int(mask.sum(-1).max()), 0)
    kwargs: list[dict[str, Any]] = [{} for _ in anatomy.blocks]
    embedded: list[Tensor] = []
    devices = [next((p.device for p in b.layer.parameters() if not p.is_meta), ids.device) for b in anatomy.blocks]

    def attention_stub(block: Block, numbers: list[int]) -> Callable[..., Any]:
        signature, turns = inspect.signature(block.called.forward), iter(numbers)

        def forward(*args: Any, **given: Any) -> Any:
            number = next(turns)
            named = named_arguments(signature, args, given)
            hidden = named.pop(block.hidden_arg)
            devices[number] = hidden.device
            kwargs[number] |= arguments_of(block, named, len(ids))
            if isinstance(block.attn, Unpadded):
                kwargs[number]["pads"] = (mask.cumsum(-1) == 0).sum(-1, keepdim=True)
            nothing = torch.zeros_like(hidden)
            return (nothing, *[None] * (block.attn_returns - 1)) if block.attn_returns else nothing

        return forward

    def keep_given(block: Block, number: int) -> Any:
        signature = inspect.signature(block.layer.forward)

        def keep(_: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
            named = named_arguments(signature, args, given)
            kwargs[number][GIVEN] = {name: named[name] for name in block.given}

        return block.layer.register_forward_pre_hook(keep, with_kwargs=True)

    def same(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden

    def keep_embedded(_: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        hidden = hidden_of(args, given)[0]
        assert hidden is not None
        embedded.append(hidden)

    stubs: dict[nn.Module, Callable[..., Any]] = {}
    sharing: dict[nn.Module, list[int]] = {}
    for number, block in enumerate(anatomy.blocks):
        sharing.setdefault(block.called, []).append(number)
    for block in anatomy.blocks:
        stubs[block.called] = attention_stub(block, sharing[block.called])
        if not block.mlp_returns_tuple:
            stubs |= dict.fromkeys(block.mlp, same)
    handles = [anatomy.blocks[0].layer.register_forward_pre_hook(keep_embedded, with_kwargs=True)]
    handles += [keep_given(block, number) for number, block in enumerate(anatomy.blocks) if block.given]
    try:
        with forwards_replaced(*stubs.items()), eager(model.config, model.config.get_text_config()):
            model(input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False, **few_logits(model))
    finally:
        for handle in handles:
            handle.remove()
    known: dict[int, Tensor] = {}
    fitted = (fit(given, attention_dtype(block), known) for block, given in zip(anatomy.blocks, kwargs, strict=True))
    return Recording(embedded[0], tuple(fitted), int(ids.shape[0]), int(ids.shape[1]), tuple(devices))


def arguments_of(block: Block, named: dict[str, Any], rows: int) -> dict[str, Any]:
    """What an attention is called with besides the hidden states, its cache and a stream that it adds itself.

    Numbers for each head, [row * head, query, key] or [head, query, key], are kept as [row, head, query, key], as masks
    are."""
    kept = {k: v for k, v in named.items() if k not in (block.cache_arg, block.residual_arg)}
    for name, by_row in block.biases.items():
        if isinstance(kept.get(name), Tensor):
            kept[name] = kept[name].unflatten(0, (rows if by_row else 1, -1))
    return {**kept, "use_cache": False} if "use_cache" in kept else kept


def attention_dtype(block: Block) -> torch.dtype:
    return next((p.dtype for p in block.attn.parameters() if p.is_floating_point()), torch.float32)


def fit(value: Any, dtype: torch.dtype, known: dict[int, Tensor]) -> Any:
    """Masks and rotary angles in the type that an attention computes in, which may be less than the model's.

    A tensor that several layers share is converted once, so that they go on sharing it.
    """
    if isinstance(value, dict):
        return {k: v if k == GIVEN else fit(v, dtype, known) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(fit(v, dtype, known) for v in value)
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype == dtype:
        return value
    if id(value) not in known:
        # The least fp32 number would become -inf, and a row that sees nothing (a pad's) would be NaN.
        known[id(value)] = value.clamp(min=torch.finfo(dtype).min).to(dtype)
    return known[id(value)]


def few_logits(model: PreTrainedModel) -> dict[str, int]:
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def record_batch(model: PreTrainedModel, anatomy: Anatomy, batch: Batch) -> Recording:
    return record(model, anatomy, batch.ids, batch.mask, batch.position_ids)


def picked(values: Tensor, rows: Tensor) -> Tensor:
    """values[rows]; the two may be on different devices."""
    return values[rows.to(values.device)]


class Window:
    """The recorded arguments for some rows and columns: queries [first, last), keys [0, last).

    Tensors shared by all layers (mask, rotary) are cut once per window.
    """

    def __init__(self, recording: Recording, rows: Tensor, first: int, last: int) -> None:
        self.recording, self.rows, self.first, self.last = recording, rows, first, last
        self._cut: dict[int, Any] = {}
        self._whole = first == 0 and last == recording.length
        self._all_rows = rows.shape[0] == recording.n_rows and bool(
            torch.equal(rows, torch.arange(recording.n_rows, device=rows.device))
        )

    def kwargs(self, layer: int) -> dict[str, Any]:
        return {name: self.cut(value) for name, value in self.recording.kwargs[layer].items()}

    def cut(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(self.cut(v) for v in value)
        if type(value) is dict:
            return {name: self.cut(v) for name, v in value.items()}
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._cut:
            self._cut[id(value)] = self.cut_tensor(value)
        return self._cut[id(value)]

    def cut_tensor(self, value: Tensor) -> Tensor:
        length = self.recording.length
        if not self._whole:
            if value.dim() == 4 and value.shape[2] == length:
                value = value[:, :, self.first : self.last, : self.last]
            elif value.dim() == 4 and value.shape[2] == 1 and value.shape[3] == length:
                value = value[..., : self.last]  # the same for all queries
            elif value.dim() in (2, 3) and value.shape[1] == length:
                value = value[:, self.first : self.last]
            elif value.dim() == 1 and value.shape[0] == length:
                value = value[self.first : self.last]
        if value.dim() > 1 and value.shape[0] == self.recording.n_rows > 1 and not self._all_rows:
            value = picked(value, self.rows)
        if value.dim() == 3 and len(value) == self.recording.n_rows == 1 < len(self.rows):
            value = value.expand(len(self.rows), -1, -1)  # it may be put beside the stream, and not only added to it
        return value


def attention(
    block: Block,
    x: Tensor,
    kwargs: dict[str, Any],
    kv: KVSlot | None,
    change_z: Change | None,
    change_pattern: Change | None = None,
) -> Tensor:
    """The attention's output before any post-norm, [row, position, d_model], from the residual stream x.

    change_z gets [row, position, n_heads * d_head], change_pattern [row, head, query, key].
    """
    if not block.has_attn:
        return torch.zeros_like(x)
    h = through(block.attn_pre, x)
    config = getattr(block.attn, "config", None)
    kwargs = {block.hidden_arg: h, **{name: value for name, value in kwargs.items() if name != GIVEN}}
    inner = block.attn.caching if isinstance(block.attn, Added) else None
    if block.cache_arg:
        kwargs[block.cache_arg] = kv
    if block.residual_arg:
        kwargs[block.residual_arg] = torch.zeros_like(h)
    for name, by_row in block.biases.items():
        if isinstance(kwargs.get(name), Tensor):
            kwargs[name] = kwargs[name].expand(len(h), -1, -1, -1).flatten(0, 1) if by_row else kwargs[name][0]
    with ExitStack() as stack:
        # An attention with an index of keys in addition to its cache asks for its kernel by name, and has no
        # `cache_arg`.
        if block.cache_arg and getattr(config, "_attn_implementation", None) == "sdpa":
            stack.enter_context(attending(short.NAME, config))
        if inner is not None and kv is not None:
            stack.enter_context(inner(kv))
        if change_z is not None:
            handle = block.o_proj.register_forward_pre_hook(lambda _, args: (change_z(args[0]), *args[1:]))
            stack.callback(handle.remove)
        if change_pattern is not None:
            keys = x.shape[1] + (kv.get_seq_length() if kv is not None else 0)
            stack.enter_context(eager(config))
            stack.enter_context(pattern_tap(block, (x.shape[0], x.shape[1], keys), change_pattern))
        result = first_tensor(block.attn(**kwargs))
    assert result is not None
    return result


def through(modules: tuple[nn.Module, ...], h: Tensor) -> Tensor:
    for module in modules:
        out = module(h)
        h = out[0] if isinstance(out, tuple) else out
    return h


def tail(block: Block, h: Tensor, kwargs: dict[str, Any], columns: Tensor | None = None) -> Tensor:
    """What a layer makes at last of x + attention + MLP, h [row, position, d_model]; kwargs as for its attention, and
    if h has some of their columns only, these [row, k]."""
    for module in block.tail:
        if isinstance(module, Third):
            given = kwargs[GIVEN]
            h = module(h, given if columns is None else {k: gather_columns(v, columns) for k, v in given.items()})
        else:
            h = module(h)
    return h


def gather_columns(x: Tensor, columns: Tensor) -> Tensor:
    """x [row, column, d] at columns [row, k] -> [row, k, d]."""
    return x.gather(1, columns.to(x.device)[..., None].expand(-1, -1, x.shape[-1]))


def mlp(block: Block, u: Tensor, change_neurons: Change | None = None) -> Tensor:
    """The MLP branch from the stream u, [row, position, d_model]; its neurons are the down projection's input."""
    if change_neurons is None or block.down_proj is None:
        return through(block.mlp, u).view_as(u)
    handle = block.down_proj.register_forward_pre_hook(lambda _, args: (change_neurons(args[0]), *args[1:]))
    try:
        return through(block.mlp, u).view_as(u)
    finally:
        handle.remove()


class Embedded(Exception):
    """Stops the model's own code where its layers would begin: neither norm nor head is needed."""


def embed(model: PreTrainedModel, anatomy: Anatomy, ids: Tensor, position_ids: Tensor) -> Tensor:
    """Tokens to the first layer's input [row, position, d_model], by the model's own embedding code."""
    got: list[Tensor] = []

    def keep(hidden: Tensor) -> Tensor:
        got.append(hidden)
        raise Embedded

    with layers_replaced(anatomy, keep), suppress(Embedded):
        model(input_ids=ids, position_ids=position_ids, use_cache=False, **few_logits(model))
    return got[0]


def unembed(model: PreTrainedModel, anatomy: Anatomy, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
    """The last layer's output [row, position, d_model] to logits, by the model's own norm, head and softcap.

    With tokens [row, t] only those are computed: [row, position, t] instead of [row, position, vocabulary].
    """
    dummy = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
    head: Any = anatomy.unembedding
    usual = head.forward

    def selected(h: Tensor) -> Tensor:
        assert tokens is not None
        if head.weight.is_meta:  # its weights come only while it runs
            return usual(h).gather(-1, tokens.to(h.device)[:, None].expand(-1, h.shape[1], -1))
        bias, which = getattr(head, "bias", None), tokens.to(head.weight.device)
        out = torch.einsum("rpd,rtd->rpt", h.to(head.weight.device), head.weight[which])
        return out if bias is None else out + bias[which][:, None]

    replaced = [(head, selected)] if tokens is not None else []
    with forwards_replaced(*replaced), layers_replaced(anatomy, lambda _: hidden):
        return model(input_ids=dummy, use_cache=False).logits
