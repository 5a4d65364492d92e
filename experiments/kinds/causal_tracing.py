"""Add noise to the subject of a fact, and find where restoring intact states restores the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..methods.groups_of_changes import GroupsOfChanges
from ..methods.patching import Place
from ..metrics import OwnMetric, unit_of
from ..questions import WHERE_PROMPTS_DIFFER
from ..result import Effect, Figure, Note, Result
from ..statistics.strongest import clear, largest

if TYPE_CHECKING:
    from ..interventions import Edit
    from ..lab import Lab
    from ..tasks.batch import Batch
    from ..tasks.task import Task

FIRST, END, AFTER = "first", "end", "after"


class CausalTracing(Experiment):
    """At which layers and tokens does the model recall a fact? Adds noise to the embeddings of a span (the subject),
    then restores intact states, window by window, and measures what comes back (arXiv 2202.05262).

    total_effect is the loss by noise; recovery is the share of it that a restored window brings back (0: none, 1: all),
    by layer and at the tokens first and end of the span, after (all between it and the last) and last. Needs a task
    whose prompts name a subject (capitals). Fails if the noise has no effect. Controls: the identity; noise on as many
    other tokens (control_change, percentile); everything restored, which must give the intact run. A restored state
    suffices; the fact need not be stored there, nor is it the best place to edit (arXiv 2301.04213). Results depend on
    the strength of the noise and its unit: 2202.05262 uses 3 times the deviation of the subjects' embeddings (`unit`
    subject); here the unit is that of all tokens of these prompts, each once; noise_unit is its size. Cost: layers
    times tokens times draws runs.
    """

    kind: ClassVar[str] = "causal_tracing"
    question: ClassVar[str] = WHERE_PROMPTS_DIFFER
    aspect: ClassVar[str] = "at a span of the prompt"
    later: ClassVar[frozenset[str]] = Experiment.later | {"unit", "by"}

    span: Annotated[str, Field(description="Span of the task that gets the noise.")] = "subject"
    part: Annotated[
        Literal["resid_pre", "attn_out", "mlp_out"],
        Field(description="What to restore: the stream before a layer, or what attention or MLPs write."),
    ] = "resid_pre"
    window: Annotated[
        int | None,
        Field(ge=1, description="Layers restored together. Null: 1 for resid_pre, a fifth of all for the others."),
    ] = None
    layers: Annotated[list[int] | None, Field(description="Centres of the windows. Null: all layers.")] = None
    noise: Annotated[float, Field(ge=0, le=100, description="Standard deviation of the noise, in units of `unit`.")] = (
        3.0
    )
    unit: Annotated[
        Literal["prompts", "subject"],
        Field(
            description="Embeddings that define it: all tokens of the prompts, each once, around their mean; or the "
            "span's tokens as often as they occur, all numbers together, as in ROME."
        ),
    ] = "prompts"
    draws: Annotated[int, Field(ge=1, le=20, description="Draws of noise for each prompt, averaged.")] = 3
    metric: Annotated[OwnMetric, Field(description="Metric of the answer.")] = "prob"
    by: GroupsOfChanges = None

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        self.require_metric(self.metric, task)
        if self.layers is not None and not self.layers:
            raise BadConfiguration("layers is empty. Use null for all.")
        if "n_layers" in sizes and max(self.layers or [0]) >= sizes["n_layers"]:
            raise BadConfiguration(
                f"There is no layer {max(self.layers or [0])}. This model has {sizes['n_layers']} layers, 0 to "
                f"{sizes['n_layers'] - 1}."
            )
        spans = [set(p.spans) for p in task.prompts(*self.draw)]
        if not all(self.span in names for names in spans):
            common = ", ".join(sorted(set[str].intersection(*spans))) or "none"
            raise BadConfiguration(
                f"Not every prompt of {self.task} has the span '{self.span}'. Spans that all have: {common}."
            )

        if self.by is not None:
            from ..methods.by_group import require_groups_of_changes

            require_groups_of_changes(task, task.prompts(*self.draw), self.by)

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        from ..methods.causal_tracing import CONTROLS

        return CONTROLS

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..interventions import Intervention
        from ..methods.by_group import RIGHT, changes_by_group
        from ..methods.causal_tracing import OTHER, marked, noises, spread
        from ..methods.controls import among, compare, control_measurements, control_summary, per_prompt, unmatched
        from ..result import Measurement
        from ..statistics.intervals import measurement, questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE, Scale
        from .activation_patching import not_everything

        prompts, plain = lab.prompts(*self.draw)
        batch, asked = marked(plain, self.span, self.seed), [p.key for p in prompts]
        size = spread(lab.subject, batch, self.span if self.unit == "subject" else None)
        sources = noises(lab.subject, batch, self.noise * size, self.draws, self.seed)
        places = self.places(lab, batch)
        start = Place(places[0].site.model_copy(update={"layer": 0, "part": "resid_pre"}), self.span)
        tried = [("noise", self.span, ()), *((str(p), self.span, self.restored(lab, p)) for p in places),
                 ("everything", self.span, self.restored(lab, start, 1)),
                 *((name, name, ()) for name in batch.spans[0] if name.startswith(OTHER))]  # fmt: skip
        made = [Intervention(name=f"{name} #{source}", edits=(self.drowned(source, span), *edits))
                for name, span, edits in tried for source in sources]  # fmt: skip
        doing = f"{len(places)} windows restored after noise of deviation {self.noise * size:.4g} (seed {self.seed})"
        run = compare(lab, doing, batch, made, lab.readout(self.metric, batch), sources)
        values = run.values(self.metric)
        intact, drawn = values[0], values[1:].reshape(len(tried), self.draws, len(prompts)).mean(1)
        noised, back, whole = drawn[0], drawn[1 : 1 + len(places)], drawn[1 + len(places)]
        beside = drawn[2 + len(places) :]
        scale = Scale(self.metric, intact, noised, asked)
        scale.require("The intact run and the one with noise")
        found = among(scale.effects([str(p) for p in places], back - noised))
        unit, taken = unit_of(self.metric), noised - intact
        matched = control_measurements(self.metric, taken, beside - intact, asked)
        groups, merged = list[Measurement](), tuple[Note, ...]()
        if self.by is not None:
            correct = lab.intact(*self.draw).correct if self.by == RIGHT else None
            groups, merged = changes_by_group(prompts, plain, self.by, [str(p) for p in places], back - noised,
                                              self.metric, correct, {"total_effect": taken})  # fmt: skip
        return Result(
            measurements=(measurement(f"intact_{self.metric}", intact, unit, asked, self.metric),
                          measurement("total_effect", taken, unit, asked),
                          Measurement(name="noise_unit", value=size), *matched, questions_asked(asked),
                          run.identity(self.metric), scale.share("everything", whole - noised), *groups),
            effects=found,
            figures=(self.drawing(lab, places, found),),
            found=f"Noise on {self.span} changes {self.metric} from {intact.mean():.3f} to {noised.mean():.3f}."
                  f"{control_summary(matched, 'sets of as many other tokens')} Of {len(found)} windows of "
                  f"{self.part}, {sum(map(clear, found))} change the answer (q < 0.05); "
                  f"{largest(found, ' by recovery', 6, scale.said)}.",
            notes=(*run.failed(self.metric), *not_everything(float(abs(whole - intact).max()), self.metric),
                   *unmatched(matched), *merged),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: np.stack([noised, *back])}, asked, beside), WHOLE: scale.whole},
        )  # fmt: skip

    def places(self, lab: Lab, batch: Batch) -> list[Place]:
        """The centres of the windows, at the tokens that all prompts have."""
        from ..sites import Site

        layers = range(lab.subject.sizes["n_layers"]) if self.layers is None else sorted(set(self.layers))
        at = [name for name in (FIRST, END, AFTER, "last") if all(name in row for row in batch.spans)]
        for same, other in ((FIRST, END), ("last", END)):
            if all(row[same] == row[other] for row in batch.spans):
                at.remove(same)
        return [Place(Site(layer=layer, part=self.part), name) for layer in layers for name in at]

    def restored(self, lab: Lab, place: Place, window: int | None = None) -> tuple[Edit, ...]:
        """Edits that restore the window around a site to its intact values; at the ends of the model it is smaller."""
        from ..interventions import Edit

        count = lab.subject.sizes["n_layers"]
        wide = window or self.window or (1 if self.part == "resid_pre" else max(1, round(count / 5)))
        first = place.site.layer - wide // 2
        layers = [layer for layer in range(first, first + wide) if 0 <= layer < count]
        return tuple(Edit(site=place.site.model_copy(update={"layer": layer}), op="freeze", positions=place.positions)
                     for layer in layers)  # fmt: skip

    def drowned(self, source: str, span: str) -> Edit:
        from ..interventions import Edit
        from ..sites import Site

        return Edit(site=Site(layer=0, part="resid_pre"), op="add", source=source, positions=span)

    def drawing(self, lab: Lab, places: Sequence[Place], found: Sequence[Effect]) -> Figure:
        from ..statistics.recovery import UNIT

        layers, at = list(dict.fromkeys(p.site.layer for p in places)), list(dict.fromkeys(p.positions for p in places))
        cells = {(p.site.layer, p.positions): e for p, e in zip(places, found, strict=True)}
        title = f"Recovery by restoring {self.part} after noise on {self.span}: {lab.subject.name}, {self.task}"
        data = {"values": [[cells[layer, p].value for p in at] for layer in layers],
                "significant": [[clear(cells[layer, p]) for p in at] for layer in layers],
                "rows": list(map(str, layers)), "columns": at, "row_label": "layer", "column_label": "tokens",
                "scale": "diverging"}  # fmt: skip
        return Figure(name="tracing", kind="matrix", title=title, unit=UNIT, n=self.n, data=data)
