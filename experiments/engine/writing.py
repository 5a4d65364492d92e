"""What each part of a model writes into the stream, so that all of it adds up.

A head writes z through its rows of W_O. Where a norm follows the attention, the norm sees all heads at once: what it
multiplies by is taken from the run at hand, so the heads' shares still add up to the attention's output.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UnsupportedModel
from ..model.block import Block
from ..model.subject import Subject
from .activations import Activations
from .forward import through
from .weights import output_weights


@dataclass(frozen=True)
class HeadWriting:
    """W [head, d_head, d_model], from z to the stream; `post` the norm after the attention, empty if there is none."""

    W: Tensor
    post: tuple[nn.Module, ...]
    W_O: Tensor

    @property
    def flat(self) -> Tensor:
        """[head * d_head, d_model]."""
        return self.W.flatten(0, 1)

    def scaled(self, z: Tensor) -> Tensor:
        """z [row, position, head * d_head] times what the norm multiplies by in this run: times W, what is written."""
        if not self.post:
            return z
        raw = z @ self.W_O
        before = z @ self.flat
        # A norm divides by the size of its input: one number for each token.
        sizes = before.square().sum(-1, keepdim=True)
        given = through(self.post, raw)
        return z * ((given * before).sum(-1, keepdim=True) / sizes.clamp(min=torch.finfo(z.dtype).tiny))


def head_writing(subject: Subject, block: Block) -> HeadWriting:
    """Raises UnsupportedModel where a norm follows an attention with a bias: then the shares do not add up."""
    if not block.attn_post:
        return HeadWriting(block.W_O.unflatten(0, (block.n_heads, -1)), (), block.W_O)
    weights = output_weights(subject, block).to(subject.dtype)
    post = block.attn_post if block.post_norms else ()
    bias = getattr(block.o_proj, "bias", None)
    if post:
        zeros = weights.new_zeros(1, weights.shape[-1])
        if (bias is not None and bool(bias.any())) or bool(through(post, zeros).any()):
            raise UnsupportedModel(
                f"A norm follows the attention of {type(block.attn).__name__}, and there is a bias, so the heads' "
                "shares do not add up to its output. Use path_patching."
            )
    return HeadWriting(weights, post, block.W_O)


def head_writings(subject: Subject) -> list[HeadWriting | None]:
    """Of all layers; None for a layer without heads."""
    return [head_writing(subject, b) if b.n_heads else None for b in subject.anatomy.blocks]


@dataclass(frozen=True)
class Written:
    """What the parts of one run write: the embeddings [row, position, d_model], by layer z scaled for its W, and the
    MLP's output."""

    embedded: Tensor
    z: list[Tensor | None]
    mlp: list[Tensor | None]


def written_in(subject: Subject, run: Activations, writings: list[HeadWriting | None]) -> Written:
    """From an intact run that kept resid_pre, z and mlp_out."""
    blocks = subject.anatomy.blocks
    return Written(
        run.at(0, "resid_pre"),
        [None if w is None else w.scaled(run.at(layer, "z")) for layer, w in enumerate(writings)],
        [run.at(layer, "mlp_out") if block.has_mlp else None for layer, block in enumerate(blocks)],
    )
