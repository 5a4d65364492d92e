"""Ablate MLPs, one at a time or together, and measure what the answer loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..methods.ablation import Ablation, Screened, chosen_layers
from ..metrics import unit_of
from ..questions import WHICH_PARTS
from ..result import Effect, Figure
from ..sites import Part, Site, sites_of

if TYPE_CHECKING:
    from ..lab import Lab


class MlpAblation(Ablation):
    """Which layers' MLPs does the model need for the task? Removes MLPs and measures the paired change.

    By default a sweep: the MLP of each layer by itself (effect[L7.mlp]), with interval, p, q and its percentile among
    the others. With `together` the MLPs of `layers` are removed as one set; text is generated for accuracy_drop, and 20
    random sets of as many MLPs in nearby layers are the control (excess: the damage beyond their mean). A negative
    logit_diff change means that the MLP helped. The first MLP nearly always looks vital, above all with zero: it
    converts tokens into what all later layers read, whatever the task; so compare with another task, and with mean and
    resample. An MLP can be needed only to keep the stream in its usual range. For its neurons use neuron_ablation.
    Cheap: a run per layer.
    """

    kind: ClassVar[str] = "mlp_ablation"
    question: ClassVar[str] = WHICH_PARTS
    part: ClassVar[Part] = "mlp_out"
    parts: ClassVar[str] = "MLPs"

    layers: Annotated[list[int] | None, Field(description="The MLPs of these layers. Null: all.")] = None

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        return sites_of(self.part, sizes, None if self.layers is None else chosen_layers(self.layers, sizes))

    def drawings(self, lab: Lab, found: tuple[Effect, ...], screened: Screened | None) -> tuple[Figure, ...]:
        from ..sites import parse_site

        title = f"Change of {self.metric} when an MLP is removed ({self.method}): {lab.subject.name}, {self.task}"
        data = {"labels": [str(parse_site(e.site).layer) for e in found], "values": [e.value for e in found],
                "low": [e.low for e in found], "high": [e.high for e in found]}  # fmt: skip
        return (Figure(name="mlps", kind="layer_bars", title=title, unit=unit_of(self.metric), n=self.n, data=data),)
