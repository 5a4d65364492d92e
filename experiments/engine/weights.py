"""What each head reads and writes, as matrices, without code per architecture.

The attention receives the directions of the stream one at a time, each as a text of one token at position 0, where
rotary embeddings do nothing: the resulting queries, keys and values are the rows of its matrices. Heads that share keys
and values get a copy each. Norms are folded in: a norm is a linear map up to a positive factor that depends on the
vector, and this factor is ignored. So a matrix is right up to one positive factor, which does not affect ratios and
ranks. Biases are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import UnsupportedModel
from ..model.anatomy import layers_replaced
from ..model.block import Block, Projection, forwards_replaced
from ..model.subject import Subject
from .forward import KVSlot, Recording, Window, attention, record, through

PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)
# Large compared with the small number that a norm adds before it divides.
LARGE = 100.0


@dataclass(frozen=True)
class HeadWeights:
    """A layer's W_Q, W_K, W_V [head, d_model, d_head] and W_O [head, d_head, d_model], norms folded in."""

    Q: Tensor
    K: Tensor
    V: Tensor
    O: Tensor

    @property
    def OV(self) -> Tensor:
        """What is written for what is attended to, [head, d_model, d_model]: a vector on the left is moved."""
        return self.V @ self.O


class QueryTap(TorchFunctionMode):
    """While open, keeps what is multiplied with the keys if a product has this shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.seen = shape, []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in PRODUCTS and tuple(out.shape) == self.shape:
            self.seen.append(args[0])
        return out


def readable(subject: Subject, layer: int) -> Block:
    """The layer's block. Raises UnsupportedModel if its heads have no visible keys and values."""
    block = subject.anatomy.blocks[layer]
    if not block.units("k"):
        raise UnsupportedModel(
            f"The keys and values of the heads of {type(block.attn).__name__} cannot be read, so no weights either."
        )
    if not block.heads_write:
        raise UnsupportedModel(subject.anatomy.read_elsewhere(layer))
    return block


@torch.inference_mode()
def head_weights(subject: Subject, layer: int) -> HeadWeights:
    """The matrices of all heads of a layer, in fp32. Raises UnsupportedModel if they are not visible."""
    anatomy, block = subject.anatomy, readable(subject, layer)
    rows = torch.cat([linear_part(block.attn_pre, anatomy.d_model, subject), torch.zeros(1, anatomy.d_model)])
    bare = replace(block, attn_pre=(), n_kv_heads=0)
    norms = [m for m in block.reading if is_norm(m)]
    with forwards_replaced(*((m, as_linear(m, subject)) for m in norms)), ExitStack() as stack:
        tap = stack.enter_context(QueryTap((len(rows), block.n_heads, 1, 1)))
        slot = run_alone(subject, layer, bare, rows)
    if len(tap.seen) != 1 or slot.k is None or slot.v is None:
        raise UnsupportedModel(f"The queries of {type(block.attn).__name__} cannot be read, so no weights either.")
    q, k, v = (part[:, :, 0].float() for part in (tap.seen[0], slot.k, slot.v))
    # The last row is the answer to nothing: the bias.
    q, k, v = ((part[:-1] - part[-1:]).transpose(0, 1) for part in (q, k, v))
    shared = block.n_heads // k.shape[0]
    k, v = (part.repeat_interleave(shared, 0) for part in (k, v))
    return HeadWeights(q, k, v, output_weights(subject, block))


