"""Names of places in a model: `L7.H3` (a head's z; `L7.H3.z` is the same), `L7.attn`, `L7.mlp`, `L7.resid_pre`,
`L7.resid_post`, `L7.mlp.n512` (one neuron), `L7.K1` and `L7.V1` (keys and values of one KV head), `L7.H3.pattern`
(where a head attends). Layers and heads count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from .errors import BadConfiguration
from .result import Frozen

Part = Literal["resid_pre", "k", "v", "pattern", "z", "attn_out", "neurons", "mlp_out", "resid_post"]

# In the order in which a layer computes them; an edit touches nothing that comes before it.
ORDER: tuple[Part, ...] = ("resid_pre", "k", "v", "pattern", "z", "attn_out", "neurons", "mlp_out", "resid_post")
WORDS: dict[str, Part] = {
    "attn": "attn_out", "attn_out": "attn_out", "mlp": "mlp_out", "mlp_out": "mlp_out",
    "resid_pre": "resid_pre", "resid_post": "resid_post", "z": "z", "pattern": "pattern",
}  # fmt: skip
LETTERS: dict[str, Part] = {"H": "z", "K": "k", "V": "v", "n": "neurons"}
# What the index of a part counts, and the size that says how many there are.
COUNTED: dict[str, tuple[str, str]] = {
    "pattern": ("head", "n_heads"), "z": ("head", "n_heads"), "k": ("KV head", "n_kv_heads"),
    "v": ("KV head", "n_kv_heads"), "neurons": ("neuron", "d_mlp"),
}  # fmt: skip
# What a layer of a hybrid may lack altogether, and the size that says so.
BRANCHES = {"attn_out": ("attention", "attn"), "mlp_out": ("MLP", "mlp")}
PATTERN = re.compile(r"^L(\d{1,9})\.(?:H(\d{1,9})\.(pattern|z)|(H|K|V)(\d{1,9})|mlp\.(n)(\d{1,9})|([a-z_]+))$")

# What people write instead: 20.8, L20H8, l20.h8, 20:8.
NEARLY = re.compile(r"^L?(\d{1,9})[.:,/ ]*(?:(?<=\D)|H)(\d{1,9})$", re.IGNORECASE)


class Site(Frozen):
    """One place: a layer, a part of it, and (for heads, KV heads and neurons) which one.

    A pattern holds, for each query, the weights of all keys; the positions of an edit there are queries.
    """

    layer: int
    part: Part
    index: int | None = None

    def __str__(self) -> str:
        if self.index is None:
            return f"L{self.layer}.{ {'attn_out': 'attn', 'mlp_out': 'mlp'}.get(self.part, self.part) }"
        if self.part == "pattern":
            return f"L{self.layer}.H{self.index}.pattern"
        letter = {"z": "H", "k": "K", "v": "V", "neurons": "mlp.n"}[self.part]
        return f"L{self.layer}.{letter}{self.index}"


def head(layer: int, index: int) -> Site:
    return Site(layer=layer, part="z", index=index)


def parse_site(text: str, part: Part = "z") -> Site:
    """'L7.H3' -> Site. Raises BadConfiguration with the forms that exist, or, for two numbers, with that of a head (or
    a neuron, where `part` says so)."""
    match = PATTERN.match(text.strip())
    if match:
        layer = int(match[1])
        if match[2]:
            return Site(layer=layer, part=WORDS[match[3]], index=int(match[2]))
        if match[4]:
            return Site(layer=layer, part=LETTERS[match[4]], index=int(match[5]))
        if match[6]:
            return Site(layer=layer, part="neurons", index=int(match[7]))
        if match[8] in WORDS:
            return Site(layer=layer, part=WORDS[match[8]])
    if nearly := NEARLY.match(text.strip()):
        raise BadConfiguration(
            f"'{text}' names no site. Write {Site(layer=int(nearly[1]), part=part, index=int(nearly[2]))}."
        )
    raise BadConfiguration(
        f"'{text}' names no site. Write L7.H3 (layer 7, head 3), L7.attn, L7.mlp, L7.resid_pre, L7.resid_post, "
        "L7.mlp.n512, L7.K1, L7.V1 or L7.H3.pattern; layers and heads count from 0."
    )


def named_heads(names: Sequence[str], sizes: Mapping[str, int]) -> list[Site]:
    """Heads by their names, each once. Raises BadConfiguration for what is no head, or none of this model."""
    return named(names, "z", sizes)


def named(names: Sequence[str], part: Literal["z", "neurons"], sizes: Mapping[str, int]) -> list[Site]:
    """Heads or neurons by their names, each once. Raises BadConfiguration for what is none, or not of this model."""
    what, example = ("head", "L7.H3") if part == "z" else ("neuron", "L7.mlp.n512")
    found = [parse_site(name, part) for name in names]
    for site in found:
        if site.part != part or site.index is None:
            raise BadConfiguration(f"{site} is no {what}; write for example {example}.")
        check_site(site, sizes)
    if not found or len(set(found)) < len(found):
        raise BadConfiguration(f"{what}s must name at least one {what}, and each of them once.")
    return found


def count(part: str, layer: int, sizes: Mapping[str, int]) -> int:
    """How many heads, KV heads or neurons a layer has; of the other parts 1, or 0 where the layer lacks it."""
    name = COUNTED[part][1] if part in COUNTED else BRANCHES.get(part, ("", ""))[1]
    usual = sizes[name] if part in COUNTED else 1
    return sizes.get(f"L{layer}.{name}", usual)


def sites_of(part: Part, sizes: Mapping[str, int], layers: Sequence[int] | None = None) -> list[Site]:
    """All places of a part, layer by layer, each head or neuron where it has these.

    Of the layers that have it, or of those named. Raises BadConfiguration where one that is named has none, or all."""
    chosen = range(sizes["n_layers"]) if layers is None else sorted(set(layers))
    found: list[Site] = []
    for layer in chosen:
        if layers is not None:
            check_site(Site(layer=layer, part=part), sizes)
        units = range(count(part, layer, sizes)) if part in COUNTED else [None][: count(part, layer, sizes)]
        found += [Site(layer=layer, part=part, index=unit) for unit in units]
    if not found and chosen:
        check_site(Site(layer=chosen[0], part=part), sizes)
    return found


def lacking(part: str, layer: int, sizes: Mapping[str, int]) -> BadConfiguration:
    """The error that a layer does not have a part, with the layers that have it."""
    what = (COUNTED | BRANCHES)[part][0]
    there = [other for other in range(sizes["n_layers"]) if count(part, other, sizes)]
    whole = {"neurons": "mlp", "mlp_out": "attn", "attn_out": "mlp"}.get(part, "attn")
    instead = f"L{layer}.{whole}" if whole != "mlp" or count("mlp_out", layer, sizes) else f"L{layer}.resid_post"
    why = {
        "neurons": "its MLP is a mixture of experts, feeds another module of the layer, or is not there",
        "mlp_out": "all it adds to the stream comes from its mixer",
        "attn_out": "it mixes no tokens",
    }.get(part, "what mixes its tokens is not, or not only, an attention with heads")
    if not there:
        return BadConfiguration(
            f"No layer of this model has {'an' if what == 'MLP' else 'a'} {what}: in each, {why}. Use the whole "
            f"({instead}) instead."
        )
    many = f"{what}s" if part in COUNTED else what
    return BadConfiguration(
        f"Layer {layer} has no {many} ({why}); the layers that have {'one' if part in BRANCHES else 'some'}: "
        f"{', '.join(map(str, there))}. {instead} is all of it."
    )


def part_width(part: str, sizes: dict[str, int], length: int) -> int:
    """How many numbers a part has at one position of prompts of `length` columns."""
    if part == "pattern":
        return sizes["n_heads"] * length
    if part in ("z", "k", "v"):
        d_head = sizes["d_head"] if part == "z" else sizes.get("d_kv", sizes["d_head"])
        return sizes[COUNTED[part][1]] * d_head
    return sizes["d_mlp" if part == "neurons" else "d_model"]


def check_site(site: Site, sizes: Mapping[str, int]) -> Site:
    """Raise BadConfiguration where the model (n_layers, n_heads, n_kv_heads, d_mlp) has no such site."""
    if site.layer >= sizes["n_layers"]:
        raise BadConfiguration(
            f"There is no layer {site.layer}: this model has {sizes['n_layers']} layers, 0 to {sizes['n_layers'] - 1}."
        )
    there = count(site.part, site.layer, sizes) if site.part not in COUNTED or COUNTED[site.part][1] in sizes else 1
    if not there:
        raise lacking(site.part, site.layer, sizes)
    if site.index is not None and site.index >= there:
        what, size = COUNTED[site.part]
        which = "each layer" if f"L{site.layer}.{size}" not in sizes else "this layer"
        raise BadConfiguration(f"There is no {what} {site.index} in {site}: {which} has {there}, 0 to {there - 1}.")
    return site
