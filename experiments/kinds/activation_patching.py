"""Patch activations from one run into another, site by site, and measure how much of the difference they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..methods.groups_of_changes import GroupsOfChanges
from ..methods.patching import Patching
from ..notes import note
from ..questions import WHERE_PROMPTS_DIFFER
from ..result import Effect, Measurement, Note, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..lab import Lab
    from ..methods.patching import Place
    from ..statistics.intervals import Array
    from ..statistics.recovery import Scale
    from ..tasks.corrupted_prompts import CorruptedPrompts
    from ..tasks.task import Task

DONATED = 8


class ActivationPatching(Patching):
    """Where does the model hold or move the information that distinguishes a prompt from its corrupted prompt? Patches
    activations from one run into the other (arXiv 2202.05262, 2404.15255).

    Sweeps one part over layers and positions, or over all heads, one at a time. recovery is edited minus base, as a
    share of clean minus corrupted: denoising goes from 0 (no effect) to 1 (the clean answer is back), noising from 0
    (no effect) to -1 (as corrupted). Each has interval, p, q and percentile; both ends are given in logits. Fails if
    clean and corrupted do not differ. Controls: the identity; everything patched, which must give the other run; the
    strongest sites with the values of another prompt (donor: what those give is not about this prompt); together, all
    swept sites at once. Denoising shows what suffices, noising what is needed: redundant parts show only in denoising.
    A stream patch carries everything computed before it. Needs a task with corrupted prompts. Cost: one run per site.
    """

    kind: ClassVar[str] = "activation_patching"
    question: ClassVar[str] = WHERE_PROMPTS_DIFFER
    core: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = Patching.later | {"by"}

    by: GroupsOfChanges = None

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.by is not None:
            from ..methods.by_group import require_groups_of_changes

            require_groups_of_changes(task, task.prompts(*self.draw), self.by)

    def run(self, lab: Lab) -> Result:
        from ..interventions import Edit, Intervention
        from ..methods.controls import among, compare, per_prompt
        from ..methods.value_lens import tokens_at
        from ..sites import Site
        from ..statistics.intervals import questions_asked
        from ..statistics.recovery import RECOVERY, WHOLE

        pair, sizes = self.pair(lab), lab.subject.sizes
        places = self.places(pair, self.swept(sizes))
        others = self.others(places, sizes)
        scale = self.scale(lab, pair)
        base, other = self.runs(pair)
        patches = [place.patch("twin") for place in (*places, *others)]
        entry = Edit(site=Site(layer=0, part="resid_pre"), op="replace", source="twin")
        # Later edits of a site do not undo earlier ones: all values come from the same run.
        both = [Intervention(name="together", edits=tuple(e for p in patches[: len(places)] for e in p.edits)),
                Intervention(name="everything", edits=(entry,))]  # fmt: skip
        source = self.lent(lab, base, other, {"resid_pre", *(p.site.part for p in (*places, *others))})
        run = compare(lab, f"{self.what} patched, {self.direction}", base, [*patches, *both],
                      lab.readout(self.metric, base), {"twin": source})  # fmt: skip
        values = run.values(self.metric)
        change = values[1:] - values[0]
        swept, beside = change[: len(places)], change[len(places) : len(patches)]
        found = among(scale.effects([str(p) for p in places], swept), scale.mean(beside).tolist())
        lent, sentence, more = self.donated(lab, pair, scale, places, found)
        off = float(abs(abs(change[-1]) - abs(scale.whole)).max())
        groups, merged = self.grouped(lab, pair, places, swept, scale)
        return Result(
            measurements=(*scale.measurements(), questions_asked(pair.asked), run.identity(self.metric),
                          scale.share("everything", change[-1]), scale.share("together", change[-2]),
                          *([Measurement(name="controls", value=len(others))] if others else []), *groups),
            effects=(*found, *lent),
            figures=(self.drawing(lab, pair, places, found, f"Recovery by patches of {self.what}, {self.direction}"),),
            found=self.summary(scale, found) + held(places, found) + sentence + self.changed(pair)
            + tokens_at(lab, base, {place.positions for place in places}),
            notes=(*pair.notes, *run.failed(self.metric), *not_everything(off, self.metric), *more, *merged),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({RECOVERY: values[: 1 + len(places)]}, pair.asked, values[0] + beside),
                    WHOLE: scale.whole},
        )  # fmt: skip

    def grouped(
        self, lab: Lab, pair: CorruptedPrompts, places: list[Place], change: Array, scale: Scale
    ) -> tuple[list[Measurement], tuple[Note, ...]]:
        """The changes [place, n] by the clean prompts' groups, and the difference to restore, if groups are asked for.

        In the metric's own units: a share of a difference that is near zero in a small group would say nothing.
        """
        if self.by is None:
            return [], ()
        from ..lab import INTACT
        from ..methods.by_group import RIGHT, changes_by_group

        correct = lab.correct(pair.prompts, lab.speak(pair.clean, [INTACT])[0]) if self.by == RIGHT else None
        return changes_by_group(pair.prompts, pair.clean, self.by, [str(p) for p in places], change, self.metric,
                                correct, {"gap": scale.whole})  # fmt: skip

    @property
    def what(self) -> str:
        return self.part if self.sites is None else "chosen sites"

    def summary(self, scale: Scale, found: tuple[Effect, ...]) -> str:
        from ..statistics.strongest import clear, largest

        way = "from clean into corrupted" if self.direction == "denoising" else "from corrupted into clean"
        return (
            f"{scale.summary}. {sum(map(clear, found))} of {len(found)} patches ({self.direction}, {way}) change "
            f"it (q < 0.05); {largest(found, ' by recovery', said=scale.said)}."
        )

    def donated(
        self, lab: Lab, pair: CorruptedPrompts, scale: Scale, places: list[Place], found: tuple[Effect, ...]
    ) -> tuple[tuple[Effect, ...], str, tuple[Note, ...]]:
        """The strongest sites patched with another prompt's values: measurements, a sentence, and notes."""
        from ..lab import INTACT, numbers
        from ..tasks.corrupted_prompts import donors

        base, _ = self.runs(pair)
        batch, rows = donors(lab, pair, self.seed, clean=self.direction == "denoising")
        if not rows:
            return (), "", (note("no_donor_control"),)
        order = sorted(range(len(places)), key=lambda i: -abs(found[i].value))[:DONATED]
        strongest = [places[i] for i in order]
        source = self.lent(lab, base, batch, {p.site.part for p in strongest})
        scores = lab.run(f"donors, {self.direction}", base, [INTACT, *(p.patch("donor") for p in strongest)],
                         lab.readout(self.metric, base), {"donor": source})[self.metric]  # fmt: skip
        values: Array = numbers(scores)
        change = values[1:] - values[0]
        kept = scale.rows(rows)
        lent = kept.untested([str(p) for p in strongest], "donor", change[:, rows])
        own = sum(found[i].value for i in order) / len(order)
        donor = sum(e.value for e in lent) / len(lent)
        sentence = f" The {len(order)} largest recover {own:.3f} on average; with another prompt's values {donor:.3f}."
        few = len(pair.prompts) - len(rows)
        notes = (note("some_without_donor", few=few, n=len(pair.prompts)),) if few else ()
        return lent, sentence, notes


def held(places: list[Place], found: tuple[Effect, ...]) -> str:
    """A sentence with the sites, layer by layer, where the stream carries more than half of the difference."""
    if any(place.site.part != "resid_pre" for place in places):
        return ""
    from ..interventions import show_layers

    layers: dict[str, list[int]] = {}
    for place, effect in zip(places, found, strict=True):
        if abs(effect.value) > 0.5 and place.positions != "all":
            layers.setdefault(place.positions, []).append(place.site.layer)
    sites = "; ".join(f"{where} {show_layers(tuple(held))}" for where, held in layers.items())
    return f" More than half of it before the layers: {sites}." if sites else ""


def not_everything(off: float, metric: str) -> tuple[Note, ...]:
    """The note for a result in which everything patched does not equal the other run; otherwise none."""
    from ..methods.controls import TOLERANCE

    return () if off <= TOLERANCE else (note("patching_failed", metric=metric, off=off),)
