"""Remove more and more parts, least important first, and compare with random orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..methods.control_pool import BEFORE, ControlPool
from ..methods.removal import Parts, Removed
from ..metrics import AnyMetric, metrics, require_slope
from ..questions import WHICH_PARTS
from ..result import Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..tasks.prompt import Split
    from ..tasks.task import Task


class PruningCurve(Experiment):
    """How much of the model can go before the task suffers? Removes heads, MLPs or layers, the weakest first.

    The order is found on other explore prompts than the measured ones: by what removing each part alone costs
    (`ablation`), or by gradients (`attribution`, heads only, much cheaper, misses heads of early layers). With `first`
    strongest it shows how few removals break the task. Compares with `draws` random orders, which have parts of the
    same layers at the same places; their middle 95% is a band. spared is how much less damage the order does, averaged
    over the curve; better_than_random is the share of random orders that it beats. Read a point as
    effect[weakest 54 of 270]. Misleads if parts back each other up: each is harmless alone, but they are removed
    together. For a set that is just large enough use minimal_set. Cost: a sweep to rank, then about ten runs for each
    order.
    """

    kind: ClassVar[str] = "pruning_curve"
    question: ClassVar[str] = WHICH_PARTS
    aspect: ClassVar[str] = "together"
    before: ClassVar[Mapping[str, Any]] = BEFORE

    parts: Annotated[Parts, Field(description="Parts to remove. A layer is its attention and its MLP.")] = "heads"
    layers: Annotated[list[int] | None, Field(description="Only parts of these layers. Null: all.")] = None
    ranking: Annotated[
        Literal["ablation", "attribution"],
        Field(
            description="How to find the order: remove each part by itself, or all at once by gradients (heads only)."
        ),
    ] = "ablation"
    first: Annotated[Literal["weakest", "strongest"], Field(description="What to remove first.")] = "weakest"
    method: Removed = "zero"
    draws: Annotated[int, Field(ge=1, le=100, description="Number of random orders to compare with.")] = 10
    control_pool: ControlPool = "matched"
    metric: Annotated[
        AnyMetric,
        Field(description="Metric. kl: the divergence from the intact prediction, which needs no answer."),
    ] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        from ..methods.removal import elements

        super().check(sizes, task)
        if {"n_layers", "n_heads"} <= set(sizes):
            elements(self.parts, sizes, self.layers)
        self.require_metric(self.metric, task)
        if self.ranking == "attribution":
            if self.parts != "heads":
                raise BadConfiguration("Attribution ranks only heads. Use ranking ablation.")
            require_slope(self.metric, "use ranking ablation")

    def run(self, lab: Lab) -> Result:
        from ..methods import pruning
        from ..methods.control_subsets import random_orders
        from ..methods.removal import elements

        parts = elements(self.parts, lab.subject.sizes, self.layers)
        damage = self.ranked(*pruning.search_lab(lab, self.draw))
        names = list(parts)
        # Python's sort is stable, so parts with equal cost keep their order.
        order = sorted(range(len(names)), key=lambda i: damage[i] if self.first == "weakest" else -damage[i])
        ordered = [names[i] for i in order]
        n_layers = lab.subject.anatomy.n_layers
        beside = random_orders(parts, ordered, n_layers, self.seed, self.draws, self.control_pool)
        found = pruning.curve(lab, self.draw, parts, [ordered, *beside], self.method, self.metric)
        return pruning.curve_result(lab, found, self.draw, self.metric, self.parts, self.first, self.method)

    def ranked(self, lab: Lab, draw: tuple[int, Split, int]) -> list[float]:
        """The damage of removing each part alone, on the prompts of a draw."""
        from .. import engine
        from ..answers.scoring import readout_for
        from ..methods import pruning
        from ..methods.removal import elements, removal, replacements
        from ..sites import Site

        parts = elements(self.parts, lab.subject.sizes, self.layers)
        if self.ranking == "ablation":
            return pruning.damage_alone(lab, draw, parts, self.method, self.metric).tolist()
        _, batch = lab.prompts(*draw)
        sources, _ = replacements(lab, draw, self.method, {"z"})
        layers = sorted({sites[0].layer for sites in parts.values()})
        edits = [removal("all heads", [Site(layer=layer, part="z")], self.method).edits[0] for layer in layers]
        guessed = engine.attribution(lab.subject, batch, edits, readout_for(self.metric, batch), self.metric, sources,
                                     lab.steps("gradients"))  # fmt: skip
        return [metrics()[self.metric].worse * float(value) for each in guessed for value in each.mean(0)]
