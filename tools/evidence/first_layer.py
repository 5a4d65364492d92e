"""The first layer at which a profile over the layers passes a bound, or from which on it stays beyond it.

    first layer where effect < -0.1              effects of one kind of site, such as L0 to L29, on the first metric
    first layer where lead > 0                   on another metric; the same as effect[lead]
    first layer where effect at L*.mlp < -0.1    where the experiment has several kinds of site
    first layer from which lead > 0              it and every later layer pass

Where: the value is the first layer whose own value passes. The interval runs from the first layer whose interval
reaches beyond the bound to the first that is shown to pass it, in a test that corrects for all layers of the profile
(Bonferroni), since any of the layers before could pass by chance. If no layer is shown to pass, the interval ends one
layer after the last one. A layer that passes by noise makes this number early, and one near the bound makes its
interval wide.

From which: the value is the first layer from which on all values pass. For the end of the interval, the layers are
tested from the last one down, each at 2.5%, until one is not shown to pass; the end is the layer after that. To end too
early, the last layer that truly fails would have to be shown to pass, so nothing is corrected for. For the start, each
layer from the first on asks whether it or a later one is shown to fail, at 2.5% divided by the number of these layers;
the start is the first layer whose answer is no. Both ends hold together in 95% of cases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...db.records import Effect
from ...experiments.prediction import p_of_bound
from ..workbench.experiment_text import LAYER
from .term import NoQuantity, Term

ALPHA = 0.05
_NUMBER = r"[-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+−]?\d+)?"
_FORM = re.compile(
    r"\s*first\s+layer\s+(?P<how>where|from\s+which)\s+(?:effect(?:\[(?P<metric>[a-z]\w*)\])?|(?P<alone>(?!effect\b)[a-z]\w*))"
    rf"(?:\s+at\s+(?P<at>[^<>|{{}}]+?))?\s*(?P<sign>[<>])\s*(?P<bound>{_NUMBER})\s*"
)
START = re.compile(r"\s*first\s+layer\b")
EXAMPLE = "first layer where lead > 0"


class FirstLayer(Term):
    """`low` or `high` is the bound that the layer passes; `at` is the kind of site, with * for the layer; with `stays`,
    every later layer passes, too."""

    low: float | None = None
    high: float | None = None
    at: str | None = None
    stays: bool = False

    @property
    def text(self) -> str:
        of = f"effect[{self.metric}]" if self.metric else "effect"
        how = "from which" if self.stays else "where"
        return f"first layer {how} {of}{f' at {self.at}' if self.at else ''} {self.passes}"

    @property
    def passes(self) -> str:
        return f"< {self.high:g}" if self.low is None else f"> {self.low:g}"


def parse_first_layer(text: str) -> FirstLayer | None:
    """None for a text of another form."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    bound, over = float(form["bound"].replace("−", "-")), form["sign"] == ">"
    stays = form["how"] != "where"
    begins = f"first layer {'from which ' if stays else ''}"
    return FirstLayer(
        name=f"{begins}{form['sign']} {bound:g}", metric=form["metric"] or form["alone"], at=form["at"],
        low=bound if over else None, high=None if over else bound, stays=stays,
    )  # fmt: skip


def profile(term: FirstLayer, effects: Sequence[Effect]) -> dict[int, Effect]:
    """The effects on one metric by layer, in order. Raises NoQuantity unless they are one profile."""
    kinds: dict[str, dict[int, Effect]] = {}
    for effect in effects:
        if found := LAYER.match(effect.site):
            before, layer, after = found.groups()
            kinds.setdefault(f"{before}*{after}", {})[int(layer)] = effect
    # A lens also has one site before layer 0, which is no profile.
    kinds = {kind: rows for kind, rows in kinds.items() if len(rows) > 1} or kinds
    if term.at is None and len(kinds) > 1:
        there = ", ".join(kinds)
        raise NoQuantity(f"{term.text}: there are several kinds of site ({there}). Name one: at {next(iter(kinds))}.")
    rows = kinds.get(term.at or next(iter(kinds), ""))
    if not rows:
        there = f"It has {', '.join(kinds)}." if kinds else "It needs one effect for each layer."
        raise NoQuantity(
            f"{term.text}: no effects over the layers are there{f' at {term.at}' if term.at else ''}. {there}"
        )
    return dict(sorted(rows.items()))


def passing(term: FirstLayer, effects: Sequence[Effect]) -> dict[int, Effect]:
    """The layers of the profile whose own value passes the bound."""
    return {layer: one for layer, one in profile(term, effects).items() if _beyond(term, one.value)}


def of_first_layer(term: FirstLayer, effects: Sequence[Effect], questions: int | None) -> tuple[float, float, float]:
    """The layer and its interval, from the effects on one metric. Raises NoQuantity if no layer passes."""
    rows, bound = profile(term, effects), term.high if term.low is None else term.low
    assert bound is not None
    if term.stays:
        return _of_staying(term, rows, bound, questions)
    passed = [layer for layer, one in rows.items() if _beyond(term, one.value)]
    if not passed:
        nearest = (min if term.low is None else max)(rows.items(), key=lambda row: row[1].value)
        raise NoQuantity(f"{term.text}: no layer passes; the nearest is {nearest[1].value:.3g} at layer {nearest[0]}.")
    maybe = next(layer for layer, one in rows.items() if _beyond(term, one.low) or _beyond(term, one.high))
    shown = (
        layer for layer in passed
        if p_of_bound(rows[layer].value, rows[layer].low, rows[layer].high, bound, questions) * len(rows) < ALPHA
    )  # fmt: skip
    return float(passed[0]), float(maybe), float(next(shown, max(rows) + 1))


def _of_staying(
    term: FirstLayer, rows: dict[int, Effect], bound: float, questions: int | None
) -> tuple[float, float, float]:
    """Raises NoQuantity if the last layer does not pass."""
    layers, passes = list(rows), [_beyond(term, one.value) for one in rows.values()]
    if not passes[-1]:
        raise NoQuantity(
            f"{term.text}: the last layer does not pass ({rows[layers[-1]].value:.3g} at layer {layers[-1]}), so it "
            f"passes from no layer on. Use {term.model_copy(update={'stays': False}).text}."
        )
    # Two-sided, so each side has half of ALPHA.
    p = [p_of_bound(one.value, one.low, one.high, bound, questions) for one in rows.values()]
    count = len(layers)
    fails = [i for i in range(count) if not passes[i]]
    value = fails[-1] + 1 if fails else 0
    end = count
    while end > 0 and passes[end - 1] and p[end - 1] < ALPHA:
        end -= 1
    start = 0
    while any(p[i] * (count - start) < ALPHA for i in fails if i >= start):
        start += 1
    after = [*layers, layers[-1] + 1]
    return float(layers[value]), float(after[start]), float(after[end])


def _beyond(term: FirstLayer, value: float) -> bool:
    return (term.low is None or value > term.low) and (term.high is None or value < term.high)
