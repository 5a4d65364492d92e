"""The heads, layers and MLPs that a text names, under the names that experiments use: L7.H3, L7, L7.mlp.

People and language models write them in many ways: L7.H3, L7H3, head 7.3, head 3 of layer 7, layer seven, the MLP of
layer 7. A range of layers (layers 3 to 20) names no single layer, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_SPELLED = re.compile(rf"\b(layers?|blocks?|heads?)(\s+)({'|'.join(_SMALL)})\b(?!\s+by\b)", re.IGNORECASE)
_LIST = r"\d+(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s+or\s+)\d+)*"
_LAYER = r"(?:layer|block)"
_STRETCH = re.compile(rf"\b{_LAYER}s?\s+\d+\s*(?:-|–|to|through)\s*\d+", re.IGNORECASE)
_FORMS = re.compile(
    "|".join((
        # L7.H3, L7H3, A7.H3, l7h3
        r"\b[LA](?P<l1>\d+)[.\s]?H(?P<h1>\d+)\b",
        # heads 3 and 5 of layer 7, head 3 in layer 7
        rf"\bheads?\s+(?P<h2>{_LIST})\s*,?\s*(?:of|in|at|from)\s+(?:the\s+)?{_LAYER}\s+(?P<l2>\d+)\b",
        # layer 7's heads 3 and 5, layer 7, head 3
        rf"\b{_LAYER}\s+(?P<l3>\d+)(?:['’]s)?\s*,?\s*heads?\s+(?P<h3>{_LIST})",
        # head 7.3, head (7, 3)
        r"\bheads?\s+\(?(?P<l4>\d+)(?:\.|,\s?)(?P<h4>\d+)\)?",
        # L7.mlp, the MLP of layer 7, layer 7's MLP, MLP 7
        r"\bL(?P<m1>\d+)[.\s]?mlp\b",
        rf"\bMLP\s+(?:of|in|at)\s+(?:the\s+)?{_LAYER}\s+(?P<m2>\d+)\b",
        rf"\b{_LAYER}\s+(?P<m3>\d+)(?:['’]s)?\s+MLP\b",
        r"\bMLP\s+(?P<m4>\d+)\b",
        # layers 3, 4 and 7
        rf"\b{_LAYER}s?\s+(?P<layers>{_LIST})",
        r"\bL(?P<layer>\d+)\b(?!\.)",
    )),
    re.IGNORECASE,
)  # fmt: skip


def mentions(text: str) -> list[str]:
    """The parts that a text names, each once, in order."""
    plain = _SPELLED.sub(lambda found: f"{found[1]}{found[2]}{_SMALL.index(found[3].lower())}", text)
    plain = _STRETCH.sub(lambda found: " " * len(found[0]), plain)
    return list(dict.fromkeys(part for found in _FORMS.finditer(plain) for part in _parts(found)))


def _parts(found: re.Match[str]) -> Iterator[str]:
    named = {name: value for name, value in found.groupdict().items() if value is not None}
    for name, value in named.items():
        if name.startswith("h"):
            layer = int(named[f"l{name[1:]}"])
            yield from (f"L{layer}.H{int(head)}" for head in re.findall(r"\d+", value))
        elif name.startswith("m"):
            yield f"L{int(value)}.mlp"
        elif name in ("layers", "layer"):
            yield from (f"L{int(layer)}" for layer in re.findall(r"\d+", value))
