"""The slow way: what an intervention means, written down plainly, to hold the engine against.

One prompt at a time, without padding; one full forward pass of the HuggingFace model per intervention, with
hooks; no cache, nothing shared, nothing folded. Where things are is looked up by name per architecture, and not
found by the code under test. A layer program is a new list of layers in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import Site
from lashley.experiments.tasks.batch import Batch

# The list of layers; in a layer: where attention writes to the residual stream, its output projection, where the MLP
# writes, and its last projection.
LLAMA = ("model.layers", "self_attn", "self_attn.o_proj", "mlp", "mlp.down_proj")
POST_NORMS = ("post_attention_layernorm", "self_attn.o_proj", "post_feedforward_layernorm", "mlp.down_proj")
PLACES = {
    "gpt2": ("transformer.h", "attn", "attn.c_proj", "mlp", "mlp.c_proj"),
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "mistral": LLAMA,
    "gpt_neox": ("gpt_neox.layers", "attention", "attention.dense", "mlp", "mlp.dense_4h_to_h"),
    "gemma2": ("model.layers", *POST_NORMS),
    "gemma3_text": ("model.layers", *POST_NORMS),
    "olmo2": ("model.layers", *POST_NORMS),
    "phi": ("model.layers", "self_attn", "self_attn.dense", "mlp", "mlp.fc2"),
    "opt": ("model.decoder.layers", "self_attn", "self_attn.out_proj", "fc2", "fc2"),
    "gptj": ("transformer.h", "attn", "attn.out_proj", "mlp", "mlp.fc_out"),
}
Change = Callable[[Site, Tensor], Tensor]


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    return model.get_submodule(PLACES[model.config.model_type][0])  # type: ignore[return-value]


class Passing(DynamicCache):
    """Stores nothing; shows each layer's new keys and values to `change` on their way to the attention."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change
        self.v: dict[int, Tensor] = {}

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        changed: list[Tensor] = []
        for part, heads in (("k", key_states), ("v", value_states)):
            flat = heads.transpose(1, 2).flatten(2)
            flat = self.change(Site(layer=layer_idx, part=part), flat)  # type: ignore[arg-type]
            changed.append(flat.unflatten(2, (heads.shape[1], -1)).transpose(1, 2))
        self.v[layer_idx] = changed[1]
        return tuple(changed)


