"""What `intervene` reads, as text: a metric, also of the logit lens after a layer ("logit_diff@L9"); the probability of
tokens ('prob " Paris" " Rome"'); the stream along a direction ('projection L7.resid_post@last on " Paris"'); `top`, the
tokens whose probability moves most; `text`, what the model writes."""

from __future__ import annotations

import re
from typing import Literal

from ..edit_lines import Direction, direction_of, unescaped
from ..errors import BadConfiguration
from ..metrics import is_distance, metrics
from ..result import Frozen

_LENS = re.compile(r"(\w+)@L(\d{1,5})")
_TOKENS = re.compile(r'prob((?:\s+"(?:[^"\\]|\\.)*")+)')
_PROJECTION = re.compile(r"projection\s+L(\d{1,5})\.(resid_pre|resid_post)(?:@(\S+))?\s+on\s+(\S.*)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Reading(Frozen):
    """A metric, read from the whole model or after `layer`; or the summed probability of `tokens`; or the stream after
    `layer` (-1: the embedding) at `position` along a direction; or top; or text."""

    what: Literal["metric", "prob", "projection", "top", "text"]
    text: str = ""
    metric: str = ""
    layer: int | None = None
    tokens: tuple[str, ...] = ()
    # Whether the stream is read before the next layer's own edits of its resid_pre.
    before: bool = False
    position: str = "last"
    along: Direction | None = None


def parse_reading(text: str, n_layers: int | None = None) -> Reading:
    """Raises BadConfiguration."""
    bare = text.strip()
    if bare in ("top", "text"):
        return Reading(what=bare)  # type: ignore[arg-type]
    if tokens := _TOKENS.fullmatch(bare):
        return Reading(what="prob", tokens=tuple(map(unescaped, _QUOTED.findall(tokens[1]))))
    if bare.split()[:1] == ["projection"]:
        return _projection(bare, n_layers)
    lens = _LENS.fullmatch(bare)
    name = lens[1] if lens else bare
    if name not in metrics():
        raise BadConfiguration(
            f"'{bare}' cannot be read. Write a metric ({', '.join(metrics())}), a metric after a layer "
            '(logit_diff@L9), prob " Paris", projection L7.resid_post@last on " Paris", top or text.'
        )
    if lens is None:
        return Reading(what="metric", metric=name)
    layer = int(lens[2])
    if is_distance(name):
        raise BadConfiguration(
            f"{name} is a distance from the final prediction. Read logit_diff or loss after a layer."
        )
    _require_layer(layer, n_layers)
    return Reading(what="metric", metric=name, layer=layer)


def _projection(text: str, n_layers: int | None) -> Reading:
    form = _PROJECTION.fullmatch(text)
    if form is None:
        raise BadConfiguration(
            f'\'{text}\' cannot be read. Write projection L7.resid_post@last on " Paris" - " Rome", or on answer - '
            "distractor."
        )
    layer, before = int(form[1]), form[2] == "resid_pre"
    _require_layer(layer, n_layers)
    quotes = _QUOTED.findall(form[4])
    along = direction_of(_QUOTED.sub(lambda _: "\0", form[4]), quotes, text)
    if along.runs == "corrupted - clean":
        raise BadConfiguration(f"'{text}': the stream can be read along tokens or answer - distractor.")
    return Reading(what="projection", text=text, layer=layer - before, before=before, position=form[3] or "last",
                   along=along)  # fmt: skip


def _require_layer(layer: int, n_layers: int | None) -> None:
    if n_layers is not None and layer >= n_layers:
        raise BadConfiguration(f"There is no layer {layer}. This model has {n_layers} layers, 0 to {n_layers - 1}.")