@torch.inference_mode()
def written(subject: Subject, layer: int, x: Tensor) -> Tensor:
    """What each head writes while it attends only to a token whose stream is x [token, d_model].

    [head, token, d_model], including biases of the values and all norms before; up to one positive factor if a norm
    comes after the attention.
    """
    block = readable(subject, layer)
    slot = run_alone(subject, layer, block, x)
    assert slot.v is not None
    v = slot.v[:, :, 0].float().transpose(0, 1)
    return v.repeat_interleave(block.n_heads // v.shape[0], 0) @ output_weights(subject, block)


@torch.inference_mode()
def value_biases(subject: Subject, layer: int) -> Tensor:
    """Each head's values whatever it attends to, [head, d_head]: those of an empty stream, so with the bias of the norm
    before the attention. An attention's weights add up to 1, so every z contains it once."""
    block = readable(subject, layer)
    slot = run_alone(subject, layer, block, torch.zeros(1, subject.anatomy.d_model))
    assert slot.v is not None
    v = slot.v[0, :, 0].float()
    return v.repeat_interleave(block.n_heads // len(v), 0)


@torch.inference_mode()
def sought(subject: Subject, layer: int, x: Tensor, distance: int = 0) -> Tensor:
    """How much each head at a token with one stream looks for a token with the other, both rows of x [token, d_model]:
    query times key [head, query, key], before scale, softcap and mask.

    The key is `distance` tokens before the query: rotary positions turn the product by that and by nothing else, other
    positions are in the stream. Biases and all norms included. Raises UnsupportedModel if the queries are not visible.
    """
    block = replace(readable(subject, layer), n_kv_heads=0)
    with QueryTap((len(x), block.n_heads, 1, 1)) as tap:
        run_alone(subject, layer, block, x, distance)
    slot = run_alone(subject, layer, block, x)
    if len(tap.seen) != 1 or slot.k is None:
        raise UnsupportedModel(f"The queries of {type(block.attn).__name__} cannot be read, so no weights either.")
    q, k = (part[:, :, 0].float().transpose(0, 1) for part in (tap.seen[0], slot.k))
    return q @ k.repeat_interleave(len(q) // len(k), 0).transpose(1, 2)


@torch.inference_mode()
def unembedding(subject: Subject, tokens: Tensor) -> Tensor:
    """The directions of the stream that raise these tokens' logits, [d_model, token], the final norm folded in."""
    head: Any = subject.anatomy.unembedding
    seen: list[Tensor] = []

    def keep(h: Tensor) -> Tensor:
        seen.append(h)
        return h

    size = subject.anatomy.d_model
    hidden = LARGE * torch.eye(size + 1, size, device=subject.device, dtype=subject.dtype)[:, None]
    dummy = torch.zeros(hidden.shape[:2], dtype=torch.long, device=subject.device)
    with forwards_replaced((head, keep)), layers_replaced(subject.anatomy, lambda _: hidden):
        subject.model(input_ids=dummy, use_cache=False)
    normed = seen[0][:, 0].float()
    rows = head.weight[tokens.to(head.weight.device)].float() if not head.weight.is_meta else None
    if rows is None:
        raise UnsupportedModel("The unembedding is on disk. Load the model where it fits into memory.")
    return (normed[:-1] - normed[-1:]) / LARGE @ rows.T.to(normed.device)


def run_alone(subject: Subject, layer: int, block: Block, x: Tensor, position: int = 0) -> KVSlot:
    """Run an attention on x [row, d_model], each row a text of one token at this position; the slot has its keys and
    values."""
    slot = KVSlot(keep=True)
    # What is recorded of one row is broadcast to all.
    window = Window(alone(subject, position), torch.zeros(len(x), dtype=torch.long, device=subject.device), 0, 1)
    h = x.to(subject.device, subject.dtype)[:, None]
    attention(block, h, window.kwargs(layer), slot, None, change_pattern=lambda p: p)
    return slot


def alone(subject: Subject, position: int) -> Recording:
    ids = torch.zeros((1, 1), dtype=torch.long, device=subject.device)
    return record(subject.model, subject.anatomy, ids, torch.ones_like(ids), torch.full_like(ids, position))


def output_weights(subject: Subject, block: Block) -> Tensor:
    """[head, d_head, d_model], including a norm after the attention."""
    anatomy = subject.anatomy
    size = block.n_heads * block.d_head
    eye = torch.eye(size + 1, size, device=subject.device, dtype=subject.dtype)
    # By running it, so that weights that are fetched only for that are there.
    out = block.o_proj(eye)
    W_O = (out[:-1] - out[-1:]).float() * block.out_scale
    return (W_O @ linear_part(block.attn_post, anatomy.d_model, subject).to(W_O)).unflatten(0, (block.n_heads, -1))


def linear_part(modules: tuple[nn.Module, ...], size: int, subject: Subject) -> Tensor:
    """The matrix [size, size] that the norms form, up to a factor. Raises UnsupportedModel if they are not a matrix."""
    eye = LARGE * torch.eye(size + 1, size, device=subject.device, dtype=subject.dtype)
    if not modules:
        return eye[:-1].float() / LARGE
    out = through(modules, eye).float()
    matrix = (out[:-1] - out[-1:]) / LARGE
    tried = torch.linspace(-2, 3, size, device=eye.device).sin()[None]
    found = through(modules, LARGE * tried.to(eye)).float() - out[-1:]
    if torch.nn.functional.cosine_similarity(tried @ matrix, found) < 0.999:
        names = ", ".join(type(m).__name__ for m in modules)
        raise UnsupportedModel(f"{names} is not a norm that can be folded into the attention's weights.")
    return matrix


def is_norm(module: nn.Module) -> bool:
    """Whether it contains only vectors: a norm of queries or keys."""
    own = list(module.parameters())
    return bool(own) and not list(module.children()) and not isinstance(module, Projection) and own[0].dim() == 1


def as_linear(norm: nn.Module, subject: Subject) -> Callable[[Tensor], Tensor]:
    """The norm as a linear map, so that directions that are fed one by one keep their lengths."""
    size = next(p.numel() for p in norm.parameters())
    matrix = linear_part((norm,), size, subject)
    return lambda h: h @ matrix.to(h)
