"""What flows through a model's decoder layers, written down while it runs once.

Every tensor is copied: some architectures add the residual in place.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import Cache, PreTrainedModel

from ..errors import ExperimentError, UnsupportedModel
from .block import Projection
from .kernels import is_refused_memory

CACHES = ("past_key_values", "layer_past", "past_key_value")
HIDDEN = ("hidden_states", "x", "hidden", "activations")


@dataclass
class Projected:
    """One linear map that ran inside a module."""

    module: nn.Module
    given: Tensor
    out: Tensor


@dataclass
class Event:
    """One child of a layer that ran, with what went in and what came out.

    arguments  all others than the hidden states, by the names of the module's signature
    returns    the length of the tuple that it returned; 0 for a tensor
    """

    name: str
    module: nn.Module
    hidden_arg: str
    given: Tensor
    out: Tensor
    arguments: dict[str, Any]
    returns: int
    inside: list[Projected]


@dataclass
class LayerTrace:
    """One layer that ran: the stream before and after it, its children, the modules deeper inside that take a cache,
    what it was called with, the keys and values that it cached, whether it cached anything else (the state of a mixer,
    an index of keys), and how many heads each of its patterns has."""

    layer: nn.Module
    x: Tensor
    out: Tensor
    returned: int
    events: list[Event]
    deeper: list[Event]
    arguments: dict[str, Any]
    kv: tuple[Tensor, Tensor] | None
    more_cached: bool
    heads: list[int]


SOFTMAX = (nn.functional.softmax, torch.softmax, torch.special.softmax, Tensor.softmax)


class PatternsSeen(TorchFunctionMode):
    """While open, how many heads each pattern [row, head, query, key] over some columns has: attentions that are
    computed step by step take one softmax of all heads over the keys."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns
        self.heads: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in SOFTMAX and out.dim() == 4 and out.shape[2] == self.columns <= out.shape[3]:
            self.heads.append(out.shape[1])
        return out


@contextmanager
def caches_watched() -> Iterator[list[tuple[str, Any, Any]]]:
    """While open, what layers hand to the cache that the model makes for itself: ("update", keys, values), each
    [row, kv_head, position, width], and under other names everything else."""
    seen: list[tuple[str, Any, Any]] = []
    names = [name for name in dir(Cache) if name.startswith("update")]
    usual = {name: getattr(Cache, name) for name in names}

    def watched(name: str) -> Any:
        def call(self: Cache, first: Any, second: Any = None, *args: Any, **kwargs: Any) -> Any:
            seen.append((name, first, second))
            given = (first, *(() if second is None else (second,)), *args)
            return usual[name](self, *given, **kwargs)

        return call

    try:
        for name in names:
            setattr(Cache, name, watched(name))
        yield seen
    finally:
        for name in names:
            setattr(Cache, name, usual[name])


@contextmanager
def attending(how: str, *configs: Any) -> Iterator[None]:
    """While open, attentions of these configurations are computed in another of the ways that transformers knows."""
    configs = tuple({id(c): c for c in configs if hasattr(c, "_attn_implementation")}.values())
    before = [c._attn_implementation for c in configs]
    for config in configs:
        config._attn_implementation = how
    try:
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name


def eager(*configs: Any) -> AbstractContextManager[None]:
    """While open, models of these configurations build explicit additive masks and compute patterns step by step."""
    return attending("eager", *configs)


def first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    return value if isinstance(value, Tensor) else None


def kept(x: Any) -> Any:
    """A copy of a tensor on the device of all others: the layers of a model may be on several devices."""
    return x.cpu().clone() if isinstance(x, Tensor) else x


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Whatever an unknown architecture's own code raises becomes an UnsupportedModel of one line; memory that ends does
    not."""
    try:
        yield
    except (ExperimentError, MemoryError):
        raise
    except Exception as fault:
        if is_refused_memory(fault):
            raise
        said = " ".join(str(fault).split()).rstrip(".")
        raise UnsupportedModel(f"{what} ({type(fault).__name__}: {said}).") from fault


def hidden_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor | None, int | str]:
    """The hidden states among a module's arguments, and their place there."""
    if args and isinstance(args[0], Tensor):
        return args[0], 0
    for name in HIDDEN:
        if isinstance(kwargs.get(name), Tensor):
            return kwargs[name], name
    return None, 0


