"""The parts of a causal language model, found by observing one run of it.

There is no code per architecture. The decoder layers are the module list whose length the configuration gives; inside
a layer, modules are identified by the tensors that flow through them (`branches`). Heads are slices of `z`, the *input*
of the attention's output projection, so grouped-query attention needs nothing special. Layers may differ: in a hybrid
some have heads and others a state-space mixer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import UnsupportedModel
from .block import Block, Unpadded
from .branches import read_block
from .tracing import hidden_of, trace_layers

# How many copies of the tokens an anatomy is found with: more rows than most models have heads tells the two apart.
ROWS = 5


@dataclass(frozen=True)
class Anatomy:
    """Where everything is, and the sizes that go with it."""

    architecture: str
    layers_parent: nn.Module
    layers_name: str
    unembedding: nn.Module
    blocks: tuple[Block, ...]
    layer_returns_tuple: int
    d_model: int
    vocabulary: int

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def n_heads(self) -> int:
        """This and the next sizes are the largest of any layer; a block has its own."""
        return max(b.n_heads for b in self.blocks)

    @property
    def n_kv_heads(self) -> int:
        return max(b.n_kv_heads for b in self.blocks)

    @property
    def d_head(self) -> int:
        return max(b.d_head for b in self.blocks)

    @property
    def d_mlp(self) -> int:
        return max(b.d_mlp for b in self.blocks)

    @property
    def with_heads(self) -> list[int]:
        """The layers that have heads: all, but in a hybrid."""
        return [layer for layer, block in enumerate(self.blocks) if block.n_heads]

    @property
    def by_column(self) -> bool:
        """Whether later columns can be run alone: every layer keeps keys and values of the earlier ones."""
        return all(block.by_column for block in self.blocks)

    @property
    def leaves_pads_out(self) -> bool:
        """Whether a layer gets rows without their pads, because it would treat them as tokens."""
        return any(isinstance(block.attn, Unpadded) for block in self.blocks)

    @property
    def given(self) -> int:
        """How many numbers all layers get at a position in addition to the stream, for their third branches."""
        return sum(width for block in self.blocks for width in block.given.values())

    def unpadded(self) -> Anatomy:
        return replace(self, blocks=tuple(block.unpadded() for block in self.blocks))

    def require_sum(self) -> None:
        """Raise UnsupportedModel if the last stream is not the plain sum of what the layers add."""
        for layer in self.with_heads:
            if not self.blocks[layer].heads_write:
                raise UnsupportedModel(self.read_elsewhere(layer))
        if any(block.given for block in self.blocks):
            raise UnsupportedModel(
                f"A third branch in the layers of {self.architecture} depends on everything before it, so what a part "
                "adds to the stream is not what reaches the logits or a later part."
            )
        if any(block.tail for block in self.blocks):
            raise UnsupportedModel(
                f"The layers of {self.architecture} multiply everything before them, so what a part adds to the stream "
                "is not what reaches the logits or a later part."
            )

    def read_elsewhere(self, layer: int) -> str:
        """Why the heads of a layer whose `heads_write` is not true have no share in the stream."""
        return (
            f"The output of the heads of layer {layer} of {self.architecture} is not added to the stream: another "
            f"module of the layer reads it. Remove or patch them (L{layer}.H0), or use the whole (L{layer}.attn)."
        )

    def describe(self) -> dict[str, Any]:
        """The anatomy as plain data, for the tracker and for people. Where layers differ, a size is the largest, and
        `by_layer` has all of them."""
        blocks = self.blocks
        counts = {
            "n_heads": [b.n_heads for b in blocks], "n_kv_heads": [b.units("k") for b in blocks],
            "d_head": [b.d_head for b in blocks], "d_mlp": [b.d_mlp for b in blocks],
        }  # fmt: skip
        differing = {
            **{name: found for name, found in counts.items() if len(set(found)) > 1},
            **{name: found for name, found in (("attn", [int(b.has_attn) for b in blocks]),
                                               ("mlp", [int(b.has_mlp) for b in blocks])) if not all(found)},
        }  # fmt: skip
        described = {
            "architecture": self.architecture,
            "n_layers": self.n_layers,
            **{name: max(counts[name]) for name in ("n_heads", "n_kv_heads", "d_head")},
            "d_model": self.d_model,
            "d_mlp": max(counts["d_mlp"]),
            "vocabulary": self.vocabulary,
            "block": "parallel" if blocks[0].parallel else "sequential",
            "post_norms": any(b.post_norms for b in blocks),
        }
        return {**described, "by_layer": differing} if differing else described

    def sizes(self) -> dict[str, int]:
        """The counts that sites are checked against: the largest of all layers, and under names such as "L3.n_heads"
        what a layer has otherwise (`sites.count`)."""
        described = self.describe()
        sizes = {k: v for k, v in described.items() if isinstance(v, int) and not isinstance(v, bool)}
        for name, found in described.get("by_layer", {}).items():
            sizes |= {f"L{layer}.{name}": n for layer, n in enumerate(found) if n != sizes.get(name, 1)}
        wide = max(max(b.d_key, b.d_value) for b in self.blocks)
        return sizes if wide == sizes["d_head"] else {**sizes, "d_kv": wide}


# --- finding ---------------------------------------------------------------------------------------------


def find_layers(model: PreTrainedModel) -> tuple[nn.Module, str, nn.ModuleList]:
    """The decoder layers: the largest module list that is as long as the configuration says."""
    wanted = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    if not wanted:
        raise UnsupportedModel(f"{type(model).__name__}: its configuration does not give the number of layers.")
    found: list[tuple[int, nn.Module, str, nn.ModuleList]] = []
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == wanted:
                found.append((sum(p.numel() for p in child.parameters()), parent, name, child))
    if not found:
        raise UnsupportedModel(f"{type(model).__name__}: it has no list of {wanted} decoder layers.")
    _, parent, name, layers = max(found, key=lambda entry: entry[0])
    return parent, name, layers


def find_anatomy(model: PreTrainedModel, ids: Tensor) -> Anatomy:
    """Find the anatomy by one forward pass over ids [batch, position]. Raises UnsupportedModel."""
    config = model.config.get_text_config()
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedModel(
            f"{type(model).__name__} is an encoder-decoder. Only causal language models are supported."
        )
    parent, name, layers = find_layers(model)
    unembedding = model.get_output_embeddings()
    if unembedding is None:
        raise UnsupportedModel(f"{type(model).__name__} has no unembedding. Only causal language models are supported.")
    n_heads = getattr(config, "num_attention_heads", None) or 0
    traces = trace_layers(model, layers, ids[:1].expand(ROWS, -1), cache=n_heads > 0)
    if len(traces) != len(layers) or any(t.layer is not layer for t, layer in zip(traces, layers, strict=True)):
        raise UnsupportedModel(f"{type(model).__name__}: its {len(layers)} layers do not run in sequence, each once.")
    blocks = tuple(read_block(trace, n_heads) for trace in traces)
    return Anatomy(
        architecture=str(getattr(config, "model_type", type(model).__name__)),
        layers_parent=parent,
        layers_name=name,
        unembedding=unembedding,
        blocks=blocks,
        layer_returns_tuple=traces[0].returned,
        d_model=traces[0].x.shape[-1],
        vocabulary=unembedding.weight.shape[0],
    )


# --- standing in for the layers ----------------------------------------------------------------------------


class StandIn(nn.Module):
    """Takes the place of all decoder layers, so that the model's own embedding, norm and head do the rest."""

    def __init__(self, like: nn.Module, act: Callable[[Tensor], Tensor], returns: int) -> None:
        super().__init__()
        object.__setattr__(self, "_like", like)
        self._act = act
        self._returns = returns

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(object.__getattribute__(self, "_like"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden, _ = hidden_of(args, kwargs)
        assert hidden is not None
        out = self._act(hidden)
        return (out, *[None] * (self._returns - 1)) if self._returns else out


@contextmanager
def layers_replaced(anatomy: Anatomy, act: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While this is open the model has one layer, which calls act(hidden [batch, position, d_model])."""
    layers = getattr(anatomy.layers_parent, anatomy.layers_name)
    stand_in = StandIn(layers[0], act, anatomy.layer_returns_tuple)
    setattr(anatomy.layers_parent, anatomy.layers_name, nn.ModuleList([stand_in]))
    try:
        yield
    finally:
        setattr(anatomy.layers_parent, anatomy.layers_name, layers)
