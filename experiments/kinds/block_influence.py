"""How much each layer changes the direction of the stream, and whether that shows how much it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..experiment import Experiment
from ..questions import WHICH_LAYERS
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from torch import Tensor

    from ..lab import Lab
    from ..tasks.batch import Batch


class BlockInfluence(Experiment):
    """Which layers hardly change the stream, and could be left out? Block Influence (BI, from ShortGPT) of every layer.

    BI of a layer is 1 minus the cosine between the stream before and after it, averaged over the tokens of a prompt and
    its answer (the paper uses running text; `tokens` prompt leaves the answer out): 0 for a layer that writes nothing.
    As control, a random vector of the same length replaces what each layer writes; beyond_random is BI minus that
    value, with p and q: below 0 the layer mostly lengthens or shortens the stream, above 0 it undoes part of it. Sites
    are L7. One pass; needs no answer. With `skip` each layer is also left out, and agreement is Spearman's correlation
    of BI with the damage (kl): BI is a guess, the damage is measured. BI shows how much a layer writes, not what for: a
    task may need a layer with a small BI. Source: Men et al. 2024, arXiv 2403.03853.
    """

    kind: ClassVar[str] = "block_influence"
    question: ClassVar[str] = WHICH_LAYERS
    later: ClassVar[frozenset[str]] = Experiment.later | {"tokens"}

    tokens: Annotated[
        Literal["prompt_and_answer", "prompt"],
        Field(description="Tokens to average over: with those of the right answer, or without."),
    ] = "prompt_and_answer"
    skip: Annotated[bool, Field(description="Also leave out each layer, and compare. Costs a pass per layer.")] = False

    def run(self, lab: Lab) -> Result:
        import numpy as np
        from scipy.stats import rankdata

        from .. import engine
        from ..interventions import Intervention
        from ..lab import numbers
        from ..methods.block_influence import turns
        from ..methods.controls import among, compare, per_prompt
        from ..methods.lenses import with_zero
        from ..statistics.intervals import effects, questions_asked, untested

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        seen = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
        own, random = (numbers(each) for each in turns(seen, self.counted(batch), self.seed))
        layers = range(lab.subject.anatomy.n_layers)
        sites = [f"L{layer}" for layer in layers]
        kept = {"influence": own, "beyond_random": own - random}
        found = (*among(untested(sites, "influence", own, asked, (0, 2))),
                 *effects(sites, "beyond_random", kept["beyond_random"], asked))  # fmt: skip
        measurements, notes = [questions_asked(asked)], ()
        ranked = sorted(found[: len(sites)], key=lambda e: e.value)
        text = f"Influence (1 - cosine, mean over {len(prompts)} prompts), least: "
        text += f"{', '.join(map(str, ranked[:5]))}; most: {', '.join(map(str, ranked[:-4:-1]))}."
        if self.skip:
            programs = [Intervention(name=s, program=tuple(k for k in layers if k != i)) for i, s in enumerate(sites)]
            run = compare(lab, "layers left out", batch, programs, lab.readout("kl", batch))
            damage = run.values("kl")
            found += untested(sites, "kl", damage[1:], asked)
            kept["kl"] = damage[1:]
            notes = run.failed("kl")
            measurements.append(run.identity("kl"))
            if np.ptp(own.mean(-1)) > 0 and np.ptp(damage[1:].mean(-1)) > 0:
                together = float(np.corrcoef(*(rankdata(each.mean(-1)) for each in (own, damage[1:])))[0, 1])
                measurements.append(Measurement(name="agreement", value=together, n=len(sites)))
                text += f" Rank correlation with the damage when a layer is left out: {together:.2f}."
        return Result(
            measurements=tuple(measurements),
            effects=found,
            figures=(self.bars(lab, found[: len(sites)]),),
            found=text,
            notes=tuple(notes),
            doubts=lab.doubts(*self.draw),
            arrays=per_prompt({name: with_zero(each) for name, each in kept.items()}, asked),
        )

    def counted(self, batch: Batch) -> Tensor:
        """[batch, position]: the tokens that count."""
        import torch

        if self.tokens == "prompt_and_answer":
            return batch.mask
        ends = torch.tensor([named["last"][1] for named in batch.spans], device=batch.mask.device)
        return batch.mask * (torch.arange(batch.length, device=batch.mask.device) < ends[:, None])

    def bars(self, lab: Lab, found: tuple[Effect, ...]) -> Figure:
        title = f"Block Influence, 1 - cosine of the stream before and after: {lab.subject.name}, {self.task}"
        return Figure(name="layers", kind="layer_bars", title=title, unit="1 - cosine", n=self.n,
                      data={"labels": [e.site.removeprefix("L") for e in found], "values": [e.value for e in found],
                            "low": [e.low for e in found], "high": [e.high for e in found]})  # fmt: skip
