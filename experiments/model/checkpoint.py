"""Whether the weights in a model are those of its files.

transformers fills missing tensors with random numbers, and ignores those that the configuration does not need; both
look like a model. So a model is only used if every tensor that it needs was in its files, in the right shape, if every
tensor of its files was used, and if no weight is NaN or infinite. What a model computes itself when it is built (causal
masks, rotary frequencies) and what is tied to another tensor may be missing, or in the files without use.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ..errors import UnsupportedModel

# How many names a message shows of each sort; layers of one tensor count as one.
SHOWN = 4
# Constants that models once kept in their files: causal masks and the value at masked places (of the attention itself,
# whose projections have the biases), and rotary tables.
CONSTANTS = re.compile(r"(^|\.)((attn|attention|self_attn)\.(masked_)?bias|rotary_emb\.\w+|position_ids)$")
# Those that transformers itself turns into plain weights, and how it is asked to.
UNPACKED = ("fp8", "mxfp4")
OURS = ("eager", "sdpa")
WHOLE = "Save the whole model again with save_pretrained(), or correct its config.json."
LESS = (
    "Correct its config.json; or, to study it without them, load it with AutoModelForCausalLM and save it with "
    "save_pretrained()."
)


def read_model(
    name: str,
    where: str,
    revision: str | None = None,
    local: bool = True,
    dtype: torch.dtype = torch.float32,
    device_map: str | None = None,
) -> PreTrainedModel:
    """The model in a folder or on the Hub, with all its weights, and with an attention that the engine can follow.

    Raises UnsupportedModel if its weights are quantized, or not those of its configuration; and transformers' own
    errors.
    """
    known: dict[str, Any] = {"revision": revision, "local_files_only": local, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(where, **known)
    refuse_quantized(name, config)
    settle(config)
    try:
        # Report a wrong shape with the rest; without this, transformers would only say that there is one.
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            where, config=config, dtype=dtype, use_safetensors=True, device_map=device_map,
            output_loading_info=True, ignore_mismatched_sizes=True, **known,
        )  # fmt: skip
    except RuntimeError as fault:
        if (partial := unfinished(fault)) is None:
            raise
        refuse_incomplete(name, partial)
        raise
    model, info = loaded
    refuse_incomplete(name, info, saved_as(config, model))
    return model


def settle(config: Any) -> None:
    """Remove from a configuration what only concerns how its author ran the model.

    Special kernels (flash and flex attention) need packages, processors or compilers, and the engine does not call them
    the way they require; which attention computes the numbers is our choice.
    """
    if config._attn_implementation not in (None, *OURS):
        config._attn_implementation = None
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        part.return_dict, part.output_hidden_states = True, False


def use_own_attention(model: PreTrainedModel) -> None:
    """The same for a model in memory, which has been built with what its configuration names.

    Attention that caps its scores is only exact in the eager implementation; models say so themselves.
    """
    config = model.config.get_text_config()
    if getattr(config, "attn_logit_softcapping", None):
        wanted = "eager"
    elif config._attn_implementation in OURS:
        return
    else:
        wanted = "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"
    if config._attn_implementation != wanted:
        model.set_attn_implementation(wanted)


def refuse_quantized(name: str, config: Any) -> None:
    """Raise UnsupportedModel for quantized weights, unless transformers unpacks them; then ask it to."""
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        given = getattr(part, "quantization_config", None)
        if given is None:
            continue
        given = given if isinstance(given, dict) else given.to_dict()
        method = given.get("quant_method") or "bitsandbytes"
        if method not in UNPACKED:
            raise UnsupportedModel(
                f"The weights of '{name}' are quantized ({method}), but effects are measured in fp32. Name the model "
                "that was quantized, or load it in transformers, call dequantize() and save it with save_pretrained()."
            )
        part.quantization_config = {**given, "dequantize": True}


def saved_as(config: Any, model: PreTrainedModel) -> str:
    """The class that a model was saved as, if it differs from the loaded one; otherwise empty."""
    names = [str(one) for one in getattr(config, "architectures", None) or []]
    return names[0] if names and type(model).__name__ not in names else ""


def unfinished(fault: BaseException) -> Mapping[str, Any] | None:
    """The tensors that transformers could not join, as `from_pretrained` would have returned them.

    If tensors have to be joined (experts) and one is missing or of another shape, it raises an error that names none;
    their names are in the frame that raised it.
    """
    trace = fault.__traceback__
    while trace is not None:
        info: Any = trace.tb_frame.f_locals.get("loading_info")
        if trace.tb_next is None and hasattr(info, "conversion_errors"):
            return {**info.to_dict(), "unjoined": list(info.conversion_errors)}
        trace = trace.tb_next
    return None


def refuse_incomplete(name: str, info: Mapping[str, Any], saved: str = "", way_out: str = WHOLE) -> None:
    """Raise UnsupportedModel, naming them, if tensors are missing, unknown or of another shape.

    info   as `from_pretrained(..., output_loading_info=True)` gives it
    saved  the class of the saved model, if it is not the loaded one
    """
    shapes = [f"{key} {tuple(found)} for {tuple(wanted)}" for key, found, wanted in info["mismatched_keys"]]
    unjoined = set(info.get("unjoined", ()))
    missing = set(info["missing_keys"]) - unjoined
    unknown = [key for key in info["unexpected_keys"] if not CONSTANTS.search(key)]
    faults = [
        ("missing", missing),
        ("of another shape", shapes),
        ("with a missing part or one of another shape", unjoined),
        ("that the configuration does not have", unknown),
    ]
    listed = "; ".join(f"{sort} ({len(keys)}): {shortened(keys)}" for sort, keys in faults if keys)
    if listed:
        as_what = f", saved as {saved}," if saved else ""
        only_more = unknown and not (missing or shapes or unjoined)
        raise UnsupportedModel(
            f"The weights of '{name}'{as_what} do not match its configuration. Tensors {listed}. "
            f"{LESS if only_more and way_out is WHOLE else way_out}"
        )


def shortened(keys: Iterable[str]) -> str:
    """Names of tensors as a person reads them: those of several layers once (`layers.0-2.mlp`), and the first few."""
    layers: dict[str, list[int]] = defaultdict(list)
    for key in keys:
        number = re.search(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", key)
        form = key if number is None else f"{key[: number.start()]}\0{key[number.end() :]}"
        layers[form].extend([] if number is None else [int(number[0])])
    names = [form.replace("\0", ranges(found)) for form, found in sorted(layers.items())]
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more names" if more > 0 else "")


def ranges(numbers: Iterable[int]) -> str:
    """0, 1, 2, 5 -> '0-2,5'."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def refuse_not_finite(name: str, weights: Mapping[str, Tensor]) -> None:
    """Raise UnsupportedModel, naming the tensors, if a weight is NaN or infinite."""
    bad: list[str] = []
    for key, value in weights.items():
        if value.is_floating_point() and value.numel() and not CONSTANTS.search(key):
            # One pass, and no copy of the tensor: both ends are NaN where anything is.
            low, high = torch.aminmax(value.detach())
            if not (torch.isfinite(low) and torch.isfinite(high)):
                bad.append(key)
    if bad:
        raise UnsupportedModel(
            f"'{name}' has weights that are NaN or infinite, in {len(bad)} "
            f"tensor{'s' if len(bad) > 1 else ''}: {shortened(bad)}. It cannot be measured. Use an earlier "
            "checkpoint."
        )
