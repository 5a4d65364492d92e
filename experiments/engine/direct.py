"""What each component adds directly to the logits: the stream is a sum, followed by the last norm and a linear map.

The norm is linear up to a factor that depends on the whole stream; with this factor held at its value in the intact run
(a frozen scale), each component has a share, and the shares add up. A norm after attention is treated in the same way.
A softcap is ignored: the shares are of the logits before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UnsupportedModel
from ..interventions import Edit
from ..model.anatomy import layers_replaced
from ..model.block import Block, forwards_replaced
from ..model.subject import Subject
from ..sites import Part, Site, head
from ..tasks.batch import Batch
from .activations import unflat_heads
from .clean_pass import read
from .forward import gather_columns, through
from .sources import Source
from .weights import LARGE, linear_part, output_weights, value_biases

# How far, relative to its size, a norm with a frozen scale may be from the norm itself.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Direct:
    """What each site adds along each direction, [site, batch, direction], and what is not from a site: biases [batch,
    direction]. `whole` is the sum of everything, as the model itself computes it.

    along, constant   the directions carried back to the last stream [batch, direction, d_model], and what the last
                      norm itself adds [batch, direction]
    """

    sites: tuple[Site, ...]
    values: Tensor
    biases: Tensor
    whole: Tensor
    along: Tensor
    constant: Tensor


@dataclass(frozen=True)
class Frozen:
    """A norm, linear once its scale is held: x -> scale * (x @ matrix) + bias. scale [batch, 1]."""

    matrix: Tensor
    scale: Tensor
    bias: Tensor


def unembedded(subject: Subject, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of the unembedding for these tokens [...]: directions [..., d_model] after the last norm, and biases
    [...]. Raises UnsupportedModel if the weights are not in memory."""
    module: Any = subject.anatomy.unembedding
    if module.weight.is_meta:
        raise UnsupportedModel("The unembedding is on disk. Load the model where it fits into memory.")
    bias, at = getattr(module, "bias", None), tokens.to(module.weight.device)
    rows = module.weight[at].float()
    return rows, torch.zeros_like(rows[..., 0]) if bias is None else bias[at].float()


@torch.inference_mode()
def direct(
    subject: Subject,
    batch: Batch,
    directions: Tensor,
    edits: Sequence[Edit] = (),
    sources: Mapping[str, Source] | None = None,
    like: Direct | None = None,
    folded: bool = False,
) -> Direct:
    """What every head and MLP adds at each prompt's answer along directions [batch, k, d_model] after the last norm, in
    the intact run or under edits.

    With `like`, the last norm has the scale of that other run (of the same directions): then the values and biases add
    up to `whole` except for the change of the scale. With `folded`, what the values' biases write is part of the biases
    and not of the heads. The first site is the embedding, `L0.resid_pre`. Raises UnsupportedModel if a norm cannot be
    frozen.
    """
    anatomy = subject.anatomy
    anatomy.require_sum()
    if mixed := [layer for layer in anatomy.with_heads if not anatomy.blocks[layer].heads_alone]:
        raise UnsupportedModel(
            f"Layer {mixed[0]} of {anatomy.architecture} has another mixer besides its heads, without a share of its "
            "own, so the shares would not add up to the logits. Patch paths from heads instead."
        )
    seen = read(subject, batch, {"resid_pre", "z", "attn_out", "mlp_out"}, edits=edits, sources=sources)
    at = (batch.length - batch.reads + batch.answer_at)[:, None]

    def here(layer: int, part: str) -> Tensor:
        value = seen.at(layer, part)
        return gather_columns(value, at.to(value.device))[:, 0].to(subject.device)

    final = here(anatomy.n_layers, "resid_pre")
    normed = before_unembedding(subject, final)
    if like is None:
        norm = frozen(linear_part_of_head(subject), final, normed, before_unembedding(subject, final[:1] * 0))
        # Carried back to the stream once, so that a component is one product.
        along = torch.einsum("bkd,ed,bo->bke", directions.to(norm.matrix), norm.matrix, norm.scale)
        constant = directions.to(norm.bias) @ norm.bias
    else:
        along, constant = like.along, like.constant
    biases = constant
    sites, values = [Site(layer=0, part="resid_pre")], [torch.einsum("be,bke->bk", here(0, "resid_pre"), along)]
    for layer, block in enumerate(anatomy.blocks):
        if block.n_heads:
            raw, z = here(layer, "attn_raw"), unflat_heads(here(layer, "z")[:, None], block.n_heads)[:, :, 0]
            scale, behind = raw.new_ones(len(raw), 1), raw.new_zeros(anatomy.d_model)
            own = bias_of(block.o_proj, block.n_heads * block.d_head, subject)
            if block.attn_post:
                post = frozen(
                    linear_part(block.attn_post, anatomy.d_model, subject), raw, here(layer, "attn_out"),
                    through(block.attn_post, raw[:1, None] * 0)[:, 0],
                )  # fmt: skip
                scale, behind, own = post.scale, post.bias, own @ post.matrix
            output = output_weights(subject, block)
            written = torch.einsum("bhi,hid,bo->hbd", z, output, scale)
            if folded:
                constants = torch.einsum("hi,hid,bo->hbd", value_biases(subject, layer).to(z), output, scale)
                written = written - constants
                biases = biases + torch.einsum("hbd,bkd->bk", constants, along)
            values += torch.einsum("hbd,bkd->hbk", written, along).unbind(0)
            biases = biases + torch.einsum("bd,bkd->bk", scale * own + behind, along)
            sites += [head(layer, h) for h in range(block.n_heads)]
        # Without heads, all of the attention is one component.
        for part in whole_parts(block):
            values.append(torch.einsum("bd,bkd->bk", here(layer, part), along))
            sites.append(Site(layer=layer, part=part))
    whole = torch.einsum("bd,bkd->bk", normed, directions.to(normed))
    return Direct(tuple(sites), torch.stack(values).cpu(), biases.cpu(), whole.cpu(), along, constant)


