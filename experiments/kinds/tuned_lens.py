"""What the model would answer after each layer, read with a map that is fitted for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.of_value import OfValue
from ..questions import WHAT_IS_WRITTEN
from ..result import Note, Result
from ..tasks.fitting_prompts import FitTask, fitting, require_training_prompts, shown

if TYPE_CHECKING:
    from torch import Tensor

    from ..lab import Lab
    from ..methods.affine import Affine
    from ..tasks.task import Task


class TunedLens(OfValue):
    """After which layer could the answer be read, each layer in its own basis? A logit lens with a map before it.

    For each layer, an affine map from its stream to the last one is fitted on `train` other explore prompts: least
    squares in closed form, with a penalty towards the identity, chosen by KL on a held-out quarter of them (so it is no
    worse than the logit lens, up to chance). Then, on the measured prompts, by layer: gain (the KL to the final
    prediction, tuned minus logit lens: negative is better), kl, prob, rank, lead over other prompts' answers, and as
    control specific: how much larger the KL is when the lens reads another prompt's stream; it is 0 for a lens that has
    only learned what answers look like, which can also have a small KL. Sites, value and position as in logit_lens. The
    model need not use what a map can read, and a map may compute part of what later layers do. Cost: a few passes, and
    one linear system per layer. Source: Belrose et al. 2023, arXiv 2303.08112, who train by gradient descent on much
    more text; this lens is fitted on one task's prompts: on those of `fit_task`, it shows what carries over from there.
    """

    kind: ClassVar[str] = "tuned_lens"
    question: ClassVar[str] = WHAT_IS_WRITTEN
    later: ClassVar[frozenset[str]] = OfValue.later | {"fit_task"}

    train: Annotated[int, Field(ge=16, le=2048, description="Number of other prompts to fit the maps on.")] = 128
    fit_task: FitTask = None

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.n < 2:
            raise BadConfiguration("The control needs another prompt. Use n of at least 2.")
        require_training_prompts(task, task.prompts(*self.draw), self.train, self.seed, self.fit_task)

    def run(self, lab: Lab) -> Result:
        from .. import engine
        from ..lab import numbers
        from ..methods.controls import per_prompt
        from ..methods.lenses import (
            ORDER,
            UNITS,
            curve,
            last_lens,
            lens_effects,
            over_layers,
            settled,
            stream_names,
            summary,
            with_zero,
        )
        from ..statistics.intervals import effects, measurement, questions_asked

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        maps, notes = self.maps(lab)
        seen = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
        moved = [each(stream) for each, stream in zip(maps, seen, strict=True)]
        sought = self.sought(lab, prompts, batch)
        readout, beside = sought.readout, sought.of_another_prompt()
        plain = engine.lens(lab.subject, batch, seen, readout, lab.steps("logit lens"))
        tuned = engine.lens(lab.subject, batch, moved, readout, lab.steps("tuned lens"))
        swapped = engine.lens(lab.subject, batch, [each.roll(1, 0) for each in moved], beside, lab.steps("control"))
        tops = tuned.pop("top")
        values = {name: numbers(tuned[name]) for name in ORDER if name in tuned}
        before = numbers(plain["kl"])
        gain, specific = values["kl"] - before, numbers(swapped["kl"]) - values["kl"]
        identity, failed = last_lens(sought.metric, values[sought.metric][-1], sought.own)
        sites = [f"{site}{sought.of}" for site in stream_names(lab.subject.anatomy.n_layers)]
        change = measurement("kl_change", gain[:-1].mean(0), "nats", asked)
        after = settled(tops, asked)
        title = f"Distance from the final prediction after each layer: {lab.subject.name}, {self.task}"
        series = [curve("tuned lens", values["kl"], asked), curve("logit lens", before, asked),
                  curve("tuned lens, another prompt's stream", numbers(swapped["kl"]), asked)]  # fmt: skip
        fitted_on = "" if self.fit_task is None else f" (maps fitted on {shown(self.fit_task)})"
        kept = {"gain": gain, "specific": specific, **values, "logit_lens_kl": before}
        return Result(
            measurements=(
                change, measurement("kl_tuned", values["kl"][:-1].mean(0), "nats", asked, "kl"),
                measurement("kl_logit_lens", before[:-1].mean(0), "nats", asked, "kl"), after, questions_asked(asked),
                identity,
            ),
            effects=(*effects(sites, "gain", gain, asked), *effects(sites, "specific", specific, asked),
                     *lens_effects(sites, values, asked)),
            figures=(over_layers("kl", title, UNITS["kl"], self.n, series),),
            found=f"{sought.said}Over the layers before the last, the tuned lens changes the KL of the logit lens by "
            f"{change.text} nats{fitted_on}. The likeliest token is the final one after {after.text} of "
            f"{len(sites) - 1} layers. "
            + summary(sites, {"kl": values["kl"], "logit lens kl": before, "specific": specific}, "nats"),
            notes=(*failed, *notes, *sought.notes),
            doubts=lab.doubts(*self.draw),
            arrays=per_prompt({name: with_zero(each) for name, each in kept.items()}, asked),
        )  # fmt: skip

    def maps(self, lab: Lab) -> tuple[list[Affine], tuple[Note, ...]]:
        """One map for each layer, the best by KL on held-out prompts; the last one is the identity."""
        from .. import engine
        from ..answers.scoring import FirstReadout
        from ..engine.donors import content
        from ..lab import numbers
        from ..methods.affine import fitted

        measured, _ = lab.prompts(*self.draw)
        fit = fitting(lab, measured, self.train, self.seed, self.fit_task, self.system)
        batches = (fit.fitted, fit.apart)
        streams = [engine.streams(lab.subject, engine.read(lab.subject, b, {"resid_pre"})) for b in batches]
        inside = content(batches[0])
        readout = FirstReadout(batches[1], lab.prediction(batches[1]))
        found: list[Affine] = []
        for layer, (stream, apart) in enumerate(zip(*streams, strict=True)):
            tried = fitted(rows_of(stream, inside), rows_of(streams[0][-1], inside))
            tried = tried[:1] if layer == len(streams[0]) - 1 else tried
            off = engine.lens(lab.subject, batches[1], [each(apart) for each in tried], readout)["kl"]
            found.append(tried[int(numbers(off).mean(-1).argmin())])
            lab.progress("fitting", layer + 1, len(streams[0]))
        return found, fit.notes


def rows_of(stream: Tensor, inside: Tensor) -> Tensor:
    return stream[inside.to(stream.device)]
