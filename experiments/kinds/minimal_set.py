"""Search for the smallest set of heads, MLPs or layers that breaks the task, or keeps it when alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..methods.control_pool import BEFORE, ControlPool
from ..methods.minimal_set import Smallest
from ..methods.removal import Parts, Removed
from ..metrics import ShareMetric, unit_of
from ..notes import note
from ..questions import WHICH_PARTS
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from ..interventions import Intervention
    from ..lab import Lab
    from ..methods.minimal_set import Score
    from ..sites import Site
    from ..tasks.prompt import Split
    from ..tasks.task import Task

NAMED, DRAWN = 16, 24


class MinimalSet(Experiment):
    """What is the smallest set of heads, MLPs or layers that breaks the task when removed, or keeps it when alone?

    Searches on other explore prompts: by each part's own damage, then by halving, then by dropping members one at a
    time until none can be spared (`beam` sets at once; 1 is greedy). Then tests the set on these prompts: share is the
    share of the intact metric that it leaves, and the task counts as broken or kept only if the whole interval lies on
    one side of the level; random_share is the share with 20 random sets of the same size. Verifies each member:
    effect[L7.H3] is the change when the set is without it; `members_needed` counts members without which the whole
    interval lies on the other side of the level. Finds parts that back each other up, which single removals miss. A set
    that cannot lose a member need not be the only one, nor the smallest: other seeds and a wider beam may give others.
    A part that is needed alone breaks the task by itself: to find parts that back each other up, name it in `besides`.
    With zero a kept set can fail because the stream leaves its usual range, so compare with mean. Cost: layers and MLPs
    about a hundred runs; heads a sweep and up to a thousand, keep more than break.
    """

    kind: ClassVar[str] = "minimal_set"
    question: ClassVar[str] = WHICH_PARTS
    aspect: ClassVar[str] = "together"
    later: ClassVar[frozenset[str]] = Experiment.later | {"besides"}
    before: ClassVar[Mapping[str, Any]] = BEFORE

    goal: Annotated[
        Literal["break", "keep"], Field(description="break: removing the set breaks the task. keep: it alone remains.")
    ] = "break"
    parts: Annotated[Parts, Field(description="Parts to search. A layer is its attention and its MLP.")] = "heads"
    layers: Annotated[
        list[int] | None, Field(description="Only parts of these layers; others stay in place. Null: all.")
    ] = None
    besides: Annotated[
        list[str] | None,
        Field(description="Parts that always stay in place, such as heads known to be needed alone: L0.H1."),
    ] = None
    level: Annotated[
        float, Field(gt=0, lt=1, description="Share of the intact metric at which the task counts as kept.")
    ] = 0.5
    beam: Annotated[int, Field(ge=1, le=8, description="Number of sets to search in parallel.")] = 1
    method: Removed = "zero"
    control_pool: ControlPool = "matched"
    metric: Annotated[ShareMetric, Field(description="Metric.")] = "logit_diff"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if {"n_layers", "n_heads"} <= set(sizes):
            self.searched_for(sizes)
        self.require_metric(self.metric, task)

    def searched_for(self, sizes: Mapping[str, int]) -> dict[str, tuple[Site, ...]]:
        """The parts to search, by name. Raises BadConfiguration for a part that does not exist."""
        from ..methods.removal import elements

        every = elements(self.parts, sizes, self.layers)
        unknown = [name for name in self.besides or () if name not in every]
        if unknown:
            raise BadConfiguration(
                f"{unknown[0]} is not among the {self.parts} to search, so besides cannot contain it. Leave it out."
            )
        found = {name: sites for name, sites in every.items() if name not in (self.besides or ())}
        if not found:
            raise BadConfiguration("besides names all parts, so there is nothing to search. Name fewer.")
        return found

    def run(self, lab: Lab) -> Result:
        from ..methods import pruning
        from ..methods.minimal_set import smallest

        every = self.searched_for(lab.subject.sizes)
        other, draw = pruning.search_lab(lab, self.draw)
        names, score = list(every), self.scored(other, draw, list(every))
        # Where not even all of them suffice, there is nothing to search, and no member that could be left out.
        if score([frozenset(names)])[0] < 0:
            return self.tried(lab, names, None)
        damage = pruning.damage_alone(other, draw, every, self.method, self.metric)
        order = [names[i] for i in (-damage).argsort(kind="stable")]
        return self.tried(lab, order, smallest(order, score, self.beam))

    def scored(self, lab: Lab, draw: tuple[int, Split, int], order: list[str]) -> Score:
        """How far each set lies beyond the level on the search's prompts; at least 0 where it is enough."""
        from ..lab import INTACT, numbers
        from ..methods.removal import replacements

        _, batch = lab.prompts(*draw)
        readout = lab.readout(self.metric, batch)
        taken = [self.removal(lab, order, order)]
        sources, _ = replacements(lab, draw, self.method, {e.site.part for e in taken[0].edits})
        intact = float(numbers(lab.run("intact", batch, [INTACT], readout)[self.metric]).mean())
        if intact <= 0:
            raise BadConfiguration(
                f"The intact {self.metric} is {intact:.3f} on the search's prompts, so there is nothing to keep or "
                "break. Use a task that the model can do."
            )
        sign = 1 if self.goal == "keep" else -1

        def score(sets: Sequence[frozenset[str]]) -> list[float]:
            made = [self.set_removal(lab, one, order) for one in sets]
            values = numbers(lab.run(f"{len(sets)} sets", batch, made, readout, sources)[self.metric]).mean(-1)
            # A set that leaves exactly the level keeps the task.
            return [sign * (float(v) / intact - self.level) - (self.goal == "break" and 1e-12) for v in values]

        return score

    def removal(self, lab: Lab, names: Collection[str], order: Sequence[str]) -> Intervention:
        from ..methods.removal import removal

        every = self.searched_for(lab.subject.sizes)
        return removal("without", [site for name in order if name in names for site in every[name]], self.method)

    def set_removal(self, lab: Lab, members: Collection[str], order: Sequence[str]) -> Intervention:
        """The removal of the set, or of all others."""
        gone = members if self.goal == "break" else set(order) - set(members)
        return self.removal(lab, gone, order)

    def tried(self, lab: Lab, order: list[str], found: Smallest | None) -> Result:
        """Test the set on the measured prompts: whole, without each member, and against random sets of its size."""
        from ..methods.control_pool import too_few
        from ..methods.control_subsets import random_subsets, subsets_there_are
        from ..methods.controls import compare, of_layers, per_prompt
        from ..methods.removal import replacements
        from ..statistics.intervals import effects, measurement, questions_asked, share
        from ..statistics.p_values import p_text
        from ..statistics.random_sets import DRAWS
        from ..statistics.ratios import ratio_interval

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        members = order if found is None else list(found.members)
        every, n_layers = self.searched_for(lab.subject.sizes), lab.subject.anatomy.n_layers
        drawn = random_subsets(every, members, n_layers, self.seed, DRAWS, self.control_pool)
        few = too_few(self.control_pool, len(drawn), subsets_there_are(every, members)) if drawn else ()
        fewer = [] if found is None else [set(members) - {name} for name in members]
        made = [self.set_removal(lab, one, order) for one in (members, *fewer, *drawn)]
        everything = self.removal(lab, order, order)
        sources, notes = replacements(lab, self.draw, self.method, {e.site.part for e in everything.edits})
        # A real removal comes first: the identity control is made from it.
        run = compare(lab, "the set, its members and random sets", batch, [everything, *made],
                      lab.readout(self.metric, batch), sources)  # fmt: skip
        values = run.values(self.metric)
        intact, at_all, own = values[0], values[1], values[2]
        without, beside = values[3 : 3 + len(fewer)], values[3 + len(fewer) :]
        base = measurement(f"intact_{self.metric}", intact, unit_of(self.metric), asked, self.metric)
        if (base.low or 0.0) <= 0:
            raise BadConfiguration(
                f"The intact {self.metric} is {base.text}, not above 0, so there is nothing to keep or break. Use more "
                "prompts, or a task that the model can do."
            )
        whole = float(intact.mean())
        left, low, high = (float(x) for x in ratio_interval(own, intact, asked))
        enough = self.shown(low, high)
        bounds = [(float(a), float(b)) for _, a, b in (ratio_interval(row, intact, asked) for row in without)]
        needed = [name for name, at in zip(members, bounds, strict=bool(fewer)) if self.shown(*at) is False]
        measured = [base, questions_asked(asked), run.identity(self.metric),
                    Measurement(name="size", value=len(members), unit=self.parts),
                    Measurement(name="share", value=left, low=low, high=high, n=len(asked)),
                    Measurement(name="all_removed", value=float(at_all.mean()) / whole, n=len(asked))]  # fmt: skip
        if enough and found is not None:
            # If the set itself is not enough, this would hold for every member.
            measured.append(Measurement(name="members_needed", value=len(needed), unit=self.parts))
        compared = ""
        if len(beside):
            shares = beside.mean(-1) / whole
            outdone = share("better", (shares > left if self.goal == "break" else shares < left).astype(float))
            at_random = measurement("random_share", shares)
            measured += [at_random, outdone.model_copy(update={"name": "better_than_random"})]
            as_good = int((shares <= left if self.goal == "break" else shares >= left).sum())
            removed = [self.removal(lab, one, order) for one in drawn]
            pool = of_layers(self.control_pool, removed, n_layers)
            compared = (
                f" {len(shares)} random sets of the same size{pool} leave {at_random.text}; the set has rank "
                f"{1 + as_good} of {1 + len(shares)} (p {p_text((1 + as_good) / (1 + len(shares)))})."
            )
        rows = effects(members, self.metric, without - own, asked) if fewer else ()
        verb = "Without" if self.goal == "break" else "With only"
        listed = ", ".join(members[:NAMED]) + (f" and {len(members) - NAMED} more" if len(members) > NAMED else "")
        text = (
            f"{verb} {len(members)} of {len(order)} {self.parts} ({self.method}: {listed or 'none'}), {left:.3f} "
            f"[{low:.3f}, {high:.3f}] of the intact {self.metric} is left: {self.said(low, high)}."
        )
        if enough and found is not None:
            text += f" {len(needed)} of {len(members)} members are shown to be needed: without any one of them the set "
            text += "is not enough."
        if found is None:
            text = f"Even all {len(order)} {self.parts} do not {self.goal} the task on the search's prompts. {text}"
        elif enough is None:
            notes = (*notes, note("set_open"))
        elif not enough:
            notes = (*notes, note("set_not_enough"))
        searched = f" Found on other prompts among {found.tried} sets." if found else ""
        return Result(
            measurements=tuple(measured),
            effects=rows,
            figures=self.drawings(lab, rows, found),
            found=text + compared + searched,
            notes=(*run.failed(self.metric), *notes, *few),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays=per_prompt({self.metric: values[[2, *range(3, 3 + len(fewer))]], "intact": intact[None]}, asked,
                              beside),
        )  # fmt: skip

    def shown(self, low: float, high: float) -> bool | None:
        """Whether a share with this interval is enough; None if the interval contains the level."""
        if low < self.level <= high:
            return None
        return (low >= self.level) == (self.goal == "keep")

    def said(self, low: float, high: float) -> str:
        if low < self.level <= high:
            return f"undecided whether the task is kept or broken (level {self.level:g})"
        return f"the task is {'kept' if low >= self.level else 'broken'} (level {self.level:g})"

    def drawings(self, lab: Lab, rows: Sequence[Effect], found: Smallest | None) -> tuple[Figure, ...]:

        about = f"{lab.subject.name}, {self.task}"
        ranked = sorted(rows, key=lambda e: -abs(e.value))[:DRAWN]
        figures: list[Figure] = []
        if ranked:
            bars = {"labels": [e.site for e in ranked], "values": [e.value for e in ranked],
                    "low": [e.low for e in ranked], "high": [e.high for e in ranked]}  # fmt: skip
            doing = "removed" if self.goal == "break" else "kept"
            title = f"Change of {self.metric} when the {doing} set lacks a member ({self.method}): {about}"
            figures.append(Figure(name="members", kind="layer_bars", title=title, unit=unit_of(self.metric), n=self.n,
                                  data=bars))  # fmt: skip
        if found is not None and len(found.path) > 1:
            sign = 1 if self.goal == "keep" else -1
            best = {size: self.level + sign * score for size, score in sorted(found.path, key=lambda p: p[1])}
            sizes = sorted(best)
            lines = [{"name": "best set of this size", "y": [best[size] for size in sizes]},
                     {"name": f"level {self.level:g}", "y": [self.level] * len(sizes)}]  # fmt: skip
            title = f"Share of {self.metric} that sets leave on the search's prompts, {self.goal}: {about}"
            data = {"x": sizes, "x_label": f"{self.parts} in the set", "series": lines}
            figures.append(Figure(name="search", kind="lines", title=title, unit="share of the intact", n=self.n,
                                  data=data))  # fmt: skip
        return tuple(figures)
