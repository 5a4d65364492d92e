"""Every architecture that is said to work, against plain hooks on the modules of transformers; the table of the docs.

The hooks know an architecture by the names of its modules alone: a head is its slice of the input of the attention's
output projection, a neuron is one input of the MLP's down projection, a skipped module adds nothing. One prompt at a
time, unpadded, one full forward pass each.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lashley.docs.make_architectures import outcome, table
from lashley.experiments.engine import run
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.selfcheck import Logits
from lashley.experiments.model.subject import Subject
from lashley.experiments.sites import Part, Site, check_site
from lashley.tests.architectures import ALL, TOO_LARGE, tiny_architecture
from lashley.tests.tiny import batch_of, tiny_tokenizer

# Names that modules have, in all architectures together.
MIXERS = (
    "self_attn",
    "attn",
    "attention",
    "self_attention",
    "linear_attn",
    "mamba",
    "conv",
    "mixer",
    "temporal_block",
    "mlstm_layer",
)
MLPS = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "shared_mlp", "moe", "mlp_block", "feedforward", "fc2")
OUT = ("o_proj", "out_proj", "dense", "c_proj", "wo", "Wo", "linear")
DOWN = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2", "output_linear", "dense", "proj_down", "Wo")
# The layer is all that can be told apart in these.
WHOLE = ("zamba", "zamba2", "inkling_text", "rwkv")
SAMPLE = ("qwen3_next", "nemotron_h", "granite", "granitemoehybrid", "bloom", "mpt", "falcon", "deepseek_v3",
          "llama4_text", "gemma4_unified_text", "gpt_bigcode", "glm4_moe", "zamba2", "falcon_h1",
          "deepseek_v32", "recurrent_gemma", "xlstm")  # fmt: skip
PROMPTS = [[5, 9, 31, 44, 12, 80, 7], [17, 3, 66, 21]]
WORKING = [kind for kind, line in table().items() if line.startswith("works")]


@cache
def subject_of(kind: str) -> Subject:
    return prepare(kind, tiny_architecture(kind), tiny_tokenizer(), "cpu")


def listed(kinds: Any) -> list[Any]:
    """A sample on CI, all of them in the long run."""
    return [kind if kind in SAMPLE else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]


def zeroed_after(first: int, last: int) -> Callable[..., Any]:
    def hook(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        out = out.clone()
        out[..., first:last] = 0
        return out

    return hook


def attention_of(layer: nn.Module) -> nn.Module:
    """The attention, which may stand beside another mixer (Falcon-H1) or deeper inside (Zamba)."""
    named = [(name.rpartition(".")[2], module) for name, module in layer.named_modules()]
    return next((m for name in MIXERS for have, m in named if have == name))


def child(layer: nn.Module, names: tuple[str, ...]) -> nn.Module:
    return next(module for name, module in layer.named_children() if name in names)


def projection(within: nn.Module, names: tuple[str, ...]) -> nn.Module:
    """The last one of such a name, or the module itself (OPT's MLP is no module of its own)."""
    found = [m for name, m in within.named_modules() if name.rpartition(".")[2] in names and not list(m.children())]
    return found[-1] if found else within


def added_nothing(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    """The output of a module that is skipped: 0, or the stream where the module adds it itself."""
    first = out[0] if isinstance(out, tuple) else out
    stream = kwargs.get("residual", args[1] if len(args) > 1 and isinstance(args[1], Tensor) else None)
    adds = stream is not None and type(module).__name__ in ("BloomAttention", "BloomMLP", "MptMLP")
    nothing = stream if adds else torch.zeros_like(first)
    return (nothing, *out[1:]) if isinstance(out, tuple) else nothing


def passed_by(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    x = next(v for v in (*args, *kwargs.values()) if isinstance(v, Tensor))
    return (x, *out[1:]) if isinstance(out, tuple) else x


def zeroed(first: int, last: int) -> Callable[..., Any]:
    def hook(_: nn.Module, args: tuple[Any, ...]) -> Any:
        h = args[0].clone()
        h[..., first:last] = 0
        return (h, *args[1:])

    return hook


def by_hand(kind: str, subject: Subject, site: Site, ids: Tensor) -> Tensor:
    """The model's own logits [position, vocabulary] with 0 at the site."""
    block = subject.anatomy.blocks[site.layer]
    layer = getattr(subject.anatomy.layers_parent, subject.anatomy.layers_name)[site.layer]
    with ExitStack() as stack:
        if site.part in ("z", "pattern", "neurons"):  # a head that attends to nothing gives nothing
            where = (
                projection(attention_of(layer), OUT)
                if site.part != "neurons"
                else projection(child(layer, (*MLPS, "mixer")), DOWN)
            )
            width = where.weight.shape[0 if "Conv1D" in type(where).__name__ else 1]  # type: ignore[union-attr]
            each = int(width) // (block.n_heads if site.part != "neurons" else int(width))  # type: ignore[arg-type]
            assert site.index is not None
            handle = where.register_forward_pre_hook(zeroed(site.index * each, (site.index + 1) * each))
            stack.callback(handle.remove)
        elif site.part in ("k", "v"):
            where = attention_of(layer).get_submodule(f"{site.part}_proj")
            assert site.index is not None
            each = int(where.weight.shape[0]) // block.n_kv_heads  # type: ignore[union-attr]
            handle = where.register_forward_hook(zeroed_after(site.index * each, (site.index + 1) * each))
            stack.callback(handle.remove)
        elif kind in WHOLE:
            stack.callback(layer.register_forward_hook(passed_by, with_kwargs=True).remove)
        else:
            there = {name for name, _ in layer.named_children()}
            names = MLPS if site.part == "mlp_out" and there & set(MLPS) else MIXERS
            for name, module in layer.named_children():
                if name in names:
                    stack.callback(module.register_forward_hook(added_nothing, with_kwargs=True).remove)
        with torch.no_grad():
            return subject.model(input_ids=ids, use_cache=False).logits[0]


def sites(subject: Subject) -> list[Site]:
    """All branches, the outermost heads and neurons of each layer; of heads in mixed layers their keys, values and
    patterns as well."""
    found: list[Site] = []
    for layer, block in enumerate(subject.anatomy.blocks):
        parts: list[Part] = [*(["attn_out"] if block.has_attn else []), *(["mlp_out"] if block.has_mlp else [])]  # type: ignore[list-item]
        found += [Site(layer=layer, part=part) for part in parts]
        counts = {"z": block.n_heads, "neurons": block.d_mlp}
        if not block.heads_alone:  # where another module stands beside the attention or around it
            counts |= {part: block.units(part) for part in ("k", "v", "pattern")}
        for part, n in counts.items():
            found += [Site(layer=layer, part=part, index=i) for i in sorted({0, n - 1} if n else set())]  # type: ignore[arg-type]
    return [check_site(site, subject.sizes) for site in found]


@pytest.mark.parametrize("kind", listed(WORKING))
def test_zero_at_every_kind_of_site_is_what_plain_hooks_make_of_it(kind: str) -> None:
    subject, batch = subject_of(kind), batch_of(PROMPTS)
    at = sites(subject)
    edits = [Intervention(name=str(s), edits=(Edit(site=s),)) for s in at]
    logits = run(subject, batch, edits, Logits())["logits"]
    for site, found in zip(at, logits, strict=True):
        for row, prompt in enumerate(PROMPTS):
            wanted = by_hand(kind, subject, site, torch.tensor([prompt]))
            apart = (found[row][batch.mask[row].bool()] - wanted).abs().max() / wanted.abs().max()
            assert float(apart) <= 2e-5, f"{kind} {site}: {float(apart):.1e}"


@pytest.mark.parametrize("kind", listed([kind for kind in ALL if kind not in TOO_LARGE]))
def test_the_table_says_what_happens(kind: str) -> None:
    assert table()[kind] == outcome(kind)
