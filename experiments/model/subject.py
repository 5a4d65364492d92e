"""A subject: a causal language model, its tokenizer, its anatomy and its fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model
from transformers import PreTrainedModel

from .adapter import MadeOf
from .anatomy import Anatomy


@dataclass(eq=False)
class Subject:
    """A model that is ready to be worked on, in eval mode and without gradients."""

    name: str
    model: PreTrainedModel
    tokenizer: Any
    anatomy: Anatomy
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    sizes: dict[str, int] = field(default_factory=dict)
    made_of: MadeOf | None = None

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "architecture": self.anatomy.architecture,
            "anatomy": self.anatomy.describe(),
            **({"made_of": asdict(self.made_of)} if self.made_of else {}),
        }


def all_weights(model: PreTrainedModel) -> dict[str, Any]:
    """The state dict, with those weights that lie in other places than the devices that compute."""
    state = model.state_dict()
    return get_state_dict_offloaded_model(model) if any(v.is_meta for v in state.values()) else state


def fingerprint(model: PreTrainedModel, tokenizer: Any, weights: dict[str, Any] | None = None) -> str:
    """SHA-256 over every byte of the weights, the configuration and the vocabulary, cut to 16 digits."""
    digest = hashlib.sha256()
    config = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_") and k != "transformers_version"}
    digest.update(repr(sorted(config.items(), key=lambda kv: kv[0])).encode())
    for key, value in sorted((weights or all_weights(model)).items()):
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        # On the CPU, so that the same model is the same wherever it runs.
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    if tokenizer is not None:
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda kv: kv[1])
        digest.update(repr(vocabulary).encode())
    return digest.hexdigest()[:16]
