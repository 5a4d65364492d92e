"""What `intervene` reads, as text: a metric, also of the logit lens after a layer ("logit_diff@L9"); the probability of
tokens ('prob " Paris" " Rome"'); `top`, the tokens whose probability moves most; `text`, what the model writes."""

from __future__ import annotations

import re
from typing import Literal

from ..edit_lines import unescaped
from ..errors import BadConfiguration
from ..metrics import is_distance, metrics
from ..result import Frozen

_LENS = re.compile(r"(\w+)@L(\d{1,5})")
_TOKENS = re.compile(r'prob((?:\s+"(?:[^"\\]|\\.)*")+)')
_ONE = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Reading(Frozen):
    """A metric, read from the whole model or after `layer`; or the summed probability of `tokens`; or top; or text."""

    what: Literal["metric", "prob", "top", "text"]
    metric: str = ""
    layer: int | None = None
    tokens: tuple[str, ...] = ()


def parse_reading(text: str, n_layers: int | None = None) -> Reading:
    """Raises BadConfiguration."""
    bare = text.strip()
    if bare in ("top", "text"):
        return Reading(what=bare)  # type: ignore[arg-type]
    if tokens := _TOKENS.fullmatch(bare):
        return Reading(what="prob", tokens=tuple(map(unescaped, _ONE.findall(tokens[1]))))
    lens = _LENS.fullmatch(bare)
    name = lens[1] if lens else bare
    if name not in metrics():
        raise BadConfiguration(f"'{bare}' cannot be read. Write a metric ({', '.join(metrics())}), a metric after a "
                               'layer (logit_diff@L9), prob " Paris", top or text.')  # fmt: skip
    if lens is None:
        return Reading(what="metric", metric=name)
    layer = int(lens[2])
    if is_distance(name):
        raise BadConfiguration(
            f"{name} is a distance from the final prediction. Read logit_diff or loss after a layer."
        )
    if n_layers is not None and layer >= n_layers:
        raise BadConfiguration(f"There is no layer {layer}. This model has {n_layers} layers, 0 to {n_layers - 1}.")
    return Reading(what="metric", metric=name, layer=layer)
