"""Names of places in a model: `L7.H3` (a head's z), `L7.attn`, `L7.mlp`, `L7.resid_pre`, `L7.resid_post`,
`L7.mlp.n512` (one neuron), `L7.K1` and `L7.V1` (keys and values of one KV head), `L7.H3.pattern` (where a head
attends). Layers and heads count from 0.
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
PATTERN = re.compile(r"^L(\d{1,9})\.(?:H(\d{1,9})\.(pattern)|(H|K|V)(\d{1,9})|mlp\.(n)(\d{1,9})|([a-z_]+))$")


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


def parse_site(text: str) -> Site:
    """'L7.H3' -> Site. Raises BadConfiguration with the forms that exist."""
    match = PATTERN.match(text.strip())
    if match:
        layer = int(match[1])
        if match[2]:
            return Site(layer=layer, part="pattern", index=int(match[2]))
        if match[4]:
            return Site(layer=layer, part=LETTERS[match[4]], index=int(match[5]))
        if match[6]:
            return Site(layer=layer, part="neurons", index=int(match[7]))
        if match[8] in WORDS:
            return Site(layer=layer, part=WORDS[match[8]])
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
    found = [parse_site(name) for name in names]
    for site in found:
        if site.part != part or site.index is None:
            raise BadConfiguration(f"{site} is no {what}; write for example {example}.")
        check_site(site, sizes)
    if not found or len(set(found)) < len(found):
        raise BadConfiguration(f"{what}s must name at least one {what}, and each of them once.")
    return found


def part_width(part: str, sizes: dict[str, int], length: int) -> int:
    """How many numbers a part has at one position of prompts of `length` columns."""
    if part == "pattern":
        return sizes["n_heads"] * length
    if part in ("z", "k", "v"):
        return sizes[COUNTED[part][1]] * sizes["d_head"]
    return sizes["d_mlp" if part == "neurons" else "d_model"]


def check_site(site: Site, sizes: Mapping[str, int]) -> Site:
    """Raise BadConfiguration where the model (n_layers, n_heads, n_kv_heads, d_mlp) has no such site."""
    if site.layer >= sizes["n_layers"]:
        raise BadConfiguration(
            f"There is no layer {site.layer}: this model has {sizes['n_layers']} layers, 0 to {sizes['n_layers'] - 1}."
        )
    if site.index is not None:
        what, count = COUNTED[site.part]
        if site.index >= sizes[count]:
            raise BadConfiguration(
                f"There is no {what} {site.index} in {site}: each layer has {sizes[count]}, 0 to {sizes[count] - 1}."
            )
    return site
