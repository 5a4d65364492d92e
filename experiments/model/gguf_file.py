"""A GGUF file as a folder that transformers loads, with nothing lost on the way.

transformers reads such a file tensor by tensor: it ignores what its table of names does not contain, and invents what
it did not find. So what it found is compared with what the model needs, and the numbers in the file are counted: a
model that uses all of them has as many.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UnsupportedModel

ROPE = "rope_freqs.weight"
# What all of them have in common (arXiv 2407.21783 gives no more than the context); `factor` is 8 or 32.
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
AGAIN = "Download or convert it again, or use the model's own safetensors."


def convert(file: Path, target: Path) -> None:
    """Save the model and the tokenizer of a GGUF file to a folder. Raises UnsupportedModel, and then saves nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from .checkpoint import refuse_incomplete, refuse_not_finite

    name = str(file)
    if (part := re.fullmatch(r"(.+)-(\d{5})-of-(\d{5})", file.stem)) and int(part[3]) > 1:
        raise UnsupportedModel(
            f"{name} is one of {int(part[3])} parts of a model. Join them first: llama-gguf-split --merge {file.name} "
            f"{part[1]}.gguf"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(file.parent), gguf_file=file.name, dtype=torch.float32, trust_remote_code=False,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    # Whatever a file makes its readers say: it is one line for the user.
    except Exception as fault:
        said = " ".join(str(fault).split()).rstrip(".") or type(fault).__name__
        raise UnsupportedModel(f"{name} cannot be read as a GGUF model: {said}. {AGAIN}") from fault
    model, info = loaded
    refuse_incomplete(name, info, way_out=AGAIN)
    use_rope_factors(file, model)
    refuse_left_out(file, model)
    config, weights = model.config, model.state_dict()
    # A model that remembers being quantized refuses to be saved; the same weights in a plain one do not.
    if hasattr(config, "quantization_config"):
        delattr(config, "quantization_config")
    config.tie_word_embeddings = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    plain = type(model)(config)
    plain.load_state_dict(weights)
    refuse_not_finite(name, weights)
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


def use_rope_factors(file: Path, model: Any) -> None:
    """Give the configuration a file's rotary frequencies from a tensor, which transformers does not read.

    Llama 3.1 and its successors divide the low frequencies by a factor. The tensor contains the divisor of every
    frequency, so the factor is the largest of them; the others are checked against it. Raises UnsupportedModel.
    """
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    factors = rope_factors(file)
    if factors is None or bool((factors == 1).all()):
        return
    config, plain = model.config, getattr(model.config, "rope_parameters", None) or {}
    if "rope_theta" not in plain:
        raise no_such_rope(file)
    scaled = {**plain, **LLAMA3, "rope_type": "llama3", "factor": float(factors.max())}
    own = 1.0 / plain["rope_theta"] ** (torch.arange(0, 2 * len(factors), 2) / (2 * len(factors)))
    config.rope_parameters = scaled
    made, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    if made.shape != factors.shape or not torch.allclose(own / made, factors, rtol=1e-3):
        raise no_such_rope(file)


def no_such_rope(file: Path) -> UnsupportedModel:
    return UnsupportedModel(
        f"{file} scales its rotary frequencies in another way than Llama 3 ({ROPE}), which transformers would ignore. "
        "Use the model's own safetensors."
    )


def rope_factors(file: Path) -> Any:
    """The divisor of each rotary frequency, or None if the file does not contain them."""
    import torch
    from gguf import GGUFReader

    found = [tensor for tensor in GGUFReader(file).tensors if tensor.name == ROPE]
    return torch.tensor(found[0].data).float() if found else None


def refuse_left_out(file: Path, model: Any) -> None:
    """Raise UnsupportedModel if the file contains more numbers than the model has, naming the tensors."""
    from gguf import GGUFReader

    from .checkpoint import shortened

    held = {tensor.name: int(tensor.n_elements) for tensor in GGUFReader(file).tensors if tensor.name != ROPE}
    # Parameters that are tied are one.
    has = sum(p.numel() for p in model.parameters())
    if sum(held.values()) != has:
        unused = left_out(held, model)
        unread = f" Tensors that are not used: {shortened(unused)}." if unused else ""
        raise UnsupportedModel(
            f"{file} contains {sum(held.values()):,} numbers, but the {type(model).__name__} that transformers makes "
            f"of it has {has:,}.{unread} Use the model's own safetensors."
        )


def left_out(held: dict[str, int], model: Any) -> set[str]:
    """The tensors of a file that no parameter has the name of, in the table of the GGUF package."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    kind = str(model.config.model_type)
    arch = next((a for a, n in MODEL_ARCH_NAMES.items() if n in (kind, kind.replace("_text", ""))), None)
    if arch is None:
        return set()
    table = get_tensor_name_map(arch, model.config.get_text_config().num_hidden_layers)
    named = {table.get_name(key, try_suffixes=(".weight", ".bias")) for key in model.state_dict()}
    return {name for name in held if name not in named}
