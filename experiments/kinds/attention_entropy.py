"""How spread out each head's attention is, and what is lost when the sharpest heads are removed first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..experiment import Experiment
from ..methods.control_pool import BEFORE, ControlPool
from ..methods.removal import Removed
from ..metrics import AnyMetric
from ..questions import WHAT_A_HEAD_LOOKS_AT
from ..result import Effect, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..tasks.prompt import Split
    from ..tasks.task import Task


class AttentionEntropy(Experiment):
    """Which heads attend to few tokens, which evenly to all, and does the task need the sharp heads most?

    For each head, from the prompt's last token, 0 (one token) to 1 (even): `entropy`, the mean over prompts;
    `position_entropy`, of the mean attention over prompts of one template and length (low: always the same position);
    `size_entropy`, the same over numbers in order of size, if a prompt is a list of numbers (low: a certain rank).
    Read them as effect[L7.H3, entropy]. `percentile`: the share of the heads of a model with shuffled weights that are
    sharper. `prune` adds a curve: heads removed in order of entropy, sharpest first, compared with random orders;
    spared below 0 means that sharp heads matter more than others. Many sharp heads attend to the first token, which
    means that they are at rest: see head_detectors. Cost: two passes; the curve, ten runs for each order.
    """

    kind: ClassVar[str] = "attention_entropy"
    question: ClassVar[str] = WHAT_A_HEAD_LOOKS_AT
    before: ClassVar[Mapping[str, Any]] = BEFORE

    prune: Annotated[
        bool, Field(description="Also remove heads in order of entropy, and compare with random orders.")
    ] = False
    first: Annotated[Literal["lowest", "highest"], Field(description="Which entropy to remove first.")] = "lowest"
    method: Removed = "zero"
    draws: Annotated[int, Field(ge=1, le=100, description="Number of random orders to compare with.")] = 10
    control_pool: ControlPool = "matched"
    metric: Annotated[AnyMetric, Field(description="What the curve measures.")] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.prune:
            self.require_metric(self.metric, task)

    def run(self, lab: Lab) -> Result:
        from ..lab import Lab as LabOf
        from ..methods import pruning
        from ..methods.control_subsets import random_orders
        from ..methods.controls import all_heads
        from ..methods.head_map import head_map
        from ..model.shuffled_weights import permuted
        from ..result import Measurement
        from ..statistics.intervals import questions_asked

        prompts, _ = lab.prompts(*self.draw)
        sites = {str(site): (site,) for site in all_heads(lab.subject.sizes)}
        lab.progress("entropies", 0, 2)
        own = self.entropies(lab, self.draw)
        lab.progress("entropies", 1, 2)
        others = self.entropies(LabOf(permuted(lab.subject, self.seed), lab.task), self.draw)
        lab.progress("entropies", 2, 2)
        found = [effect for name in own for effect in compared(name, list(sites), own[name], others[name])]
        sharpest = sorted((e for e in found if e.metric == "entropy"), key=lambda e: e.value)
        means = {name: float(values[0].mean()) for name, values in own.items()}
        means |= {f"{name}_shuffled": float(values[0].mean()) for name, values in others.items()}
        text = f"Of {len(sites)} heads the mean entropy over {self.n} prompts is {means['entropy']:.3f} of what even "
        text += f"attention has (with shuffled weights {means['entropy_shuffled']:.3f}). Sharpest: "
        text += f"{listed(sharpest[:5])}; most even: {listed(sharpest[:-4:-1])}. "
        measured = [
            questions_asked([p.key for p in prompts]),
            *(Measurement(name=f"mean_{name}", value=value, n=len(sites)) for name, value in means.items()),
        ]  # fmt: skip
        title = f"Entropy of the last token's attention: {lab.subject.name}, {lab.task.name}"
        n, unit = own["entropy"][3], "entropy / log(keys)"
        figures = [head_map("entropy", title, unit, n, found, "entropy", lab.subject.sizes)]
        result = Result(measurements=tuple(measured), effects=tuple(found), figures=tuple(figures), found=text.strip())
        if not self.prune:
            return result
        other, draw = pruning.search_lab(lab, self.draw)
        values = self.entropies(other, draw)["entropy"][0]
        signed = values if self.first == "lowest" else -values
        order = [list(sites)[i] for i in signed.argsort(kind="stable")]
        n_layers = lab.subject.anatomy.n_layers
        beside = random_orders(sites, order, n_layers, self.seed, self.draws, self.control_pool)
        curve = pruning.curve(lab, self.draw, sites, [order, *beside], self.method, self.metric)
        pruned = pruning.curve_result(lab, curve, self.draw, self.metric, "heads", f"{self.first} entropy", self.method)
        known = {m.name for m in measured}
        return Result(
            measurements=(*measured, *(m for m in pruned.measurements if m.name not in known)),
            effects=(*found, *pruned.effects),
            figures=(*figures, *pruned.figures),
            found=text + pruned.found,
            notes=pruned.notes,
            arrays=pruned.arrays,
        )

    def entropies(self, lab: Lab, draw: tuple[int, Split, int]) -> dict[str, tuple[Array, Array, Array, int]]:
        """By name: value, low and high of each head, and the number of prompts."""
        from ..methods.attention import largest_group, last_column, last_weights
        from ..methods.entropy import of_mean, of_prompts, ordered_by_size
        from ..statistics.skewed import mean_interval

        prompts, batch = lab.prompts(*draw)
        asked = [p.key for p in prompts]
        weights = last_weights(lab.subject, batch)
        mean, low, high = mean_interval(of_prompts(weights, batch), asked)
        found = {"entropy": (mean, low.clip(0, 1), high.clip(0, 1), len(prompts))}
        alike = largest_group(batch)
        if len(alike) > 1:
            last, length = last_column(batch), int(batch.prompt_len[alike[0]])
            there = weights[:, alike, last - length + 1 : last + 1]
            found["position_entropy"] = (*of_mean(there, [asked[i] for i in alike]), len(alike))
        sized = ordered_by_size(weights, batch, [p.operands for p in prompts])
        if sized is not None:
            found["size_entropy"] = (*of_mean(sized, asked), len(prompts))
        return found


def listed(found: list[Effect]) -> str:
    return ", ".join(f"{e.site} {e.value:.2f}" for e in found)


def compared(
    name: str, sites: list[str], own: tuple[Array, Array, Array, int], others: tuple[Array, Array, Array, int]
) -> list[Effect]:
    """An effect for each head, with the share of the others that are sharper."""
    value, low, high, n = own
    sharper = (others[0][None] < value[:, None]).mean(-1) * 100
    return [
        Effect(site=site, metric=name, value=float(v), low=float(a), high=float(b), n=n, percentile=float(p))
        for site, v, a, b, p in zip(sites, value, low, high, sharper, strict=True)
    ]