def named_arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a call by name, whether they were named in it or not."""
    bound = dict(signature.bind_partial(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            bound |= bound.pop(name, {})
    return bound


def hidden_name(named: dict[str, Any]) -> str | None:
    """Which of the named arguments the hidden states are: the first tensor."""
    return next((name for name, value in named.items() if isinstance(value, Tensor)), None)


def takes_cache(module: nn.Module) -> bool:
    return bool(set(CACHES) & inspect.signature(module.forward).parameters.keys())


def trace_layers(model: PreTrainedModel, layers: nn.ModuleList, ids: Tensor, cache: bool) -> list[LayerTrace]:
    """Run the model once on ids [batch, position] and write down what each layer's children saw, with a cache whose
    keys and values are written down as well or without one."""
    traces: list[LayerTrace] = []
    handles: list[Any] = []
    cached: list[tuple[str, Any, Any]] = []
    patterns = PatternsSeen(ids.shape[1])

    def watch(layer: nn.Module) -> None:
        open_: dict[str, Any] = {"events": [], "deeper": []}
        of_layer = inspect.signature(layer.forward)
        running: list[list[Projected]] = [[]]

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            open_["x"] = kept(hidden_of(args, kwargs)[0])
            open_["events"].clear()  # layers may share a module
            open_["deeper"].clear()
            cached.clear()
            patterns.heads.clear()

        def begin(*_: Any) -> None:
            running.append([])

        def end(name: str, signature: inspect.Signature, to: str) -> Any:
            def child(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
                inside = running.pop()
                running[-1] += inside
                named = named_arguments(signature, args, kwargs)
                hidden, result = hidden_name(named), first_tensor(out)
                if hidden is None or result is None or isinstance(module, nn.Dropout):
                    return
                given = kept(named.pop(hidden))
                arguments = {key: kept(value) for key, value in named.items()}
                returns = len(out) if isinstance(out, (tuple, list)) else 0
                event = Event(name, module, hidden, given, kept(result), arguments, returns, inside)
                open_[to].append(event)

            return child

        def projected(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            if isinstance(out, Tensor):  # a router may be a projection that returns more
                running[-1].append(Projected(module, kept(args[0]), kept(out)))

        def leave(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            hidden, named = first_tensor(out), named_arguments(of_layer, args, kwargs)
            if hidden is None or open_.get("x") is None:
                raise UnsupportedModel(f"{type(layer).__name__} does not pass on one stream of hidden states.")
            new = [(kept(k), kept(v)) for name, k, v in cached if name == "update"]
            kv = new[0] if len(new) == 1 else None
            returned = len(out) if isinstance(out, tuple) else 0
            traces.append(LayerTrace(
                layer, open_["x"], kept(hidden), returned, list(open_["events"]), list(open_["deeper"]), named, kv,
                more_cached=len(cached) > len(new), heads=list(patterns.heads),
            ))  # fmt: skip

        handles.append(layer.register_forward_pre_hook(enter, with_kwargs=True))
        children = dict(layer.named_children())
        deep = {name: module for name, module in layer.named_modules() if name.count(".") and takes_cache(module)}
        for module in (*children.values(), *deep.values()):
            handles.append(module.register_forward_pre_hook(begin))
        for module in layer.modules():
            if isinstance(module, Projection):
                handles.append(module.register_forward_hook(projected))
        for to, modules in (("events", children), ("deeper", deep)):
            for name, module in modules.items():
                signature = inspect.signature(module.forward)
                handles.append(module.register_forward_hook(end(name, signature, to), with_kwargs=True))
        handles.append(layer.register_forward_hook(leave, with_kwargs=True))

    for layer in layers:
        watch(layer)
    configs = model.config, model.config.get_text_config()
    try:
        # As the engine calls them: step by step, with masks that are added.
        own = f"{type(model).__name__}: the model's own code fails on a text of {ids.shape[1]} tokens"
        with refusing(own), torch.inference_mode(), eager(*configs), caches_watched() as cached, patterns:
            model(input_ids=ids, use_cache=cache)
    finally:
        for handle in handles:
            handle.remove()
    return traces
