"""Merge an adapter (LoRA and similar, as saved by peft) into its base model.

The sum of weights and adapter is computed in memory, in fp32, and is then an ordinary model. Each time, the program
checks that it computes the same as base and adapter together, and that every tensor of the adapter was used. The
fingerprint covers the base model and the adapter before merging, because the last bits of a sum depend on the machine.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Fields about where and when it was trained, which do not affect what it computes.
ASIDE = {"base_model_name_or_path", "revision", "auto_mapping", "inference_mode", "task_type", "peft_version"}
# Relative to the largest logit: fp32 adds in another order.
TOLERANCE = 2e-4


@dataclass(frozen=True)
class MadeOf:
    """What a subject was merged from: the base model's name and fingerprint, and its adapter's fingerprint."""

    base: str
    base_fingerprint: str
    adapter_fingerprint: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.base_fingerprint} {self.adapter_fingerprint}".encode()).hexdigest()[:16]


def settings(name: str, folder: Path) -> dict[str, Any]:
    """What adapter_config.json says. Raises UnsupportedModel."""
    try:
        given = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UnsupportedModel(f"{CONFIG} of the adapter {name} cannot be read: {fault}.") from fault
    if not isinstance(given, dict):
        raise UnsupportedModel(f"{CONFIG} of the adapter {name} is not a JSON object.")
    return given


def base_of(name: str, folder: Path) -> str:
    """The name of an adapter's base model, with its revision. Raises UnsupportedModel if the adapter names none.

    A folder that does not exist relative to the current folder is looked up relative to the adapter's.
    """
    given = settings(name, folder)
    base, revision = given.get("base_model_name_or_path"), given.get("revision")
    if not isinstance(base, str) or not base:
        raise UnsupportedModel(
            f"The adapter in {name} names no base model. Set base_model_name_or_path in {CONFIG} to its alias, folder "
            "or Hub id."
        )
    beside = folder / base
    if not Path(base).expanduser().exists() and base.startswith(".") and beside.exists():
        return str(beside.resolve())
    return f"{base}@{revision}" if revision and not Path(base).expanduser().exists() else base


@contextmanager
def without(folder: Path) -> Iterator[Path]:
    """While open, a folder with the content of `folder` except its adapter.

    If peft is installed, transformers silently loads an adapter that is in the folder of a model.
    """
    if not (folder / CONFIG).is_file():
        yield folder
        return
    with TemporaryDirectory(prefix="lashley-base-") as made:
        for file in folder.iterdir():
            if file.is_file() and file.name not in (CONFIG, WEIGHTS):
                (Path(made) / file.name).symlink_to(file.resolve())
        yield Path(made)


def fingerprint_of(name: str, folder: Path) -> str:
    """SHA-256 over an adapter's weights and over what its configuration says of their use, cut to 16 digits."""
    used = {key: value for key, value in settings(name, folder).items() if key not in ASIDE}
    digest = hashlib.sha256(json.dumps(used, sort_keys=True).encode())
    with (folder / WEIGHTS).open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def merged(name: str, model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model, changed in place, with the adapter's weights added to its own.

    Raises UnsupportedModel if peft is missing, if the adapter's tensors are not those that its configuration requires,
    if its type cannot be merged, and if the merged model computes something else.
    """
    import torch
    from safetensors.torch import load_file

    from .checkpoint import refuse_incomplete

    try:
        from peft import PeftConfig, PeftModelForCausalLM, set_peft_model_state_dict
        from peft.tuners.tuners_utils import BaseTuner
    except ImportError as missing:
        raise UnsupportedModel(
            f'{name} is an adapter, and merging it needs peft: pip install "lashley[lora]"'
        ) from missing
    with warnings.catch_warnings():
        # What peft warns of is checked here, and refused.
        warnings.simplefilter("ignore")
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        sort = getattr(config.peft_type, "value", config.peft_type)
        own = {f"base_model.model.{key}" for key in model.state_dict()}
        both = None if config.is_prompt_learning else PeftModelForCausalLM(model, config)
        if both is None or not isinstance(both.base_model, BaseTuner):
            raise UnsupportedModel(
                f"The adapter {name} cannot be merged: its type is {sort}. LoRA and similar types can be merged."
            )
        given = load_file(folder / WEIGHTS)
        wanted = {plain(key): tuple(value.shape) for key, value in both.state_dict().items()}
        found = set_peft_model_state_dict(both, dict(given), ignore_mismatched_sizes=True)
        shapes = [(k, tuple(v.shape), wanted[k]) for k, v in given.items() if tuple(v.shape) != wanted.get(k, v.shape)]
        lacking = {plain(key) for key in found.missing_keys if key not in own and not is_base(key)}
        refuse_incomplete(
            name,
            {
                "missing_keys": lacking - {key for key, *_ in shapes},
                "unexpected_keys": found.unexpected_keys,
                "mismatched_keys": shapes,
            },
            way_out="Check base_model_name_or_path; or merge it in peft, and save the whole model.",
        )
        both.eval()
        words = len(torch.as_tensor(model.get_input_embeddings().weight))
        ids = torch.arange(14).view(2, 7) * 7 % (words - 5) + 5
        with torch.inference_mode():
            apart = both(input_ids=ids, use_cache=False).logits
        whole = both.merge_and_unload()
        with torch.inference_mode():
            together = whole(input_ids=ids, use_cache=False).logits
    gap = float((apart - together).abs().max() / apart.abs().max().clamp(min=1e-6))
    # Where both are NaN, so is the gap: `prepare` names the weights that are.
    if gap > TOLERANCE:
        raise UnsupportedModel(
            f"The adapter {name} cannot be merged: the merged model's logits differ by {gap:.1e} from those of model "
            "and adapter together (this happens if it adapts an unembedding that is tied to the embedding)."
        )
    return whole


def is_base(key: str) -> bool:
    """Whether a parameter is the model's own, under the name that it has once peft wraps its module."""
    return ".base_layer." in key or ".original_module." in key


def plain(key: str) -> str:
    """A parameter's saved name: without the adapter's name and the wrappers of its module."""
    return key.replace(".modules_to_save.default.", ".").replace(".default.", ".").removesuffix(".default")
