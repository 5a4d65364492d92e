"""Attention heads removed, one at a time or together, and what the answer loses by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..kind import Experiment
from ..removal import Method
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from ..controls import Compared
    from ..interventions import Intervention
    from ..lab import Lab
    from ..sites import Site
    from ..statistics import Array
    from ..subject import Subject
    from ..tasks.task import Task

Sweep = Literal["exact", "screen", "attribution"]


class HeadAblation(Experiment):
    """Which attention heads does the model need for the task? Removes heads and measures the paired change.

    By default a sweep: every head (of `layers`, or of all) by itself, with interval, p and q for each, and its
    percentile among the others; where these are fewer than 20, more are drawn at random. With `together` the heads
    are removed as one set; text is generated for accuracy_drop and the failures before and after, and 20 random sets
    of as many heads, of the same layers where possible, are the control (excess: the damage beyond their mean). An
    effect is edited minus intact: a negative logit_diff change means the head helped. A single removal misses heads
    that back each other up; zero exaggerates, so repeat what matters with mean and resample. Cost: a sweep of all
    heads is by far the dearest call here.
    """

    kind: ClassVar[str] = "head_ablation"
    core: ClassVar[bool] = True

    heads: Annotated[
        list[str] | None, Field(description="Heads such as L7.H3, counted from 0. Null: all heads of `layers`.")
    ] = None
    layers: Annotated[list[int] | None, Field(description="Sweep only these layers. Null: all.")] = None
    together: Annotated[bool, Field(description="Remove `heads` all at once instead of one at a time.")] = False
    method: Annotated[
        Method,
        Field(description="zero: z becomes 0. mean: its mean over the prompts. resample: another prompt's z."),
    ] = "zero"
    sweep: Annotated[
        Sweep,
        Field(
            description="How a sweep looks. exact: every head in fp32. screen: every head in bf16, attribution: all at "
            "once by gradients, which misses heads of early layers; then the strongest are measured in fp32."
        ),
    ] = "exact"
    verify: Annotated[int, Field(ge=1, description="How many of the strongest of a screen are measured in fp32.")] = 24
    metric: Annotated[
        Literal["logit_diff", "loss", "prob", "kl"],
        Field(description="What is measured. kl: the divergence from the intact prediction, which needs no answer."),
    ] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if {"n_layers", "n_heads"} <= set(sizes):
            self.sites(sizes)
        self.require_metric(self.metric, task)
        if self.metric == "kl" and self.sweep == "attribution":
            raise BadConfiguration(
                "kl is lowest at the intact model and has no gradient there; use sweep screen or exact."
            )

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        """The heads meant. Raises BadConfiguration where one is not there."""
        from ..sites import check_site, head, named_heads

        if self.heads is not None and self.layers is not None:
            raise BadConfiguration("Give heads or layers, not both.")
        if self.heads is not None:
            return named_heads(self.heads, sizes)
        layers = range(sizes["n_layers"]) if self.layers is None else sorted(set(self.layers))
        if not layers:
            raise BadConfiguration("layers is empty; null means all.")
        return [check_site(head(layer, h), sizes) for layer in layers for h in range(sizes["n_heads"])]

    def run(self, lab: Lab) -> Result:
        sites = self.sites(lab.subject.sizes)
        return self.removed_at_once(lab, sites) if self.together or len(sites) == 1 else self.swept(lab, sites)

    def swept(self, lab: Lab, sites: list[Site]) -> Result:
        """Every head by itself."""
        from .. import screening
        from ..controls import among, per_prompt, random_heads
        from ..scoring import intact
        from ..statistics import effects, questions_asked

        prompts, _ = lab.prompts(self.n, self.split, self.seed)
        asked = [p.key for p in prompts]
        guesses: Array | None = None
        measured, seen = sites, {}
        notes: tuple[str, ...] = ()
        if self.sweep != "exact" and self.verify < len(sites):
            guesses, notes = self.guessed(lab, sites)
            order = screening.chosen(guesses, self.verify, self.seed)
            if self.sweep == "screen":
                seen = dict(zip(map(str, sites), guesses.mean(-1).tolist(), strict=True))
            measured, guesses = [sites[i] for i in order], guesses[order]
        # A screen has looked at others already; gradients are no changes that changes could be compared with.
        controls = random_heads(sites, lab.subject.sizes, self.method, self.seed) if guesses is None else []
        compared, more = self.measured(lab, measured, controls)
        values = compared.values(self.metric)
        values, beside = values[: 1 + len(measured)], values[1 + len(measured) :]
        change = values[1:] - values[0]
        found = effects([str(s) for s in measured], self.metric, change, asked, family=len(sites))
        if guesses is None or seen:
            rest = [value for name, value in seen.items() if name not in set(map(str, measured))]
            found = among(found, [*rest, *(beside - values[0]).mean(-1)])
        measurements = [*intact(self.metric, values[0], asked), questions_asked(asked), compared.identity(self.metric)]
        if controls:
            measurements.append(Measurement(name="controls", value=len(controls)))
        ranked = sorted(found, key=lambda e: -abs(e.value))
        significant = f", {sum((e.q or 1) < 0.05 for e in found)} change {self.metric} (q < 0.05)"
        text = f"Of {len(sites)} heads{significant if self.metric != 'kl' else ''}: strongest on {self.metric} "
        text += f"{', '.join(map(str, ranked[:5]))}."
        if guesses is not None:
            agreement = screening.agreement(guesses, change, self.verify)
            measurements += agreement
            text += screening.told("in bf16" if self.sweep == "screen" else "by gradients", agreement, self.verify)
        screened = {} if guesses is None else {"screened": guesses}
        return Result(
            measurements=tuple(measurements),
            effects=found,
            figures=(self.heat_map(lab, found, seen),),
            found=text,
            notes=tuple(dict.fromkeys((*compared.failed(self.metric), *notes, *more, *lab.doubts(*self.draw)))),
            arrays=per_prompt({self.metric: values, **screened}, asked, beside),
        )

    def measured(
        self, lab: Lab, sites: list[Site], controls: Sequence[Intervention] = (), subject: Subject | None = None
    ) -> tuple[Compared, tuple[str, ...]]:
        """The metric without each head, then under each control; and what is to be said about it."""
        from ..controls import compare
        from ..removal import removal, replacements

        _, batch = lab.prompts(self.n, self.split, self.seed)
        readout = lab.readout(self.metric, batch, subject)
        everything = [*(removal(str(s), [s], self.method) for s in sites), *controls]
        sources, notes = replacements(lab, self.draw, self.method, {"z"})
        doing = f"{len(sites)} heads{' in bf16' if subject else ''}"
        return compare(lab, doing, batch, everything, readout, sources, subject), notes

    def guessed(self, lab: Lab, sites: list[Site]) -> tuple[Array, tuple[str, ...]]:
        """[site, n]: the change by each head as the screen sees it."""
        import numpy as np

        from .. import engine
        from ..interventions import Edit
        from ..lab import numbers
        from ..removal import removal, replacements
        from ..rounded import rounded
        from ..scoring import readout_for
        from ..sites import Site

        if self.sweep == "screen":
            compared, notes = self.measured(lab, sites, subject=rounded(lab.subject))
            values = compared.values(self.metric)
            return values[1:] - values[0], notes
        _, batch = lab.prompts(self.n, self.split, self.seed)
        sources, notes = replacements(lab, self.draw, self.method, {"z"})
        layers = sorted({s.layer for s in sites})
        template = removal("all heads", [Site(layer=0, part="z")], self.method).edits[0]
        edits: list[Edit] = [template.model_copy(update={"site": Site(layer=layer, part="z")}) for layer in layers]
        found = engine.attribution(lab.subject, batch, edits, readout_for(self.metric, batch), self.metric, sources,
                                   lab.steps("gradients"))  # fmt: skip
        return np.stack([numbers(found[layers.index(s.layer)][:, s.index]) for s in sites]), notes

    def removed_at_once(self, lab: Lab, sites: list[Site]) -> Result:
        """The heads as one set, with random sets beside it."""
        from ..controls import compare, control_measurements, per_prompt, random_sets, told, unmatched
        from ..removal import removal, replacements
        from ..scoring import AnswerReadout, changes, intact
        from ..speech import compared
        from ..statistics import effects, questions_asked

        prompts, batch = lab.prompts(self.n, self.split, self.seed)
        asked = [p.key for p in prompts]
        removed = removal(" + ".join(map(str, sites)), sites, self.method)
        controls = random_sets(sites, lab.subject.sizes, self.method, self.seed)
        is_open = lab.task.answer_kind == "open"
        readout = lab.readout("kl", batch) if is_open else AnswerReadout(batch, intact=lab.prediction(batch))
        sources, notes = replacements(lab, self.draw, self.method, {"z"})
        run = compare(lab, "ablation and random controls", batch, [removed, *controls], readout, sources)
        if self.metric not in run.scores:
            raise BadConfiguration(f"The task {self.task} has prompts without a distractor; use metric loss.")
        values = run.values(self.metric)
        values, beside = values[:2], values[2:]
        change = values[1:] - values[0]
        found = effects([removed.name], self.metric, change, asked)
        measurements = [*intact(self.metric, values[0], asked), questions_asked(asked), run.identity(self.metric)]
        measurements += changes(run.scores, asked)
        changed = lab.speak(batch, [removed], sources)[0]
        spoken = compared(lab, prompts, lab.intact(*self.draw).said, changed, removed.name)
        measurements += spoken.measurements
        matched = control_measurements(self.metric, change[0], beside - values[0], asked)
        text = f"Without {removed.name} ({self.method}) {self.metric} changes by {found[0].told}. {spoken.text}"
        text += told(matched, "random sets of as many heads")
        kept = {name: run.values(name)[:2] for name in run.scores}
        return Result(measurements=(*measurements, *matched), effects=(*found, *spoken.effects), samples=spoken.samples,
                      figures=spoken.figures, found=text,
                      notes=(*run.failed(self.metric), *notes, *unmatched(matched), *lab.doubts(*self.draw)),
                      arrays=per_prompt(kept, asked, beside))  # fmt: skip

    def heat_map(self, lab: Lab, found: tuple[Effect, ...], seen: dict[str, float]) -> Figure:
        """What was measured, and where nothing was, what a bf16 screen saw; dots only where it was measured."""
        from ..scoring import METRICS
        from ..sites import parse_site

        sizes = lab.subject.sizes
        empty: list[list[Any]] = [[None] * sizes["n_heads"] for _ in range(sizes["n_layers"])]
        values, significant = [list(r) for r in empty], [list(r) for r in empty]
        clear = {e.site for e in found if (e.q or 1.0) < 0.05}
        for name, value in {**seen, **{e.site: e.value for e in found}}.items():
            site = parse_site(name)
            assert site.index is not None
            values[site.layer][site.index] = value
            significant[site.layer][site.index] = name in clear
        how = f"{self.method}, screened in bf16" if seen else self.method
        title = f"Change of {self.metric} when a head is removed ({how}): {lab.subject.name}, {self.task}"
        return Figure(name="heads", kind="head_heatmap", title=title, unit=METRICS[self.metric], n=self.n,
                      data={"values": values, "significant": significant})  # fmt: skip
