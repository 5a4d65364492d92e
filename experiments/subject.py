"""A subject: a causal language model, its tokenizer, its anatomy and its fingerprint.

A name is an alias of ours (`smollm2-135m`), a Hub id, a local folder, or a `.gguf` file. Weights come as
safetensors or GGUF only; no code and no pickle of a model's author is ever run. Numbers are measured in fp32.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from .allocator import keep_freed_memory
from .anatomy import Anatomy, find_anatomy
from .bundled import ALIASES, bundled_folder, gguf_folder
from .device import chosen_device
from .errors import UnknownName, UnsupportedModel
from .hub import only_cached
from .kernels import speed_up


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

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "architecture": self.anatomy.architecture,
            "anatomy": self.anatomy.describe(),
        }


def canonical(name: str) -> str:
    """The alias a name stands for ('SmolLM2' -> 'smollm2-135m'), else the name itself."""
    squeezed = re.sub(r"[^a-z0-9]", "", name.lower())
    for alias, also in ALIASES.items():
        if squeezed in {re.sub(r"[^a-z0-9]", "", other.lower()) for other in (alias, *also)}:
            return alias
    return name


def locate(name: str, progress: Callable[[str], None] | None = None) -> tuple[str, bool]:
    """Where `from_pretrained` finds a model, and whether that is on this machine.

    Raises UnknownName or UnsupportedModel.
    """
    alias = canonical(name)
    if alias in ALIASES:
        return str(bundled_folder(alias, progress)), True
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UnsupportedModel(f"There is no file {name}.")
        return str(gguf_folder(path, progress)), True
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UnsupportedModel(f"The folder {name} holds no model: it has no config.json.")
        if not list(path.glob("*.safetensors")):
            raise UnsupportedModel(
                f"The folder {name} has no .safetensors weights; pickled weights are refused. Save it again with "
                "save_pretrained()."
            )
        return str(path), True
    if not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)?", name) or name.startswith((".", "/")):
        raise UnknownName("model", name, ALIASES, "A Hub id, a local folder or a .gguf file will do, too.")
    if "/" not in name and difflib.get_close_matches(name.lower(), {*ALIASES, *sum(ALIASES.values(), ())}, cutoff=0.8):
        # No Hub id of that look is meant; asking the Hub would only take a minute to say so.
        raise UnknownName("model", name, {*ALIASES, *sum(ALIASES.values(), ())})
    return name, only_cached(name)


def load(
    name: str, device: str | None = None, dtype: torch.dtype = torch.float32,
    progress: Callable[[str], None] | None = None,
) -> Subject:  # fmt: skip
    """Load a subject. Raises UnknownName or UnsupportedModel, each with one line that says what to do.

    device  None for the one that `chosen_device` finds; "auto" spreads a model that is larger than one device over all
            there are, and the rest over memory
    """
    device = chosen_device(device)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    where, local = locate(name, progress)
    try:
        # Attention that caps its scores is only exact in the eager implementation; models say so themselves.
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=local, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            where, dtype=dtype, local_files_only=local, trust_remote_code=False, use_safetensors=True,
            device_map="auto" if device == "auto" else None,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, SafetensorError) as fault:
        reason = str(fault).strip().splitlines()[0][:200] if str(fault).strip() else type(fault).__name__
        known = ", ".join(ALIASES)
        raise UnsupportedModel(
            f"The model '{name}' could not be loaded: {reason} Bundled: {known}; a Hub id, a local folder or a .gguf "
            "file will do, too."
        ) from fault
    return prepare(canonical(name), model, tokenizer, device)


def sizes_of(name: str, progress: Callable[[str], None] | None = None) -> dict[str, int]:
    """n_layers, n_heads, n_kv_heads and d_mlp as the configuration alone says, as far as it does; no weights are read.

    Raises UnknownName or UnsupportedModel.
    """
    transformers_logging.set_verbosity_error()
    where, local = locate(name, progress)
    try:
        config = AutoConfig.from_pretrained(where, local_files_only=local, trust_remote_code=False).get_text_config()
    except (OSError, ValueError, KeyError):
        # Loading the model says what is wrong with it.
        return {}
    heads = getattr(config, "num_attention_heads", None)
    found = {
        "n_layers": getattr(config, "num_hidden_layers", None),
        "n_heads": heads,
        "n_kv_heads": getattr(config, "num_key_value_heads", None) or heads,
        "d_mlp": getattr(config, "intermediate_size", None),
    }
    return {key: value for key, value in found.items() if isinstance(value, int)}


def prepare(name: str, model: PreTrainedModel, tokenizer: Any, device: str | None = None) -> Subject:
    """Make a Subject of a model in memory: eval mode, anatomy, fingerprint. Raises UnsupportedModel."""
    from .selfcheck import check_or_refuse

    if hasattr(model, "hf_device_map"):
        chosen = model.device  # it has been placed; this is where its tokens go
    else:
        asked = chosen_device(device)
        chosen = torch.device("cpu" if asked == "auto" else asked)
        model.to(chosen)  # type: ignore[arg-type]
    model.eval().requires_grad_(False)
    speed_up(model)
    keep_freed_memory()
    config = model.config.get_text_config()
    if getattr(config, "attn_logit_softcapping", None) and config._attn_implementation != "eager":
        model.set_attn_implementation("eager")
    words = len(torch.as_tensor(model.get_input_embeddings().weight))
    # Ordinary tokens, the same each time: what is found must not depend on chance.
    ids = torch.arange(14, device=chosen).view(2, 7) * 7 % (words - 5) + 5
    anatomy = find_anatomy(model, ids)
    subject = Subject(
        name=name,
        model=model,
        tokenizer=tokenizer,
        anatomy=anatomy,
        fingerprint=fingerprint(model, tokenizer),
        device=chosen,
        dtype=next(model.parameters()).dtype,
        sizes=anatomy.sizes(),
    )
    check_or_refuse(subject)
    return subject


def all_weights(model: PreTrainedModel) -> dict[str, Any]:
    """The state dict, with those weights that lie in other places than the devices that compute."""
    state = model.state_dict()
    return get_state_dict_offloaded_model(model) if any(v.is_meta for v in state.values()) else state


def fingerprint(model: PreTrainedModel, tokenizer: Any) -> str:
    """SHA-256 over every byte of the weights, the configuration and the vocabulary, cut to 16 digits."""
    digest = hashlib.sha256()
    config = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_") and k != "transformers_version"}
    digest.update(repr(sorted(config.items(), key=lambda kv: kv[0])).encode())
    for key, value in sorted(all_weights(model).items()):
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        # On the CPU, so that the same model is the same wherever it runs.
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    if tokenizer is not None:
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda kv: kv[1])
        digest.update(repr(vocabulary).encode())
    return digest.hexdigest()[:16]
