"""Ablate MLP neurons, one at a time or together, and measure what the answer loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.ablation import Ablation, Screened, chosen_layers
from ..metrics import require_slope, unit_of
from ..questions import WHICH_PARTS
from ..result import Effect, Figure, Note
from ..sites import Part, Site

if TYPE_CHECKING:
    from ..interventions import Intervention
    from ..lab import Lab
    from ..tasks.task import Task

NAMED = 200


class NeuronAblation(Ablation):
    """Which MLP neurons does the model need for the task? Finds them by gradients, removes them, measures the change.

    By default all neurons (of `layers`, or of all) are estimated at once by gradients on other explore prompts; the
    strongest `verify` and 8 others drawn at random are then removed on these prompts, one at a time, exactly:
    effect[L7.mlp.n512] with interval, p, q, and its percentile among 20 random neurons of the same layers. With
    `neurons` only these, one at a time, or `together` as one set, with text for accuracy_drop and 20 random sets as
    control (excess: the damage beyond their mean). A single neuron seldom matters: answers are spread over many, and
    gradients miss neurons that are saturated or backed up by others (screen_agreement says how far to trust them), so
    also remove the strongest together. A neuron that matters here may matter for any text: compare with another task.
    Cost: two passes and about fifty runs.
    """

    kind: ClassVar[str] = "neuron_ablation"
    question: ClassVar[str] = WHICH_PARTS
    part: ClassVar[Part] = "neurons"
    parts: ClassVar[str] = "neurons"

    neurons: Annotated[
        list[str] | None, Field(description="Neurons such as L7.mlp.n512, at most 200. Null: the strongest are found.")
    ] = None
    layers: Annotated[list[int] | None, Field(description="Look only in these layers. Null: all.")] = None
    verify: Annotated[int, Field(ge=1, le=500, description="How many of the strongest to remove.")] = 24

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.neurons is None and self.together:
            raise BadConfiguration("Name the neurons to remove together; a run without together finds them.")
        if self.neurons is None:
            require_slope(self.metric, "name the neurons")

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        from ..sites import named, sites_of

        if self.neurons is not None and self.layers is not None:
            raise BadConfiguration("Give neurons or layers, not both.")
        if not sizes["d_mlp"]:
            raise BadConfiguration("This model's MLPs have no neurons that can be found. Use mlp_ablation.")
        if self.neurons is not None:
            if len(self.neurons) > NAMED:
                raise BadConfiguration(f"{len(self.neurons)} neurons are too many. Name at most {NAMED}.")
            return named(self.neurons, "neurons", sizes)
        return sites_of(self.part, sizes, None if self.layers is None else chosen_layers(self.layers, sizes))

    @property
    def strongest(self) -> int:
        return self.verify

    def screen(self, lab: Lab, sites: list[Site]) -> tuple[Screened | None, tuple[Note, ...]]:
        import numpy as np

        from ..methods import pruning
        from ..methods.ablation import estimates
        from ..statistics import screening

        if self.neurons is not None or self.verify >= len(sites):
            return None, ()
        # Found on other prompts, so the measured neurons were not selected for their effect here.
        other, draw = pruning.search_lab(lab, self.draw)
        layers = sorted({s.layer for s in sites})
        found, notes = estimates(other, draw, self.part, layers, self.method, self.metric)
        guesses = np.concatenate([found[layer].T for layer in layers])
        order = screening.chosen(guesses, self.verify, self.seed)
        return Screened(order, guesses[order], "by gradients on other prompts", family=0), notes

    def others(self, lab: Lab, measured: list[Site], screened: Screened | None) -> list[Intervention]:
        from ..statistics.random_sets import DRAWS

        return self.single_others(lab, measured, self.controls - (len(measured) - 1) if screened is None else DRAWS)

    def drawings(self, lab: Lab, found: tuple[Effect, ...], screened: Screened | None) -> tuple[Figure, ...]:
        about, unit = f"{lab.subject.name}, {self.task}", unit_of(self.metric)
        ranked = sorted(found, key=lambda e: -abs(e.value))[:24]
        bars = {"labels": [e.site for e in ranked], "values": [e.value for e in ranked],
                "low": [e.low for e in ranked], "high": [e.high for e in ranked]}  # fmt: skip
        title = f"Change of {self.metric} when a neuron is removed ({self.method}): {about}"
        drawn = Figure(name="neurons", kind="layer_bars", title=title, unit=unit, n=self.n, data=bars)
        if screened is None:
            return (drawn,)
        groups = ["strongest" if i < self.verify else "drawn at random" for i in range(len(found))]
        points = {"x": screened.guesses.mean(-1).tolist(), "y": [e.value for e in found],
                  "labels": [e.site for e in found], "groups": groups,
                  "x_label": "estimated by gradients on other prompts", "y_label": "measured"}  # fmt: skip
        title = f"Estimated and measured change of {self.metric} by neurons: {about}"
        return drawn, Figure(name="agreement", kind="scatter", title=title, unit=unit, n=self.n, data=points)
