"""Ablate attention heads, one at a time or together, and measure what the answer loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.ablation import Ablation, Screened, chosen_layers
from ..metrics import require_slope, unit_of
from ..notes import note
from ..questions import WHICH_PARTS
from ..result import Effect, Figure, Note
from ..sites import Part, Site
from ..statistics.strongest import clear

if TYPE_CHECKING:
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..tasks.task import Task

Sweep = Literal["exact", "screen", "attribution"]


class HeadAblation(Ablation):
    """Which attention heads does the model need for the task? Removes heads and measures the paired change.

    By default a sweep: every head (of `layers`, or all) by itself, each with interval, p, q and percentile; if there
    are fewer than `controls`, more are drawn at random. With `together` the heads are removed as one set; text is
    generated for accuracy_drop and the failures before and after, and 20 random sets of as many heads, from the same
    layers or the nearest, are the control (control_rank, control_p: rank by damage among them; excess: the damage
    beyond their mean). An effect is edited minus intact: a negative logit_diff change means that the head helped. A
    single removal misses heads that back each other up; zero exaggerates, so repeat what matters with mean and
    resample. Zero removes a head's whole z, including the biases of its values; libraries that fold these into the
    output's bias keep them. Cost: a sweep of all heads is by far the most expensive call here.
    """

    kind: ClassVar[str] = "head_ablation"
    question: ClassVar[str] = WHICH_PARTS
    core: ClassVar[bool] = True
    part: ClassVar[Part] = "z"
    parts: ClassVar[str] = "heads"

    heads: Annotated[
        list[str] | None, Field(description="Heads such as L7.H3, counted from 0. Null: all heads of `layers`.")
    ] = None
    layers: Annotated[list[int] | None, Field(description="Sweep only these layers. Null: all.")] = None
    sweep: Annotated[
        Sweep,
        Field(
            description="How to sweep. exact: every head in fp32. screen: every head, to first order if the metric's "
            "slope is small, and in bf16 if that is faster on this processor. attribution: all at once by gradients, "
            "which misses heads of early layers. After the last two, the strongest are measured in fp32."
        ),
    ] = "exact"
    verify: Annotated[int, Field(ge=1, description="How many of the strongest of a screen to measure in fp32.")] = 24

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.sweep == "attribution":
            require_slope(self.metric, "use sweep screen or exact")

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        from ..sites import named_heads, sites_of

        if self.heads is not None and self.layers is not None:
            raise BadConfiguration("Give heads or layers, not both.")
        if self.heads is not None:
            return named_heads(self.heads, sizes)
        return sites_of("z", sizes, None if self.layers is None else chosen_layers(self.layers, sizes))

    @property
    def strongest(self) -> int:
        return self.verify

    def screen(self, lab: Lab, sites: list[Site]) -> tuple[Screened | None, tuple[Note, ...]]:
        from ..statistics import screening

        if self.sweep == "exact" or self.verify >= len(sites):
            return None, ()
        if self.sweep == "attribution":
            guesses, notes = self.estimated(lab, sites)
            order = screening.chosen(guesses, self.verify, self.seed)
            # Gradient estimates cannot serve as the changes that a percentile compares with.
            return Screened(order, guesses[order], "by gradients", len(sites)), notes
        look = screening.look(lab.subject, lab.prompts(*self.draw)[1], self.metric, [s.layer for s in sites])
        if look is None:
            return None, (note("screen_no_faster"),)
        compared, notes = self.measured(lab, sites, look=look)
        values = compared.values(self.metric)
        guesses = values[1:] - values[0]
        seen = dict(zip(map(str, sites), guesses.mean(-1).tolist(), strict=True))
        order = screening.chosen(guesses, self.verify, self.seed)
        return Screened(order, guesses[order], look.how, len(sites), seen), notes

    def estimated(self, lab: Lab, sites: list[Site]) -> tuple[Array, tuple[Note, ...]]:
        """[site, n]: the change by each head, estimated by gradients."""
        import numpy as np

        from ..methods.ablation import estimates

        found, notes = estimates(lab, self.draw, self.part, sorted({s.layer for s in sites}), self.method, self.metric)
        return np.stack([found[s.layer][:, s.index] for s in sites]), notes

    def drawings(self, lab: Lab, found: tuple[Effect, ...], screened: Screened | None) -> tuple[Figure, ...]:
        """The measured changes, and the screen's estimates elsewhere; dots only for measured heads."""
        from ..sites import parse_site

        sizes, seen = lab.subject.sizes, screened.seen if screened else {}
        empty: list[list[Any]] = [[None] * sizes["n_heads"] for _ in range(sizes["n_layers"])]
        values, significant = [list(r) for r in empty], [list(r) for r in empty]
        outstanding = {e.site for e in found if clear(e)}
        for name, value in {**seen, **{e.site: e.value for e in found}}.items():
            site = parse_site(name)
            assert site.index is not None
            values[site.layer][site.index] = value
            significant[site.layer][site.index] = name in outstanding
        how = f"{self.method}, screened {screened.how}" if screened and seen else self.method
        title = f"Change of {self.metric} when a head is removed ({how}): {lab.subject.name}, {self.task}"
        return (Figure(name="heads", kind="head_heatmap", title=title, unit=unit_of(self.metric), n=self.n,
                       data={"values": values, "significant": significant}),)  # fmt: skip
