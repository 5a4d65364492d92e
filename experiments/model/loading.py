"""Loading a subject: what its name leads to (`places`), read whole and finite (`checkpoint`), checked by `selfcheck`.

Weights come as safetensors or GGUF only; no code and no pickle of a model's author is ever run. Numbers are measured in
fp32.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ..errors import ExperimentError, UnsupportedModel
from . import adapter
from .adapter import MadeOf
from .allocator import keep_freed_memory
from .anatomy import find_anatomy
from .checkpoint import read_model, refuse_not_finite, use_own_attention
from .device import chosen_device
from .kernels import is_refused_memory, speed_up
from .loading_faults import not_loaded, reason
from .places import Place, canonical, locate
from .selfcheck import check_or_refuse
from .subject import Subject, all_weights, fingerprint


def load(
    name: str, device: str | None = None, dtype: torch.dtype = torch.float32,
    progress: Callable[[str], None] | None = None,
) -> Subject:  # fmt: skip
    """Load a subject. Raises UnknownName or UnsupportedModel, each with one line that says what to do.

    device  None for the one that `chosen_device` finds; "auto" spreads a model that is larger than one device over all
            devices, and the rest over memory
    """
    device = chosen_device(device)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    alias, place = canonical(name), located(name, progress)
    try:
        if place.adapter is None:
            spread = "auto" if device == "auto" else None
            model = read_model(name, place.where, place.revision, place.local, dtype, spread)
            return prepare(alias, model, tokenizer_of(place), device)
        # What is spread over devices cannot be added to, so it is not.
        with adapter.without(Path(place.where)) as where:
            model = read_model(place.base, str(where), place.revision, place.local, dtype)
        tokenizer = tokenizer_of(place)
        made_of = MadeOf(place.base, fingerprint(model, tokenizer), adapter.fingerprint_of(name, place.adapter))
        model = adapter.merged(name, model, place.adapter)
        if progress is not None:
            progress(merging(name, place))
        return prepare(alias, model, tokenizer, device, made_of)
    except ExperimentError:
        raise
    except Exception as fault:
        raise not_loaded(name, place, fault) from fault


def located(name: str, progress: Callable[[str], None] | None) -> Place:
    """Where a model is; whatever goes wrong on the way is one line. Raises UnknownName or UnsupportedModel."""
    try:
        return locate(name, progress)
    except ExperimentError:
        raise
    except Exception as fault:
        raise not_loaded(name, None, fault) from fault


def tokenizer_of(place: Place) -> Any:
    """The tokenizer of a model; of an adapter, its own if it has one. Raises UnsupportedModel."""
    own = place.adapter is not None and (place.adapter / "tokenizer_config.json").is_file()
    folder = Path(place.where)
    # What transformers says then is about packages that are not installed.
    if not own and folder.is_dir() and not any(list(folder.glob(p)) for p in ("*token*", "*vocab*", "*.model")):
        raise UnsupportedModel(f"The folder {folder} has no tokenizer. Save it there with tokenizer.save_pretrained().")
    return AutoTokenizer.from_pretrained(
        str(place.adapter) if own else place.where,
        revision=None if own else place.revision,
        local_files_only=place.local,
        trust_remote_code=False,
    )


def merging(name: str, place: Place) -> str:
    if str(place.adapter) != place.where:
        return f"The adapter {name} is merged into {place.base}"
    return (
        f"The adapter in {name} is merged into the full model in the same folder. If that model already contains it, "
        f"move {adapter.CONFIG} out of the folder"
    )


def sizes_of(name: str, progress: Callable[[str], None] | None = None) -> dict[str, int]:
    """n_layers, n_heads, n_kv_heads and d_mlp as the configuration alone says, as far as it does; no weights are read.

    Raises UnknownName or UnsupportedModel.
    """
    transformers_logging.set_verbosity_error()
    place = located(name, progress)
    try:
        config = AutoConfig.from_pretrained(
            place.where, revision=place.revision, local_files_only=place.local, trust_remote_code=False
        ).get_text_config()
    except Exception:  # noqa: BLE001
        # Loading the model reports whatever is wrong.
        return {}
    heads = getattr(config, "num_attention_heads", None)
    found = {
        "n_layers": getattr(config, "num_hidden_layers", None),
        "n_heads": heads,
        "n_kv_heads": getattr(config, "num_key_value_heads", None) or heads,
        "d_mlp": getattr(config, "intermediate_size", None),
    }
    return {key: value for key, value in found.items() if isinstance(value, int)}


def prepare(
    name: str, model: PreTrainedModel, tokenizer: Any, device: str | None = None, made_of: MadeOf | None = None
) -> Subject:
    """Make a Subject of a model in memory: eval mode, anatomy, fingerprint. Raises UnsupportedModel."""
    if hasattr(model, "hf_device_map"):
        chosen = model.device  # it has been placed; this is where its tokens go
    else:
        asked = chosen_device(device)
        chosen = torch.device("cpu" if asked == "auto" else asked)
        model.to(chosen)  # type: ignore[arg-type]
    model.eval().requires_grad_(False)
    weights = all_weights(model)
    refuse_not_finite(name, weights)
    speed_up(model)
    keep_freed_memory()
    try:
        use_own_attention(model)
        words = len(torch.as_tensor(model.get_input_embeddings().weight))
        # Ordinary tokens, the same each time: what is found must not depend on chance.
        ids = torch.arange(14, device=chosen).view(2, 7) * 7 % (words - 5) + 5
        anatomy = find_anatomy(model, ids)
        subject = Subject(
            name=name,
            model=model,
            tokenizer=tokenizer,
            anatomy=anatomy,
            fingerprint=made_of.fingerprint if made_of else fingerprint(model, tokenizer, weights),
            device=chosen,
            dtype=next(model.parameters()).dtype,
            sizes=anatomy.sizes(),
            made_of=made_of,
        )
        subject = check_or_refuse(subject)
    except ExperimentError:
        raise
    except Exception as fault:
        if is_refused_memory(fault):
            raise not_loaded(name, None, fault) from fault
        # What an architecture does that nobody foresaw shows itself here, as any sort of error.
        kind = getattr(model.config, "model_type", "") or type(model).__name__
        raise UnsupportedModel(
            f"{name} ({kind}) is not supported: its self-check ended with {reason(fault)}"
        ) from fault
    return subject
