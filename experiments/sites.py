"""Names of sites in a model: `L7.H3` (a head's z; `L7.H3.z` is the same), `L7.attn`, `L7.mlp`, `L7.resid_pre`,
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

# In the order in which a layer computes them; an edit changes nothing before it.
ORDER: tuple[Part, ...] = ("resid_pre", "k", "v", "pattern", "z", "attn_out", "neurons", "mlp_out", "resid_post")
WORDS: dict[str, Part] = {
    "attn": "attn_out", "attn_out": "attn_out", "mlp": "mlp_out", "mlp_out": "mlp_out",
    "resid_pre": "resid_pre", "resid_post": "resid_post", "z": "z", "pattern": "pattern",
}  # fmt: skip
LETTERS: dict[str, Part] = {"H": "z", "K": "k", "V": "v", "n": "neurons"}
# What the index of a part counts, and the size with their number.
COUNTED: dict[str, tuple[str, str]] = {
    "pattern": ("head", "n_heads"), "z": ("head", "n_heads"), "k": ("KV head", "n_kv_heads"),
    "v": ("KV head", "n_kv_heads"), "neurons": ("neuron", "d_mlp"),
}  # fmt: skip
# The parts that a layer of a hybrid model may lack, and the size that says so.
BRANCHES = {"attn_out": ("attention", "attn"), "mlp_out": ("MLP", "mlp")}
PATTERN = re.compile(r"^L(\d{1,9})\.(?:H(\d{1,9})\.(pattern|z)|(H|K|V)(\d{1,9})|mlp\.(n)(\d{1,9})|([a-z_]+))$")

# Other common notations: 20.8, L20H8, l20.h8, 20:8.
NEARLY = re.compile(r"^L?(\d{1,9})[.:,/ ]*(?:(?<=\D)|H)(\d{1,9})$", re.IGNORECASE)


class Site(Frozen):
    """One site: a layer, a part of it, and (for heads, KV heads and neurons) an index.

    A pattern contains, for each query, the weights of all keys; the positions of an edit there are queries.
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
    """'L7.H3' -> Site. Raises BadConfiguration that lists the valid forms, or, for two numbers, gives the form of a
    head (or of a neuron, by `part`)."""
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
            f"'{text}' is not a site. Write {Site(layer=int(nearly[1]), part=part, index=int(nearly[2]))}."
        )
    raise BadConfiguration(
        f"'{text}' is not a site. Write L7.H3 (layer 7, head 3), L7.attn, L7.mlp, L7.resid_pre, L7.resid_post, "
        "L7.mlp.n512, L7.K1, L7.V1 or L7.H3.pattern; layers and heads count from 0."
    )


def named_heads(names: Sequence[str], sizes: Mapping[str, int]) -> list[Site]:
    """Heads by name, each once. Raises BadConfiguration for a name that is not a head of this model."""
    return named(names, "z", sizes)


def named(names: Sequence[str], part: Literal["z", "neurons"], sizes: Mapping[str, int]) -> list[Site]:
    """Heads or neurons by name, each once. Raises BadConfiguration for a name that is not one of this model."""
    what, example = ("head", "L7.H3") if part == "z" else ("neuron", "L7.mlp.n512")
    found = [parse_site(name, part) for name in names]
    for site in found:
        if site.part != part or site.index is None:
            raise BadConfiguration(f"{site} is not a {what}. Write it as {example}.")
        check_site(site, sizes)
    if not found or len(set(found)) < len(found):
        raise BadConfiguration(f"{what}s must name at least one {what}, each once.")
    return found


def count(part: str, layer: int, sizes: Mapping[str, int]) -> int:
    """The number of heads, KV heads or neurons of a layer; for other parts 1, or 0 if the layer lacks the part."""
    name = COUNTED[part][1] if part in COUNTED else BRANCHES.get(part, ("", ""))[1]
    usual = sizes[name] if part in COUNTED else 1
    return sizes.get(f"L{layer}.{name}", usual)


def sites_of(part: Part, sizes: Mapping[str, int], layers: Sequence[int] | None = None) -> list[Site]:
    """All sites of a part, layer by layer; each head or neuron, if the part has them.

    Includes all layers that have the part, or `layers`. Raises BadConfiguration if a named layer, or every layer, lacks
    it."""
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


def sites_or_layers(
    sites: Sequence[str] | None, part: Part, layers: Sequence[int] | None, sizes: Mapping[str, int]
) -> list[Site]:
    """The named sites, or without any those of a part, in all layers or some. Raises BadConfiguration for both, for
    none, and for a site that does not exist."""
    if sites is None:
        if layers is not None and not layers:
            raise BadConfiguration("layers is empty. Use null for all.")
        return sites_of(part, sizes, layers)
    if layers is not None:
        raise BadConfiguration("Give sites or layers, not both.")
    found = [check_site(parse_site(text), sizes) for text in sites]
    if not found or len(set(found)) < len(found):
        raise BadConfiguration("sites must name at least one site, each once.")
    return found


def lacking(part: str, layer: int, sizes: Mapping[str, int]) -> BadConfiguration:
    """The error for a layer without a part; names the layers that have it."""
    what = (COUNTED | BRANCHES)[part][0]
    there = [other for other in range(sizes["n_layers"]) if count(part, other, sizes)]
    whole = {"neurons": "mlp", "mlp_out": "attn", "attn_out": "mlp"}.get(part, "attn")
    instead = f"L{layer}.{whole}" if whole != "mlp" or count("mlp_out", layer, sizes) else f"L{layer}.resid_post"
    why = {
        "neurons": "its MLP is a mixture of experts, feeds another module of the layer, or is missing",
        "mlp_out": "its mixer writes everything that it adds to the stream",
        "attn_out": "it mixes no tokens",
    }.get(part, "its token mixer is not, or not only, attention with heads")
    if not there:
        return BadConfiguration(
            f"No layer of this model has {'an' if what == 'MLP' else 'a'} {what}: in each, {why}. Use the whole "
            f"({instead}) instead."
        )
    many = f"{what}s" if part in COUNTED else what
    return BadConfiguration(
        f"Layer {layer} has no {many} ({why}). Layers with {'one' if part in BRANCHES else 'some'}: "
        f"{', '.join(map(str, there))}. Or use {instead}, the whole output."
    )


def part_width(part: str, sizes: dict[str, int], length: int) -> int:
    """How many numbers a part has at one position, for prompts of `length` columns."""
    if part == "pattern":
        return sizes["n_heads"] * length
    if part in ("z", "k", "v"):
        d_head = sizes["d_head"] if part == "z" else sizes.get("d_kv", sizes["d_head"])
        return sizes[COUNTED[part][1]] * d_head
    return sizes["d_mlp" if part == "neurons" else "d_model"]


def check_site(site: Site, sizes: Mapping[str, int]) -> Site:
    """Raises BadConfiguration if the model (n_layers, n_heads, n_kv_heads, d_mlp) has no such site."""
    if site.layer >= sizes["n_layers"]:
        raise BadConfiguration(
            f"There is no layer {site.layer}. This model has {sizes['n_layers']} layers, 0 to {sizes['n_layers'] - 1}."
        )
    there = count(site.part, site.layer, sizes) if site.part not in COUNTED or COUNTED[site.part][1] in sizes else 1
    if not there:
        raise lacking(site.part, site.layer, sizes)
    if site.index is not None and site.index >= there:
        what, size = COUNTED[site.part]
        which = "Each layer" if f"L{site.layer}.{size}" not in sizes else "This layer"
        raise BadConfiguration(f"There is no {what} {site.index} in {site}. {which} has {there}, 0 to {there - 1}.")
    return site