@contextmanager
def hooked(model: PreTrainedModel, change: Change) -> Iterator[Passing]:
    """While open, `change(site, value [1, position, width])` stands at every site of every layer.

    A pattern is given as [1, query, head * key]; where it comes back changed, z is worked out anew from it.
    """
    _, attn, o_proj, mlp, down = PLACES[model.config.model_type]
    passing = Passing(change)

    def pattern_of(layer: int, project: nn.Module) -> Callable[..., Any]:
        def hook(_: nn.Module, __: Any, out: Any) -> Any:
            before = out[1].transpose(1, 2).flatten(2)
            after = change(Site(layer=layer, part="pattern"), before)
            if torch.equal(before, after):
                return out
            weights = after.unflatten(2, (out[1].shape[1], -1)).transpose(1, 2)
            v = passing.v[layer]
            z = weights @ v.repeat_interleave(weights.shape[1] // v.shape[1], dim=1)
            z = change(Site(layer=layer, part="z"), z.transpose(1, 2).flatten(2))
            return (project.forward(z).view_as(out[0]), *out[1:])

        return hook

    def into(part: str, layer: int) -> Callable[..., Any]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            site = Site(layer=layer, part=part)  # type: ignore[arg-type]
            if args:
                return (change(site, args[0].view(1, -1, args[0].shape[-1])).view_as(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": change(site, kwargs["hidden_states"])}

        return hook

    def out_of(part: str, layer: int) -> Callable[..., Any]:
        def hook(_: nn.Module, __: Any, out: Any) -> Any:
            value = out[0] if isinstance(out, tuple) else out
            changed = change(Site(layer=layer, part=part), value.view(1, -1, value.shape[-1])).view_as(value)  # type: ignore[arg-type]
            return (changed, *out[1:]) if isinstance(out, tuple) else changed

        return hook

    with ExitStack() as stack:
        # Only step by step does an attention give its pattern away.
        usual = model.config._attn_implementation or "eager"
        model.set_attn_implementation("eager")
        stack.callback(model.set_attn_implementation, usual)
        for i, layer in enumerate(layers_of(model)):
            project = layer.get_submodule(o_proj)
            for handle in (
                layer.get_submodule(o_proj.rpartition(".")[0]).register_forward_hook(pattern_of(i, project)),
                layer.register_forward_pre_hook(into("resid_pre", i), with_kwargs=True),
                project.register_forward_pre_hook(into("z", i), with_kwargs=True),
                layer.get_submodule(attn).register_forward_hook(out_of("attn_out", i)),
                layer.get_submodule(down).register_forward_pre_hook(into("neurons", i), with_kwargs=True),
                layer.get_submodule(mlp).register_forward_hook(out_of("mlp_out", i)),
                layer.register_forward_hook(out_of("resid_post", i)),
            ):
                stack.callback(handle.remove)
        yield passing


@contextmanager
def reordered(model: PreTrainedModel, program: tuple[int, ...] | None) -> Iterator[None]:
    """While open, the model's list of layers is this program, and its configuration says so."""
    path = PLACES[model.config.model_type][0]
    parent, name = model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
    layers, config = layers_of(model), model.config
    if program is None:
        yield
        return
    kinds, count = getattr(config, "layer_types", None), config.num_hidden_layers
    setattr(parent, name, nn.ModuleList([layers[i] for i in program]))
    config.num_hidden_layers = len(program)
    if kinds is not None:
        config.layer_types = [kinds[i] for i in program]
    try:
        yield
    finally:
        setattr(parent, name, layers)
        config.num_hidden_layers = count
        if kinds is not None:
            config.layer_types = kinds


def tokens_of(batch: Batch, prompt: int) -> Tensor:
    """The prompt's own tokens, [1, position]."""
    return batch.ids[prompt][batch.mask[prompt].bool()][None]


def first_token(batch: Batch, prompt: int) -> int:
    return int(batch.mask[prompt].nonzero()[0])


@torch.no_grad()
def clean_values(model: PreTrainedModel, ids: Tensor) -> dict[Site, Tensor]:
    """What is at every site of an intact run over ids [1, position]: [position, width]."""
    kept: dict[Site, Tensor] = {}

    def keep(site: Site, value: Tensor) -> Tensor:
        kept[site] = value[0].clone()
        return value

    with hooked(model, keep) as cache:
        model(input_ids=ids, past_key_values=cache, use_cache=True)
    return kept


def cut(value: Tensor, site: Site, d_head: int) -> slice:
    if site.index is None:
        return slice(0, value.shape[-1])
    # A prompt has as many keys as queries.
    width = {"neurons": 1, "pattern": value.shape[1]}.get(site.part, d_head)
    return slice(site.index * width, (site.index + 1) * width)


def one_position(edit: Edit, old: Tensor, source: Tensor | None) -> Tensor:
    """One edit of one vector [width]; source [width]."""
    if edit.op == "zero":
        return old * 0
    if edit.op == "scale":
        return old * edit.factor
    assert source is not None
    if edit.op in ("replace", "freeze"):
        return source
    if edit.op == "add":
        return old + edit.factor * source
    length = source.norm()
    return old - (old @ source) / length * source / length


def refit(pattern: Tensor, heads: int, keys: int) -> Tensor:
    """A query's weights [head * key] for fewer keys, or for more, which get none."""
    short = pattern.view(heads, -1)[:, :keys]
    return torch.cat([short, short.new_zeros(heads, keys - short.shape[1])], dim=1).flatten()


@torch.no_grad()
def slow_logits(
    model: PreTrainedModel,
    ids: Tensor,
    intervention: Intervention,
    touched: Callable[[Edit, int], bool],
    source: Callable[[Edit, int], Tensor | None],
    d_head: int,
) -> Tensor:
    """The logits [position, vocabulary] of ids [1, position] under an intervention.

    touched  whether an edit touches the token at a position
    source   the edit's values there, as wide as the whole part
    """

    def change(site: Site, value: Tensor) -> Tensor:
        value = value.clone()
        for edit in intervention.edits:
            if (edit.site.layer, edit.site.part) == (site.layer, site.part):
                where = cut(value, edit.site, d_head)
                for position in range(value.shape[1]):
                    if touched(edit, position):
                        whole = source(edit, position)
                        if whole is not None and site.part == "pattern":
                            whole = refit(whole, value.shape[-1] // value.shape[1], value.shape[1])
                        values = None if whole is None else whole[where]
                        value[0, position, where] = one_position(edit, value[0, position, where], values)
        return value

    with hooked(model, change) as cache, reordered(model, intervention.program):
        # Hooks name a layer by what it is, the cache by the slot that the layer remembers: the same number.
        return model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0]
