"""What a change means to the autopilot: its whole interval against a bound that was said beforehand.

That an effect is not significant shows nothing: the prompts may be too few. So there are three answers. A part is
needed when its removal does more damage than the bound and q < 0.05; it can be spared when the whole interval
lies within the bound, on both sides of zero; anything else is undecided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...tools.claims.standard import NATS, part_of

Data = dict[str, Any]
Judgement = Literal["needed", "spare", "undecided"]

Q = 0.05
LOST = 0.5  # with less than this share of the intact metric left, the task is lost


@dataclass(frozen=True)
class Yardstick:
    """What damage is measured in, and the bound under which a change counts as none."""

    metric: Literal["loss", "logit_diff"]
    bound: float

    @property
    def words(self) -> str:
        """The bound for a hypothesis: "0.1 nats of loss"."""
        if self.metric == "loss":
            return f"{self.bound:.2g} nats of loss"
        return f"{self.bound:.2g} logits, a tenth of the intact logit difference"

    @property
    def within(self) -> str:
        """The range of no change, for a hypothesis."""
        unit = "nats of loss" if self.metric == "loss" else "logits, a tenth of the intact logit difference"
        return f"between -{self.bound:.2g} and {self.bound:.2g} {unit}"

    @property
    def said(self) -> str:
        """The bound for a report, in which no number is typed."""
        return "a tenth of a nat of loss" if self.metric == "loss" else "a tenth of the intact logit difference"

    @property
    def noun(self) -> str:
        return "loss" if self.metric == "loss" else "logit difference"

    @property
    def measured(self) -> str:
        """The measurement of an experiment on one set of parts that holds its effect."""
        return "loss_increase" if self.metric == "loss" else "logit_diff_change"

    def harmful(self, quantity: str | None = None) -> Data:
        """The prediction of damage beyond the bound, in the quantity (or in what is measured of a set)."""
        if self.metric == "loss":
            return {"comparison": "above", "quantity": quantity or self.measured, "low": self.bound}
        return {"comparison": "below", "quantity": quantity or self.measured, "high": -self.bound}

    def not_harmful(self, quantity: str | None = None) -> Data:
        """The prediction of less damage than the bound: the opposite of `harmful`."""
        if self.metric == "loss":
            return {"comparison": "below", "quantity": quantity or self.measured, "high": self.bound}
        return {"comparison": "above", "quantity": quantity or self.measured, "low": -self.bound}

    def harmless(self, quantity: str | None = None) -> Data:
        """The prediction of a change within the bound."""
        bounds = {"low": -self.bound, "high": self.bound}
        return {"comparison": "between", "quantity": quantity or self.measured, **bounds}

    def damage(self, effect: Data) -> tuple[float, float, float]:
        """The change and its interval, with its sign such that more is worse."""
        if self.metric == "loss":
            return effect["value"], effect["low"], effect["high"]
        return -effect["value"], -effect["high"], -effect["low"]

    def judge(self, effect: Data) -> Judgement:
        value, low, high = self.damage(effect)
        if -self.bound < low and high < self.bound:
            return "spare"
        return "needed" if value > self.bound and effect["q"] is not None and effect["q"] < Q else "undecided"

    def promising(self, effect: Data) -> bool:
        """Worth a test on other prompts: more damage than the bound, and an interval that does not reach zero."""
        value, low, _ = self.damage(effect)
        return value > self.bound and low > 0

    def sorted(self, found: Data) -> list[Data]:
        """The effects, the most damaging first."""
        return sorted(found["effects"], key=lambda e: -self.damage(e)[0])


LAYERS = Yardstick("loss", NATS)


def yardstick_for_heads(baseline: Data) -> Yardstick:
    """A tenth of the intact logit difference; the loss where there is none, or none to speak of.

    Its interval decides, and not the share of prompts where the answer is preferred: of a few questions that share
    shows little, while the subject says the answer and the difference is far from zero.
    """
    difference = baseline["measurements"].get("logit_diff")
    if difference is None or difference["low"] <= 0:
        return LAYERS
    return Yardstick("logit_diff", part_of(difference["value"]))


def judged(yardstick: Yardstick, effects: Iterable[Data]) -> dict[Judgement, list[str]]:
    """The sites of the effects by what they are judged to be."""
    found: dict[Judgement, list[str]] = {"needed": [], "spare": [], "undecided": []}
    for effect in effects:
        found[yardstick.judge(effect)].append(effect["site"])
    return found


def listing(words: Sequence[str], none: str = "none") -> str:
    """ "a, b and c"."""
    if len(words) < 2:
        return words[0] if words else none
    return f"{', '.join(words[:-1])} and {words[-1]}"


def numbers(layers: Iterable[int]) -> str:
    """Layers in order, runs as ranges: "0-2, 5 and 7-9"."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return listing([str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs])


def layers_named(layers: Iterable[int]) -> str:
    layers = list(layers)
    return f"layer{'s' * (len(layers) != 1)} {numbers(layers)}"


def heads_named(heads: Sequence[str]) -> str:
    """ "the head L0.H1", "the heads L0.H1 and L2.H3"."""
    return f"the head{'s' * (len(heads) != 1)} {listing(heads)}"


def layer_of(effect: Data) -> int:
    return int(effect["site"].split("L")[-1])


def without(layer: int, n_layers: int) -> str:
    """The layer program that leaves one layer out."""
    pieces = [f"0-{layer - 1}" if layer > 1 else "0"] if layer else []
    if layer < n_layers - 1:
        pieces.append(f"{layer + 1}-{n_layers - 1}" if layer < n_layers - 2 else str(n_layers - 1))
    return ", ".join(pieces)
