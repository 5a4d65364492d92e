"""Replace layers with a linear map: how much of what they do is linear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..metrics import AnyMetric, is_distance, unit_of
from ..notes import note
from ..questions import WHICH_LAYERS
from ..result import Effect, Figure, Measurement, Note, Result
from ..tasks.fitting_prompts import FitTask, fitting, require_training_prompts, shown

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine import Source
    from ..interventions import Intervention
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..tasks.task import Task

# What replaces the layers: nothing, a constant vector, a matrix and a vector.
WAYS = ("skipped", "shifted", "translated")
SHOWN = 5


class LinearShortcut(Experiment):
    """Could a linear map replace some layers? Skips them without and with the best map in their place.

    For every stretch of `width` layers, or the one in `layers`, the map from the stream before it to the stream after
    it is fitted by least squares on `train` other explore prompts (a separate map for the first token), with a ridge
    penalty chosen on a held-out quarter of them. Then the measured prompts run: the change of the metric when the
    stretch is skipped, shifted (a constant vector is added instead) and translated (the map); repaired, translated
    minus skipped; and as control beyond_shift, translated minus shifted: what the map does that depends on the prompt.
    undone is the share of the damage that the map undoes. Sites are L10 or L10-13. Little repair means that the layers'
    work is not linear in the stream, or that `train` is too small: a map has d_model squared numbers. It is fitted on
    one task, so it says nothing about other texts; `fit_task` fits it on another task than it is read on. Answers are
    scored, not generated. Cost: three runs from there on for each stretch, and a linear system. Source: Din et al.
    2023, arXiv 2303.09435.
    """

    kind: ClassVar[str] = "linear_shortcut"
    question: ClassVar[str] = WHICH_LAYERS
    later: ClassVar[frozenset[str]] = Experiment.later | {"fit_task"}

    layers: Annotated[str | None, Field(description='One stretch, such as "10-13". Null: every one of `width`.')] = None
    width: Annotated[int, Field(ge=1, description="Number of layers in each stretch of the sweep.")] = 1
    metric: Annotated[
        AnyMetric,
        Field(description="Metric. kl: the divergence from the intact prediction, which needs no answer."),
    ] = "loss"
    train: Annotated[int, Field(ge=16, le=2048, description="Number of other prompts to fit the maps on.")] = 128
    fit_task: FitTask = None

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if "n_layers" in sizes:
            self.stretches(sizes["n_layers"])
        self.require_metric(self.metric, task)
        require_training_prompts(task, task.prompts(*self.draw), self.train, self.seed, self.fit_task)

    def stretches(self, n_layers: int) -> list[range]:
        """The layers that are skipped together. Raises BadConfiguration if they are not a stretch of this model."""
        from ..interventions import parse_layers

        if self.layers is None:
            if self.width > n_layers:
                raise BadConfiguration(f"width is {self.width}, and this model has {n_layers} layers. Use at "
                                       f"most {n_layers}.")  # fmt: skip
            return [range(first, first + self.width) for first in range(n_layers - self.width + 1)]
        given = parse_layers(self.layers, n_layers)
        if not given or list(given) != list(range(given[0], given[-1] + 1)):
            raise BadConfiguration(f"'{self.layers}' is not a stretch of layers. Write it as 10-13.")
        return [range(given[0], given[-1] + 1)]

    def run(self, lab: Lab) -> Result:
        from ..answers.scoring import intact
        from ..methods.controls import among, compare, per_prompt
        from ..methods.lenses import with_zero
        from ..statistics.intervals import effects, measurement, questions_asked, untested
        from ..statistics.ratios import ratio_interval

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        stretches = self.stretches(lab.subject.anatomy.n_layers)
        names = [f"L{s[0]}" if len(s) == 1 else f"L{s[0]}-{s[-1]}" for s in stretches]
        sources, notes = self.sources(lab, stretches)
        every = [skipping(way, s, lab.subject.anatomy.n_layers) for s in stretches for way in WAYS]
        run = compare(lab, "shortcuts", batch, every, lab.readout(self.metric, batch), sources)
        values = run.values(self.metric)
        change = (values[1:] - values[0]).reshape(len(stretches), len(WAYS), -1)
        damage = {way: change[:, i] for i, way in enumerate(WAYS)}
        repaired = damage["translated"] - damage["skipped"]
        beyond = damage["translated"] - damage["shifted"]
        # A divergence is never negative, so its sign cannot be flipped in a test; that of a difference can.
        changed = untested if is_distance(self.metric) else effects
        found = [among(changed(names, way, damage[way], asked)) for way in WAYS]
        found += [effects(names, "repaired", repaired, asked), effects(names, "beyond_shift", beyond, asked)]
        unit = unit_of(self.metric)
        whole = {way: measurement(f"mean_{way}", damage[way].mean(0), unit, asked) for way in WAYS}
        text = ", ".join(f"{way} {m.text}" for way, m in whole.items())
        text = "" if self.fit_task is None else f"The maps were fitted on {shown(self.fit_task)}. "
        text += f"Mean change of {self.metric} ({unit}) over {len(names)} stretches: {text}. "
        undone: list[Measurement] = []
        low, high = whole["skipped"].low, whole["skipped"].high
        if low is not None and high is not None and low * high > 0:
            share = ratio_interval(-repaired.mean(0), damage["skipped"].mean(0), asked)
            value, low, high = (float(each) for each in share)
            undone.append(Measurement(name="undone", value=value, low=low, high=high, n=self.n))
            text += f"The maps undo {undone[0].text} of the damage. "
        else:
            notes = (*notes, note("no_clear_damage"))
        ranked = sorted(range(len(names)), key=lambda i: -abs(float(repaired[i].mean())))[:SHOWN]
        by_way = {way: damage[way].mean(-1) for way in WAYS}
        text += "Repaired most: " + "; ".join(
            f"{names[i]} " + ", ".join(f"{way} {by_way[way][i]:+.3f}" for way in WAYS) for i in ranked
        )
        kept = {"repaired": repaired, "beyond_shift": beyond, **damage}
        return Result(
            measurements=(*intact(self.metric, values[0], asked), *whole.values(), *undone, questions_asked(asked),
                          run.identity(self.metric)),
            effects=tuple(effect for each in found for effect in each),
            figures=(self.drawing(lab, names, found[: len(WAYS)], damage, asked),),
            found=text + ".",
            notes=(*run.failed(self.metric), *notes),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays=per_prompt({name: with_zero(each) for name, each in kept.items()}, asked),
        )  # fmt: skip

    def sources(self, lab: Lab, stretches: list[range]) -> tuple[dict[str, Source], tuple[Note, ...]]:
        """For each way, the stream after each stretch that replaces the layers' own; and notes on the fit."""
        from .. import engine
        from ..engine.activations import Activations
        from ..engine.donors import content
        from ..methods.affine import closest, fitted

        measured, batch = lab.prompts(*self.draw)
        fit = fitting(lab, measured, self.train, self.seed, self.fit_task, self.system)
        used = (fit.fitted, fit.apart, batch)
        streams = [engine.streams(lab.subject, engine.read(lab.subject, b, {"resid_pre"})) for b in used]
        # Attention treats the first token differently, so it gets its own map.
        inside = [(content(b), b.mask.bool() & ~content(b)) for b in used]
        made: dict[str, dict[tuple[int, str], Tensor]] = {"shifted": {}, "translated": {}}
        for done, stretch in enumerate(stretches):
            first, last = stretch[0], stretch[-1]
            before, after = [s[first] for s in streams], [s[last + 1] for s in streams[:2]]
            moved = {way: before[2].clone() for way in made}
            for part in (0, 1):
                rows = [each[part].to(before[0].device) for each in inside]
                x, y = ([s[r] for s, r in zip(of, rows, strict=False)] for of in (before, after))
                maps = fitted(x[0], y[0])
                moved["shifted"][rows[2]] = maps[-1](x[2])
                moved["translated"][rows[2]] = closest(maps, x[1], y[1])(x[2])
            for way, values in made.items():
                values[last, "resid_post"] = moved[way]
            lab.progress("fitting", done + 1, len(stretches))
        return {way: Activations(values) for way, values in made.items()}, fit.notes

    def drawing(
        self, lab: Lab, names: list[str], found: list[tuple[Effect, ...]], damage: dict[str, Array], asked: list[str]
    ) -> Figure:
        """The damage by layer; for one stretch, three bars."""
        from ..methods.lenses import curve

        unit = unit_of(self.metric)
        if len(names) > 1:
            series = [curve(way, damage[way], asked) for way in WAYS]
            title = f"Change of {self.metric} where {self.width} layer{'s are' if self.width > 1 else ' is'} left out"
            data = {"x": list(range(len(names))), "x_label": "first layer left out", "series": series}
        else:
            effects = [of[0] for of in found]
            title = f"Change of {self.metric} without {names[0]}"
            data = {"labels": list(WAYS), "values": [e.value for e in effects], "low": [e.low for e in effects],
                    "high": [e.high for e in effects]}  # fmt: skip
        title = f"{title}: {lab.subject.name}, {self.task}"
        kind = "lines" if len(names) > 1 else "layer_bars"
        return Figure(name="damage", kind=kind, title=title, unit=unit, n=self.n, data=data)


def skipping(way: str, stretch: range, n_layers: int) -> Intervention:
    """The stretch left out, or its output replaced by the source of this name."""
    from ..interventions import Edit, Intervention
    from ..sites import Site

    if way == "skipped":
        return Intervention(name=way, program=tuple(k for k in range(n_layers) if k not in stretch))
    edit = Edit(site=Site(layer=stretch[-1], part="resid_post"), op="replace", source=way)
    return Intervention(name=way, edits=(edit,))
