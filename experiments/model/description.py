"""What a model is, without any task: its vocabulary, what its tokenizer adds, its sizes, and how large the weights of
each head and MLP are.

A head's norms are those of its matrices as `engine.weights` reads them, with the norms around the attention folded in:
all heads of a layer share one unknown positive factor, so compare heads of a layer, and layers only roughly. `OV` is
the norm of W_V W_O (what a head can move into the stream), `QK` that of W_Q W_K^T (how far its attention can depend on
tokens: at 0, and without biases, it is even or depends on positions only). An MLP's norm is that of its output
projection. All are Frobenius norms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnsupportedModel
from ..result import Frozen, Number

if TYPE_CHECKING:
    from torch import Tensor

    from .block import Block
    from .subject import Subject

# Below this share of the largest norm of the model, a part counts as near zero.
NEAR_ZERO = 1e-3


class HeadNorms(Frozen):
    """Frobenius norms of one head's matrices, and of their products; `constant` is the norm of what biases make it
    write whatever it reads."""

    Q: Number
    K: Number
    V: Number
    O: Number
    OV: Number
    QK: Number
    constant: Number


class LayerNorms(Frozen):
    """The norms of one layer.

    heads   per head; None if their weights cannot be read, and `why` says so
    mlp     of the output projection; None if the layer has no MLP with one
    bias    of the bias of that projection
    """

    layer: int
    heads: tuple[HeadNorms, ...] | None
    mlp: Number | None
    bias: Number
    why: str = ""


class Token(Frozen):
    id: int
    text: str


class Description(Frozen):
    """A model without any task.

    vocabulary        tokens of the tokenizer; `rows` is the number of rows of the embedding, which may be larger
    starts_with       tokens that the tokenizer puts before every text, such as a BOS
    context           number of positions; None without a limit
    sample            tokens spread evenly over the vocabulary
    silent            parts that write nothing, by name; `constant`: that always write the same, from a bias;
                      `near_zero`: whose norm is a small share of the largest of their kind
    blind             heads whose attention does not depend on tokens: QK is 0
    """

    name: str
    architecture: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    parallel: bool
    parameters: int
    tied: bool
    vocabulary: int
    rows: int
    special: tuple[Token, ...]
    starts_with: tuple[Token, ...]
    context: int | None
    chat: bool
    sample: tuple[Token, ...]
    layers: tuple[LayerNorms, ...]
    silent: tuple[str, ...]
    constant: tuple[str, ...]
    near_zero: tuple[str, ...]
    blind: tuple[str, ...]


def describe(subject: Subject, sample: int = 40) -> Description:
    """Everything that can be said of a subject without running a text; `sample` is the number of tokens to show."""
    from ..tasks.tokens import token_text
    from .encoding import around
    from .room import room

    model, tokenizer, anatomy = subject.model, subject.tokenizer, subject.anatomy

    def token(i: int) -> Token:
        return Token(id=i, text=token_text(tokenizer, i))

    size, special = len(tokenizer), sorted(set(tokenizer.all_special_ids))
    ordinary = [i for i in range(size) if i not in set(special)]
    step = max(1, len(ordinary) // max(1, sample))
    layers = tuple(layer_norms(subject, layer) for layer in range(anatomy.n_layers))
    silent, constant, near = weak_parts(layers)
    blind = [f"L{one.layer}.H{i}" for one in layers for i, head in enumerate(one.heads or ()) if head.QK == 0]
    sizes = anatomy.describe()
    return Description(
        name=subject.name,
        architecture=anatomy.architecture,
        **{name: sizes[name] for name in ("n_layers", "n_heads", "n_kv_heads", "d_model", "d_head", "d_mlp")},
        parallel=anatomy.blocks[0].parallel,
        parameters=sum(p.numel() for p in model.parameters()),
        tied=getattr(model.get_output_embeddings(), "weight", None) is model.get_input_embeddings().weight,
        vocabulary=size,
        rows=anatomy.vocabulary,
        special=tuple(map(token, special)),
        starts_with=tuple(map(token, around(tokenizer).front)),
        context=room(model)[0],
        chat=bool(getattr(tokenizer, "chat_template", None)),
        sample=tuple(map(token, ordinary[::step][:sample])),
        layers=layers,
        silent=silent,
        constant=constant,
        near_zero=near,
        blind=tuple(blind),
    )


def layer_norms(subject: Subject, layer: int) -> LayerNorms:
    """The norms of one layer's heads and MLP."""
    from ..engine.weights import head_weights, value_biases

    block, heads, why = subject.anatomy.blocks[layer], None, ""
    try:
        if block.n_heads:
            w = head_weights(subject, layer)
            norms = [frobenius(m) for m in (w.Q, w.K, w.V, w.O)]
            norms += [product_norm(w.V, w.O), product_norm(w.Q, w.K.transpose(1, 2))]
            norms.append((value_biases(subject, layer)[:, None] @ w.O)[:, 0].norm(dim=-1).tolist())
            names = ("Q", "K", "V", "O", "OV", "QK", "constant")
            heads = tuple(HeadNorms(**dict(zip(names, row, strict=True))) for row in zip(*norms, strict=True))
        else:
            why = "its token mixer has no heads" if block.has_attn else "it has no attention"
    except UnsupportedModel as fault:
        why = str(fault)
    return LayerNorms(layer=layer, heads=heads, mlp=mlp_norm(block), bias=mlp_bias(block), why=why)


def mlp_norm(block: Block) -> float | None:
    """The norm of an MLP's output projection; None if there is none to read."""
    from .block import matrix

    if block.down_proj is None or (weights := matrix(block.down_proj)).is_meta:
        return None
    return float((weights.float() * block.down_scale).norm())


def mlp_bias(block: Block) -> float:
    """The norm of the bias of an MLP's output projection, 0 without one."""
    bias = getattr(block.down_proj, "bias", None)
    return 0.0 if bias is None or bias.is_meta else float((bias.float() * block.down_scale).norm())


def frobenius(matrices: Tensor) -> list[float]:
    """[head, a, b] -> one norm for each head."""
    return matrices.float().flatten(1).norm(dim=1).tolist()


def product_norm(left: Tensor, right: Tensor) -> list[float]:
    """The norm of left [head, a, d] @ right [head, d, b] for each head, without the product, which is a times b."""
    inner = (left.transpose(1, 2) @ left) * (right @ right.transpose(1, 2))
    return inner.sum((1, 2)).clamp(min=0).sqrt().tolist()


def weak_parts(layers: tuple[LayerNorms, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The heads and MLPs that write nothing, those that always write the same, and those whose norm is a small share of
    the largest of their kind."""
    heads = {f"L{one.layer}.H{i}": (head.OV, head.constant) for one in layers for i, head in enumerate(one.heads or ())}
    mlps = {f"L{one.layer}.mlp": (one.mlp, one.bias) for one in layers if one.mlp is not None}
    silent: list[str] = []
    constant: list[str] = []
    near: list[str] = []
    for norms in (heads, mlps):
        least = NEAR_ZERO * max((norm for norm, _ in norms.values()), default=0.0)
        silent += [name for name, (norm, bias) in norms.items() if norm == bias == 0]
        constant += [name for name, (norm, bias) in norms.items() if norm == 0 < bias]
        near += [name for name, (norm, _) in norms.items() if 0 < norm < least]
    return tuple(silent), tuple(constant), tuple(near)
