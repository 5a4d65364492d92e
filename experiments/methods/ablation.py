"""Ablation of heads, MLPs and neurons: how all of these kinds measure, control and report it.

Either one site at a time, compared with other sites of the same part; or a set at once, compared with random sets of
the same size. A kind chooses the sites, how to screen a long list of them, and how to draw the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..metrics import AnyMetric, is_distance
from ..result import Effect, Figure, Measurement, Note, Result
from ..sites import COUNTED, Part, Site
from .control_pool import BEFORE, ControlPool
from .groups_of_changes import GroupsOfChanges
from .removal import Method, Removed

if TYPE_CHECKING:
    from ..interventions import Intervention
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..statistics.screening import Look
    from ..tasks.prompt import Split
    from ..tasks.task import Task
    from .controls import Compared


@dataclass(frozen=True)
class Screened:
    """The sites that a screen chose to measure.

    order    the sites, the strongest first, then some of the rest, drawn at random
    guesses  [site, n], the screen's estimates for these
    how      in words, such as "by gradients", and the precision
    family   the number of sites from which these prompts selected the strongest; 0 if other prompts selected them
    seen     by name, the mean of every estimate, if it is comparable with what is measured
    """

    order: list[int]
    guesses: Array
    how: str
    family: int
    seen: Mapping[str, float] = field(default_factory=dict)


class Ablation(Experiment):
    """The removal of sites of one part, and the paired change that it causes."""

    later: ClassVar[frozenset[str]] = Experiment.later | {"controls", "by"}
    before: ClassVar[Mapping[str, Any]] = BEFORE
    part: ClassVar[Part]
    # The name of what is removed, for sentences.
    parts: ClassVar[str]

    together: Annotated[bool, Field(description="Remove all at once instead of one at a time.")] = False
    method: Removed = "zero"
    metric: Annotated[
        AnyMetric,
        Field(description="Metric. kl: the divergence from the intact prediction, which needs no answer."),
    ] = "logit_diff"

    controls: Annotated[
        int,
        Field(
            ge=1, le=2000,
            description="Number of random controls; beyond_control draws its own.",
        ),
    ] = 20  # fmt: skip
    control_pool: ControlPool = "matched"
    by: GroupsOfChanges = None

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        counted = {COUNTED[self.part][1]} if self.part in COUNTED else set[str]()
        if {"n_layers", *counted} <= set(sizes):
            self.sites(sizes)
        self.require_metric(self.metric, task)
        if self.by is not None:
            from .by_group import require_groups_of_changes

            require_groups_of_changes(task, task.prompts(*self.draw), self.by)

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        """The sites to remove. Raises BadConfiguration if one does not exist."""
        raise NotImplementedError

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        from .control_sets import random_sets

        if not {"n_layers", *({COUNTED[self.part][1]} if self.part in COUNTED else ())} <= set(sizes):
            return None
        sites = self.sites(sizes)
        if not (self.together or len(sites) == 1):
            return None
        if self.control_pool == "anywhere":
            return self.sets_anywhere(sites, sizes)
        return len(random_sets(sites, sizes, self.method, self.seed, self.controls))

    def sets_anywhere(self, sites: Sequence[Site], sizes: Mapping[str, int]) -> int:
        """How many sets of the same size there are in the whole model, without sites outside the matched kind."""
        from ..statistics.random_sets import possible_sets
        from .controls import every

        return min(self.controls, possible_sets(len(every(self.part, sizes)), len(sites)))

    def removed(self, site: str, n_layers: int) -> frozenset[str]:
        return frozenset(site.split(" + "))

    def screen(self, lab: Lab, sites: list[Site]) -> tuple[Screened | None, tuple[Note, ...]]:
        """Screen many sites to choose a few to measure; None: measure all. With notes."""
        return None, ()

    def others(self, lab: Lab, measured: list[Site], screened: Screened | None) -> list[Intervention]:
        """Single other sites, to compare with sites that are measured one at a time."""
        # A screen has already measured others.
        return [] if screened is not None else self.single_others(lab, measured, self.controls - (len(measured) - 1))

    def single_others(self, lab: Lab, measured: list[Site], count: int | None = None) -> list[Intervention]:
        from .control_sets import random_others

        return random_others(measured, lab.subject.sizes, self.method, self.seed, count, self.control_pool)

    def drawings(self, lab: Lab, found: tuple[Effect, ...], screened: Screened | None) -> tuple[Figure, ...]:
        raise NotImplementedError

    def run(self, lab: Lab) -> Result:
        sites = self.sites(lab.subject.sizes)
        return self.removed_at_once(lab, sites) if self.together or len(sites) == 1 else self.swept(lab, sites)

    def swept(self, lab: Lab, sites: list[Site]) -> Result:
        """Measure every site by itself."""
        from ..answers.scoring import intact
        from ..statistics import screening
        from ..statistics.intervals import effects, questions_asked
        from ..statistics.strongest import clear, largest
        from .controls import among, of_layers, per_prompt

        prompts, _ = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        screened, remarks = self.screen(lab, sites)
        measured = sites if screened is None else [sites[i] for i in screened.order]
        controls = self.others(lab, measured, screened)
        compared, more = self.measured(lab, measured, controls)
        values = compared.values(self.metric)
        values, beside = values[: 1 + len(measured)], values[1 + len(measured) :]
        change = values[1:] - values[0]
        family = len(sites) if screened is None else screened.family
        found = effects([str(s) for s in measured], self.metric, change, asked, family=family)
        others = (beside - values[0]).mean(-1).tolist()
        if screened is None or screened.seen:
            seen = {} if screened is None else screened.seen
            others += [value for name, value in seen.items() if name not in set(map(str, measured))]
            found = among(found, others)
        elif others:
            # The measured ones are the strongest of many, so they do not show what is usual.
            found = tuple(among([effect], others)[0] for effect in found)
        measurements = [*intact(self.metric, values[0], asked), questions_asked(asked), compared.identity(self.metric)]
        if controls:
            measurements.append(Measurement(name="controls", value=len(controls)))
        pool = of_layers(self.control_pool, controls, lab.subject.sizes["n_layers"])
        significant = "" if is_distance(self.metric) else f", {sum(map(clear, found))} change {self.metric} (q < 0.05)"
        text = f"Of {len(sites)} {self.parts}{significant}: {largest(found, f' on {self.metric}')}."
        text += f" Percentiles also include {len(controls)} other {self.parts}{pool}." if pool else ""
        kept = {self.metric: values}
        grouped, merged = self.grouped(lab, [str(s) for s in measured], change)
        measurements += grouped
        if screened is not None:
            agreement = screening.agreement(screened.guesses, change, self.strongest)
            measurements += agreement
            text += screening.summary(screened.how, agreement, self.strongest)
            kept["screened"] = screened.guesses
        return Result(
            measurements=tuple(measurements),
            effects=found,
            figures=self.drawings(lab, found, screened),
            found=text,
            notes=tuple(dict.fromkeys((*compared.failed(self.metric), *remarks, *more, *merged))),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays=per_prompt(kept, asked, beside),
        )

    def grouped(self, lab: Lab, names: list[str], change: Array) -> tuple[list[Measurement], tuple[Note, ...]]:
        """The changes [site, n] by group, if groups are asked for."""
        if self.by is None:
            return [], ()
        from .by_group import RIGHT, changes_by_group

        prompts, batch = lab.prompts(*self.draw)
        correct = lab.intact(*self.draw).correct if self.by == RIGHT else None
        return changes_by_group(prompts, batch, self.by, names, change, self.metric, correct)

    @property
    def strongest(self) -> int:
        """How many of the strongest in a screen to measure."""
        raise NotImplementedError

    def measured(
        self, lab: Lab, sites: Sequence[Site], controls: Sequence[Intervention] = (), look: Look | None = None
    ) -> tuple[Compared, tuple[Note, ...]]:
        """The metric without each site, then under each control; and notes. `look` makes it a screen, less exact."""
        from .controls import compare
        from .removal import removal, replacements

        _, batch = lab.prompts(*self.draw)
        subject, narrowed = (None, None) if look is None else (look.subject, look.narrowed)
        readout = lab.readout(self.metric, batch, subject)
        everything = [*(removal(str(s), [s], self.method) for s in sites), *controls]
        sources, notes = replacements(lab, self.draw, self.method, {self.part}, layers_of(everything))
        doing = f"{len(sites)} {self.parts}{f' {look.how}' if look else ''}"
        return compare(lab, doing, batch, everything, readout, sources, subject, narrowed), notes

    def removed_at_once(self, lab: Lab, sites: list[Site]) -> Result:
        """Remove the sites as one set, and compare with random sets."""
        from ..answers.scoring import changes, intact
        from ..answers.speech import compared
        from ..statistics.intervals import effects, questions_asked
        from .control_pool import too_few
        from .control_sets import random_sets
        from .controls import compare, control_measurements, control_summary, of_layers, per_prompt, unmatched
        from .removal import removal, replacements

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        removed = removal(" + ".join(map(str, sites)), sites, self.method)
        sizes = lab.subject.sizes
        controls = random_sets(sites, sizes, self.method, self.seed, self.controls, self.control_pool)
        few = too_few(self.control_pool, len(controls), self.sets_anywhere(sites, sizes), self.controls)
        readout = lab.whole_readout(batch)
        everything = [removed, *controls]
        sources, notes = replacements(lab, self.draw, self.method, {self.part}, layers_of(everything))
        run = compare(lab, "ablation and random controls", batch, everything, readout, sources)
        if self.metric not in run.scores:
            raise BadConfiguration(f"The task {self.task} has prompts without a distractor. Use metric loss.")
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
        text = f"Without {removed.name} ({self.method}) {self.metric} changes by {found[0].text}. {spoken.text}"
        pool = of_layers(self.control_pool, controls, sizes["n_layers"])
        text += control_summary(matched, f"random sets of as many {self.parts}{pool}")
        kept = {name: run.values(name)[:2] for name in run.scores}
        grouped, merged = self.grouped(lab, [removed.name], change)
        return Result(measurements=(*measurements, *matched, *grouped), effects=(*found, *spoken.effects),
                      samples=spoken.samples, figures=spoken.figures, found=text,
                      notes=(*run.failed(self.metric), *notes, *unmatched(matched), *few, *merged),
                      doubts=lab.doubts(*self.draw, self.metric),
                      arrays=per_prompt(kept, asked, beside))  # fmt: skip


def estimates(
    lab: Lab, draw: tuple[int, Split, int], part: Part, layers: Sequence[int], method: Method, metric: str
) -> tuple[dict[int, Array], tuple[Note, ...]]:
    """The change by removing each head or neuron of some layers, estimated by gradients, by layer [n, unit]."""
    from .. import engine
    from ..answers.scoring import readout_for
    from ..lab import numbers
    from .removal import removal, replacements

    _, batch = lab.prompts(*draw)
    sources, notes = replacements(lab, draw, method, {part}, layers)
    edits = [removal("all of it", [Site(layer=layer, part=part)], method).edits[0] for layer in layers]
    found = engine.attribution(lab.subject, batch, edits, readout_for(metric, batch), metric, sources,
                               lab.steps("gradients"))  # fmt: skip
    return {layer: numbers(each) for layer, each in zip(layers, found, strict=True)}, notes


def layers_of(interventions: Sequence[Intervention]) -> list[int]:
    return sorted({edit.site.layer for one in interventions for edit in one.edits})


def chosen_layers(layers: Sequence[int] | None, sizes: Mapping[str, int]) -> Sequence[int]:
    """These layers, or all for None. Raises BadConfiguration if one does not exist, or the list is empty."""
    from ..sites import check_site

    found = range(sizes["n_layers"]) if layers is None else sorted(set(layers))
    if not found:
        raise BadConfiguration("layers is empty. Use null for all.")
    for layer in found:
        check_site(Site(layer=layer, part="resid_post"), sizes)
    return found
