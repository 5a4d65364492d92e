"""A model that is already in memory as a subject, without changing it.

The engine works on a second set of modules around the same tensors. So no fp32 weight is copied, and everything that a
measurement changes (train mode, gradients, hooks, the implementation of attention) is changed only in the second set.
Weights in half precision are copied and measured in fp32, like those of a file. Hooks stay with the first set: a
subject is its weights, its configuration and its tokenizer, which its fingerprint covers. Shared weights can be trained
while a subject uses them, so they are compared with its fingerprint before each use.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import UnsupportedModel
from .checkpoint import settle
from .loading import prepare
from .places import PREFIX
from .subject import Subject, fingerprint

SAVE = "save it with save_pretrained(), with its tokenizer, and load the folder"
# Every dictionary in which a module keeps hooks of any sort.
HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
# Measured in fp32, to which each of these is turned without loss.
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def subject_of(model: Any, tokenizer: Any, name: str | None = None) -> Subject:
    """The subject around a model's own tensors, in place. Raises UnsupportedModel, in one line.

    name  its name in results, after "memory:"; None for the name that the model was loaded with
    """
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModel(
            f"Not a model: {type(model).__name__}. Give the name of one, or what "
            "AutoModelForCausalLM.from_pretrained() returns (of peft, what merge_and_unload() returns)."
        )
    if tokenizer is None or not callable(getattr(tokenizer, "get_vocab", None)):
        raise UnsupportedModel("A model in memory needs its tokenizer. Call lashley.load(model, tokenizer).")
    called = PREFIX + (name or name_of(model))
    refuse_unlike_loaded(called, model)
    words = len(torch.as_tensor(model.get_input_embeddings().weight))
    if (most := max(tokenizer.get_vocab().values(), default=-1)) >= words:
        raise UnsupportedModel(
            f"The tokenizer has a token {most}, but {called} has embeddings for 0 to {words - 1}. Give the model's own "
            "tokenizer, or resize_token_embeddings()."
        )
    try:
        beside = second_set(model)
    except Exception as fault:
        # A user's model can have any attributes.
        said = " ".join(str(fault).split()) or type(fault).__name__
        raise UnsupportedModel(f"{called} contains something that cannot be copied ({said}): {SAVE}.") from fault
    settle(beside.config)
    for part in {id(c): c for c in (beside.config, beside.config.get_text_config())}.values():
        part.dtype = torch.float32
    return prepare(called, beside, tokenizer, str(next(model.parameters()).device))


def name_of(model: PreTrainedModel) -> str:
    """The name that a model was loaded with; of a folder its last part, since a tracker is shared and contains no
    path."""
    given = str(getattr(model.config, "_name_or_path", "") or "")
    if given and (Path(given).is_absolute() or Path(given).exists()):
        given = Path(given).name
    return given or str(model.config.model_type)


def refuse_unlike_loaded(name: str, model: PreTrainedModel) -> None:
    """Raise UnsupportedModel if a model in memory differs from what loading would have given."""
    tensors = list(model.parameters())
    if others := {t.dtype for t in tensors} - set(TYPES):
        found = ", ".join(sorted(str(t).removeprefix("torch.") for t in others))
        raise UnsupportedModel(
            f"{name} has weights in {found}, but only float32, bfloat16 and float16 can be measured. Load it with "
            "dtype=torch.float32."
        )
    kept = set(model.state_dict())
    if any(b.is_floating_point() and b.dtype != torch.float32 for n, b in model.named_buffers() if n not in kept):
        # Rotary frequencies, as a rule. The fingerprint does not cover what a model computes when it is built.
        raise UnsupportedModel(
            f"{name} was rounded after loading, including constants that are not in its files. Load it with "
            "from_pretrained(..., dtype=...) instead of model.half() or model.bfloat16()."
        )
    if any(type(t) is not nn.Parameter for t in tensors):
        raise UnsupportedModel(f"{name} has weights that are not plain tensors (quantized or sharded): {SAVE}.")
    devices = {t.device.type if t.is_meta else str(t.device) for t in tensors}
    if len(devices) > 1 or "meta" in devices or any(hasattr(m, "_hf_hook") for m in model.modules()):
        raise UnsupportedModel(
            f'{name} is spread over several devices: {SAVE} with lashley.load(folder, device="auto").'
        )
    changed = [path or "the model" for path, module in model.named_modules() if "forward" in vars(module)]
    if changed:
        raise UnsupportedModel(
            f"{name} has a replaced forward in {changed[0]}, so it does not run as its configuration says. Remove it, "
            f"or {SAVE}."
        )


def second_set(model: PreTrainedModel) -> PreTrainedModel:
    """New modules around the same tensors, those in half precision in fp32, without gradients and without hooks; a
    tensor that is tied stays tied."""
    same: dict[int, Any] = {id(p): nn.Parameter(p.detach().float(), requires_grad=False) for p in model.parameters()}
    same |= {id(b): b.detach().float() if b.is_floating_point() else b.detach() for b in model.buffers()}
    for module in model.modules():
        held: dict[str, Any] = vars(module)
        same |= {id(held[name]): OrderedDict() for name in HOOKS if name in held}
        same |= {id(v): v.detach() for v in held.values() if isinstance(v, Tensor) and id(v) not in same}
    return copy.deepcopy(model, same)


def require_unchanged(subject: Subject) -> None:
    """Raise UnsupportedModel if the weights of a model in memory, which others can train, have changed since the
    subject was made."""
    if in_memory(subject) and fingerprint(subject.model, subject.tokenizer) != subject.fingerprint:
        raise UnsupportedModel(
            f"The weights (or the tokenizer) of {subject.name} have changed since lashley.load(). Load it again, so "
            "that results have the right fingerprint."
        )


def in_memory(subject: Subject) -> bool:
    return subject.name.startswith(PREFIX)
