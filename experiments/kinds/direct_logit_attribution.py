"""How much each head and MLP directly adds to the answer's logit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..notes import note
from ..questions import WHAT_IS_WRITTEN
from ..result import Effect, Figure, Measurement, Result
from ..statistics.strongest import clear, largest

if TYPE_CHECKING:
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..tasks.task import Task


class DirectLogitAttribution(Experiment):
    """Which heads and MLPs write the answer? Splits the logit difference into what each of them adds directly.

    The last stream is the sum of the embedding (L0.resid_pre), the heads (L7.H3), the MLPs (L7.mlp) and `biases`. With
    the scale of the last norm held fixed (and of a norm after attention, if there is one), their shares of the logit
    of the answer minus the distractor add up to the whole, which the measurement `identity` checks. A positive share
    favours the answer: the opposite sign to an ablation's. A head's share includes what it writes through the biases of
    its values (and of the norm before it), whatever it attends to; other tools add this to the biases (`value_biases`
    folded). Each share has interval, p, q and its percentile among the others. The second effect, specific, is the
    share minus what the same component adds to the answers of other prompts: it is 0 for a component that always writes
    the same word. One pass for all components. It sees only the last step: heads that move what others write (in IOI:
    the S-inhibition heads) have no share although the task needs them, and a later layer may undo a share; patching and
    ablation show those.
    Source: Elhage et al. 2021, Wang et al. 2022 (arXiv 2211.00593).
    """

    kind: ClassVar[str] = "direct_logit_attribution"
    question: ClassVar[str] = WHAT_IS_WRITTEN
    later: ClassVar[frozenset[str]] = Experiment.later | {"value_biases"}

    towards: Annotated[
        Literal["distractor", "others"],
        Field(
            description="What to compare the answer with: the prompt's distractor, or the mean of the other prompts' "
            "answers, if there is no distractor."
        ),
    ] = "distractor"

    value_biases: Annotated[
        Literal["heads", "folded"],
        Field(description="Count what heads write through the biases of their values in their shares, or in `biases`."),
    ] = "heads"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if task.answer_kind == "open":
            raise BadConfiguration(f"The prompts of {self.task} have no answer to attribute. Use another task.")
        prompts = task.prompts(*self.draw)
        if self.towards == "distractor" and any(p.distractor is None for p in prompts):
            raise BadConfiguration(f"The task {self.task} has prompts without a distractor. Use towards others.")
        if self.towards == "others" and len({p.answer for p in prompts}) < 2:
            raise BadConfiguration("All prompts have the same answer. Use towards distractor, or more prompts.")

    def run(self, lab: Lab) -> Result:
        import numpy as np
        import torch

        from .. import engine
        from ..lab import numbers
        from ..methods.answer_directions import answer_directions, of_other_prompts
        from ..methods.controls import TOLERANCE, among, per_prompt
        from ..methods.lenses import with_zero
        from ..statistics.intervals import effects, measurement, questions_asked

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        against_others = self.towards == "others"
        own = answer_directions(lab.subject, batch, against_others)
        other = of_other_prompts(own, batch, against_others)
        both = [own] if other is None else [own, other]
        added = engine.direct(lab.subject, batch, torch.stack([each.vectors for each in both], 1),
                              folded=self.value_biases == "folded")  # fmt: skip
        biases = numbers(added.biases + torch.stack([each.bias for each in both], 1).cpu())
        shares = np.concatenate([numbers(added.values), biases[None]])
        whole = numbers(added.whole[:, 0] + own.bias.cpu())
        names = [*map(str, added.sites), "biases"]
        kept = {"share": shares[..., 0]}
        found = among(effects(names, "share", kept["share"], asked))
        if other is not None:
            kept["specific"] = shares[..., 0] - shares[..., 1]
            found += effects(names, "specific", kept["specific"], asked)
        off = float(abs(kept["share"].sum(0) - whole).max())
        notes = [] if off <= TOLERANCE else [note("shares_failed", off=off)]
        if other is None:
            notes.append(note("nothing_specific"))
        summed = measurement("whole", whole, "logits", asked)
        measurements = [summed, questions_asked(asked),
                        Measurement(name="identity", value=off, n=self.n, unit="logits")]  # fmt: skip
        if not against_others:
            own_score = lab.intact(*self.draw).scores["logit_diff"]
            measurements.insert(0, measurement("intact_logit_diff", own_score, "logits", asked))
            if abs(own_score - whole).max() > TOLERANCE:
                notes.append(note("shares_before_cap"))
        ranked = sorted(found[: len(names)], key=lambda e: -abs(e.value))
        return Result(
            measurements=tuple(measurements),
            effects=found,
            figures=(self.heat_map(lab, ranked), self.lines(lab, names, kept["share"], asked)),
            found=f"{len(names)} shares add up to {summed.text} logits; {sum(map(clear, ranked))} differ from 0 "
            f"(q < 0.05); {largest(ranked, count=8)}.",
            notes=tuple(notes),
            doubts=lab.doubts(*self.draw, "logit_diff" if self.towards == "distractor" else None),
            arrays=per_prompt({name: with_zero(each) for name, each in kept.items()}, asked),
        )

    def heat_map(self, lab: Lab, found: list[Effect]) -> Figure:
        """The heads' shares."""
        from ..sites import head

        sizes, by_site = lab.subject.sizes, {e.site: e for e in found}
        there = range(sizes["n_layers"]), range(sizes["n_heads"])
        rows = [[by_site.get(str(head(layer, h))) for h in there[1]] for layer in there[0]]
        title = f"What each head adds directly to the answer's logit: {lab.subject.name}, {self.task}"
        data = {"values": [[None if e is None else e.value for e in row] for row in rows],
                "significant": [[e is not None and clear(e) for e in row] for row in rows]}  # fmt: skip
        return Figure(name="heads", kind="head_heatmap", title=title, unit="logits", n=self.n, data=data)

    def lines(self, lab: Lab, names: list[str], shares: Array, asked: list[str]) -> Figure:
        """By layer: all heads together, and the MLP."""
        import numpy as np

        from ..methods.lenses import curve

        layers = range(lab.subject.anatomy.n_layers)

        def summed(*starts: str) -> Array:
            """Per layer, the sum of the shares with these names; 0 if there are none."""
            which = [[n.startswith(tuple(f"L{layer}.{s}" for s in starts)) for n in names] for layer in layers]
            return np.stack([shares[np.array(one)].sum(0) for one in which])

        series = [curve("all heads of the layer", summed("H", "attn"), asked), curve("MLP", summed("mlp"), asked)]
        title = f"What each layer adds directly to the answer's logit: {lab.subject.name}, {self.task}"
        data = {"x": list(layers), "x_label": "layer", "series": series}
        return Figure(name="layers", kind="lines", title=title, unit="logits", n=self.n, data=data)