def whole_parts(block: Block) -> list[Part]:
    """The branches of a layer that are no sum of heads."""
    attention: list[Part] = ["attn_out"] if block.has_attn and not block.n_heads else []
    return [*attention, "mlp_out"] if block.has_mlp else attention


def before_unembedding(subject: Subject, hidden: Tensor) -> Tensor:
    """The last layer's output [row, d_model] -> the input of the unembedding, by the model's own code."""
    module: Any = subject.anatomy.unembedding
    kept: list[Tensor] = []

    def keep(h: Tensor) -> Tensor:
        kept.append(h)
        return h

    dummy = torch.zeros((len(hidden), 1), dtype=torch.long, device=subject.device)
    with forwards_replaced((module, keep)), layers_replaced(subject.anatomy, lambda _: hidden[:, None]):
        subject.model(input_ids=dummy, use_cache=False)
    return kept[0][:, 0].float().to(subject.device)


def linear_part_of_head(subject: Subject) -> Tensor:
    """The last norm as a matrix [d_model, d_model], up to a factor."""
    size = subject.anatomy.d_model
    eye = LARGE * torch.eye(size + 1, size, device=subject.device, dtype=subject.dtype)
    out = before_unembedding(subject, eye)
    return (out[:-1] - out[-1:]) / LARGE


def frozen(matrix: Tensor, given: Tensor, out: Tensor, nothing: Tensor) -> Frozen:
    """A norm at the vectors given [batch, d_model], where its output is `out`; `nothing` [1, d_model] is its output for
    0. Raises UnsupportedModel unless it is its matrix, a factor and a bias."""
    turned, moved = given.float() @ matrix, out.float() - nothing.float()
    scale = (turned * moved).sum(-1, keepdim=True) / (turned**2).sum(-1, keepdim=True).clamp(min=1e-30)
    if bool(((scale * turned - moved).norm(dim=-1) > TOLERANCE * moved.norm(dim=-1) + 1e-6).any()):
        raise UnsupportedModel("A norm of this model is not a linear map with a scale, so direct shares do not exist.")
    return Frozen(matrix, scale, nothing[0].float())


def bias_of(module: nn.Module, size: int, subject: Subject) -> Tensor:
    return module(torch.zeros(1, size, device=subject.device, dtype=subject.dtype))[0].float()
