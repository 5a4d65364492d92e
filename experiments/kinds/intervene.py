"""Any intervention that the engine can make, written as lines of text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..edit_lines import Line, parse_line, removal_of
from ..errors import BadConfiguration
from ..experiment import Experiment, Whole
from ..methods.control_pool import BEFORE, ControlPool
from ..methods.readings import Reading, parse_reading
from ..metrics import unit_of
from ..questions import ANYTHING
from ..result import Effect, Figure, Measurement, Result, Sample

if TYPE_CHECKING:
    from ..interventions import Intervention
    from ..lab import Lab
    from ..methods.edit_sources import Base
    from ..statistics.intervals import Array
    from ..tasks.task import Task

_CONTRAST = re.compile(r"\s*(?P<one>\S.*?)\s+minus\s+(?P<other>\S.*?)\s*")


class Intervene(Experiment):
    """What happens under any intervention that you write down? Use it where no other kind fits.

    `edit`: lines, each one edit. They are one intervention, unless they begin with its name: "A: zero L5.H3". Lines:

    - zero | mean | resample | freeze PLACES (freeze: the intact value)
    - scale PLACES by NUMBER
    - patch PLACES from corrupted | clean | "a text" | same answer and other a (another prompt, by its values)
    - add PLACES along " Paris" by 8 | project_out PLACES along " Paris" - " Rome" (or along answer - distractor,
      corrupted - clean; a token's direction has length 1)
    - cut HEADS from KEYS to QUERIES (attention knockout) | attend HEADS@QUERIES to KEYS
    - skip L5 | skip L5@first | repeat L5 | swap L5 L6 | layers 0-4 6-29

    PLACES: L5.H3 L7.mlp, L10-20.H*, L*.mlp@last, L7.resid_pre@s2, L5 (attention and MLP), with "except L12.H3".
    Positions: all, last, first, all-first, spans; with corrupted also changed, read. `read`: metrics, logit_diff@L9
    (lens after layer 9), prob " Paris" " Rome", projection L7.resid_post@last on " Paris", top, text. One paired effect
    for each intervention and contrast.
    Controls: identity, and the first intervention at 20 random other places of the same form.
    """

    kind: ClassVar[str] = "intervene"
    question: ClassVar[str] = ANYTHING
    core: ClassVar[bool] = True
    before: ClassVar[Mapping[str, Any]] = BEFORE
    example: ClassVar[str] = '--edit "zero L5.H3"'

    edit: Annotated[
        list[str],
        Whole(),
        Field(min_length=1, max_length=200, description='Lines such as "A: zero L5.H3".'),
    ]  # fmt: skip
    read: Annotated[
        list[str] | None,
        Whole(),
        Field(max_length=20, description="The first metric has the controls. Null: logit_diff, loss or kl, the first "
              "that the task has."),
    ] = None  # fmt: skip
    contrast: Annotated[
        list[str] | None, Whole(), Field(max_length=50, description='Differences of interventions: "A minus B".')
    ] = None
    run_on: Annotated[Literal["prompts", "corrupted"], Field(description="The prompts to run.")] = "prompts"
    controls: Annotated[
        int, Field(ge=1, le=2000, description="Number of random controls; beyond_control draws its own.")
    ] = 20
    control_pool: ControlPool = "matched"

    # --- the configuration ----------------------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        """Raises BadConfiguration for a line that cannot be read."""
        return [parse_line(text) for text in self.edit]

    def check_sites(self) -> None:
        self.lines()

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        lines = self.lines()
        readings = self.readings(task, sizes.get("n_layers"))
        for reading in readings:
            if reading.what == "metric":
                self.require_metric(reading.metric, task)
        if {"n_layers", "n_heads", "n_kv_heads", "d_mlp"} <= set(sizes):
            from ..methods.intervene import interventions

            named = interventions(lines, sizes)
            lens = [one for one in readings if one.layer is not None]
            if lens and (moved := [one.name for one in named if one.program is not None]):
                raise BadConfiguration(f"{moved[0]} changes the order of layers, so nothing can be read after one of "
                                       "them. Read the metric without @.")  # fmt: skip
            same = {str(edit.site) for one in named for edit in one.edits}
            for one in readings:
                if one.before and (site := f"L{(one.layer or 0) + 1}.resid_pre") in same:
                    raise BadConfiguration(f"An edit of {site} comes after what '{one.text}' reads. Read resid_post.")
        self.contrasts([line.name for line in lines])

    def readings(self, task: Task, n_layers: int | None = None) -> list[Reading]:
        """At least one of them is a metric of the whole model: the first metric that the task has, if none is asked."""
        asked = [parse_reading(text, n_layers) for text in self.read or ()]
        if any(one.what == "metric" and one.layer is None for one in asked):
            return asked
        if task.answer_kind == "open":
            usual = "kl"
        else:
            prompts = task.prompts(self.n, self.split, self.seed)
            usual = "loss" if any(p.distractor is None for p in prompts) else "logit_diff"
        return [Reading(what="metric", metric=usual), *asked]

    def contrasts(self, names: Sequence[str]) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for text in self.contrast or ():
            form = _CONTRAST.fullmatch(text)
            if form is None or not {form["one"], form["other"]} <= set(names):
                raise BadConfiguration(f"'{text}' is not a contrast of two of {', '.join(dict.fromkeys(names))}. Write "
                                       "A minus B, where the lines of edit begin with A: and B:.")  # fmt: skip
            found.append((form["one"], form["other"]))
        return found

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        from ..methods.intervene import interventions, moved

        if not {"n_layers", "n_heads", "n_kv_heads", "d_mlp"} <= set(sizes):
            return None
        return len(moved(interventions(self.lines(), sizes)[0], sizes, self.seed, self.controls, self.control_pool))

    @property
    def removal(self) -> tuple[str, frozenset[str]] | None:
        """The method and the parts, if all it does is to remove whole parts at every position of the task's prompts."""
        lines = self.lines()
        # With several interventions, the controls are those of the first one only.
        alone = len({line.name for line in lines}) == 1
        return removal_of(lines) if alone and self.run_on == "prompts" else None

    def removed(self, site: str, n_layers: int) -> frozenset[str]:
        return frozenset() if self.removal is None or site != self.lines()[0].name else self.removal[1]

    def removal_method(self) -> str:
        return super().removal_method() if self.removal is None else self.removal[0]

    # --- the run --------------------------------------------------------------------------------------------------

    def base(self, lab: Lab, lines: Sequence[Line]) -> Base:
        """The prompts to run; with their corrupted prompts if a line, or the base, needs these."""
        from ..methods.edit_sources import Base
        from ..tasks.batch import make_batch
        from ..tasks.corrupted_prompts import corrupted_prompts
        from ..tasks.donors_by_rule import prompts_with_donors

        both = self.run_on == "corrupted" or any(
            (line.donor is not None and line.donor.run is not None)
            or (line.along is not None and line.along.runs == "corrupted - clean")
            or {"changed", "read"} & {at.removeprefix("all-") for at in line.positions}
            for line in lines
        )  # fmt: skip
        rules = [line.donor.rules for line in lines if line.donor is not None and line.donor.rules]
        if both and rules:
            raise BadConfiguration("Donors by rule and corrupted prompts do not go together. Run two experiments.")
        if rules:
            prompts, skipped = prompts_with_donors(lab, self.draw, rules)
            return Base(prompts, make_batch(lab.subject.tokenizer, prompts, lab.subject.device), None, skipped)
        if not both:
            return Base(*lab.prompts(*self.draw), whole_draw=True)
        pair = corrupted_prompts(lab, self.draw)
        return Base(pair.prompts, pair.corrupted if self.run_on == "corrupted" else pair.clean, pair,
                    pair.notes)  # fmt: skip

    def run(self, lab: Lab) -> Result:
        from ..answers.scoring import changes, intact
        from ..lab import numbers
        from ..methods.controls import compare, control_measurements, control_summary, of_layers, per_prompt, unmatched
        from ..methods.edit_sources import sources
        from ..methods.intervene import at_positions, interventions, moved
        from ..methods.removal import require_only_two_branches
        from ..statistics.intervals import effects, questions_asked

        sizes, lines = lab.subject.sizes, self.lines()
        if any(map(at_positions, lines)):
            require_only_two_branches(lab.subject, "Skip whole layers, without @.")
        named = interventions(lines, sizes)
        readings = self.readings(lab.task, sizes["n_layers"])
        base = self.base(lab, lines)
        batch, asked = base.batch, [prompt.key for prompt in base.prompts]
        lent, notes = sources(lab, base, lines, self.draw)
        metrics = list(dict.fromkeys(one.metric for one in readings if one.what == "metric" and one.layer is None))
        main = metrics[0]
        whole = any(one.what in ("prob", "top") for one in readings)
        only = len(metrics) == 1 and len(named) > 1 and not whole
        readout = lab.readout(main, batch) if only else lab.whole_readout(batch, keep_log_probs=whole)
        run = compare(lab, "interventions", batch, named, readout, lent)
        log_probs = run.scores.pop("log_probs", None)
        names = [one.name for one in named]
        pairs = self.contrasts(names)
        kept: dict[str, Array] = {}
        found: list[Effect] = []
        projections: list[Measurement] = []
        for metric in metrics:
            kept[metric] = run.values(metric)
            found += self.changed(names, pairs, kept[metric], metric, asked, effects)
        for reading in readings:
            if reading.what == "projection":
                own, effects_on = self.projected(lab, base, named, lent, reading, pairs, asked)
                projections.append(own)
                found += effects_on
            elif reading.layer is not None:
                found += self.through_lens(lab, base, named, lent, reading, pairs, asked)
        if log_probs is not None:
            found += self.of_tokens(lab, readings, names, pairs, log_probs, asked)
        controls = moved(named[0], sizes, self.seed, self.controls, self.control_pool)
        matched: list[Measurement] = []
        beside = None
        if controls:
            # Their own run: predictions over the whole vocabulary for all of them would take too much memory.
            scores = lab.run("random places", batch, controls, lab.readout(main, batch), lent)
            beside = numbers(scores[main])
            matched = control_measurements(main, kept[main][1] - kept[main][0], beside - kept[main][0], asked)
        spoken = self.spoken(lab, base, named, lent) if any(one.what == "text" for one in readings) else None
        measured = [m for metric in metrics for m in intact(metric, kept[metric][0], asked)]
        measured += [*projections, questions_asked(asked), run.identity(main)]
        if len(named) == 1:
            measured += changes({metric: run.scores[metric] for metric in metrics}, asked)
        pool = of_layers(self.control_pool, controls, sizes["n_layers"])
        text = self.summary(found, main, len(names) + len(pairs))
        text += control_summary(matched, f"random places of the same form{pool}")
        return Result(
            measurements=(*measured, *matched, *(spoken[0] if spoken else ())),
            effects=(*found, *(spoken[1] if spoken else ())),
            samples=spoken[2] if spoken else (),
            figures=(self.bars(lab, found[: len(names) + len(pairs)], main),),
            found=text,
            notes=tuple(dict.fromkeys((*base.notes, *run.failed(main), *notes,
                                       *unmatched(matched)))),
            doubts=lab.doubts(*self.draw, main),
            arrays=per_prompt(kept, asked, beside),
        )  # fmt: skip

    def changed(
        self, names: Sequence[str], pairs: Sequence[tuple[str, str]], values: Array, metric: str, asked: list[str],
        effects: Any, suffix: str = "",
    ) -> tuple[Effect, ...]:  # fmt: skip
        """values [1 + intervention, n], intact model first -> the effect of each intervention and contrast."""
        import numpy as np

        change = values[1:] - values[0]
        at = {name: i for i, name in enumerate(names)}
        both = [change, *([np.stack([change[at[a]] - change[at[b]] for a, b in pairs])] if pairs else [])]
        sites = [f"{name}{suffix}" for name in (*names, *(f"{a} minus {b}" for a, b in pairs))]
        return effects(sites, metric, np.concatenate(both), asked)

    def through_lens(
        self, lab: Lab, base: Base, named: Sequence[Intervention], lent: Any, reading: Reading,
        pairs: Sequence[tuple[str, str]], asked: list[str],
    ) -> tuple[Effect, ...]:  # fmt: skip
        """The metric of what the model would predict if it stopped after the layer, under each intervention."""
        from ..lab import numbers
        from ..methods.intervene import until
        from ..statistics.intervals import effects

        assert reading.layer is not None
        readout = lab.readout(reading.metric, base.batch)
        cut = until(reading.layer, named)
        values = numbers(lab.run(f"after layer {reading.layer}", base.batch, cut, readout, lent)[reading.metric])
        names = [one.name for one in named]
        return self.changed(names, pairs, values, reading.metric, asked, effects, f" at L{reading.layer}")

    def projected(
        self, lab: Lab, base: Base, named: Sequence[Intervention], lent: Any, reading: Reading,
        pairs: Sequence[tuple[str, str]], asked: list[str],
    ) -> tuple[Measurement, tuple[Effect, ...]]:  # fmt: skip
        """The dot product of the stream with a direction of length 1: of the intact model, and its changes."""
        from torch.nn.functional import normalize

        from ..engine import StreamReadout
        from ..lab import numbers
        from ..methods.edit_sources import of_tokens
        from ..methods.intervene import until
        from ..methods.value_lens import columns_at, require_position
        from ..statistics.intervals import effects, measurement

        assert reading.layer is not None
        assert reading.along is not None
        batch = base.batch
        require_position(base.prompts, reading.position)
        directions = normalize(of_tokens(lab, batch, reading.along, reading.text).float(), dim=-1)
        at = columns_at(batch, reading.position) - (batch.length - batch.reads)
        readout = StreamReadout(at, directions)
        values = numbers(lab.run(reading.text, batch, until(reading.layer, named), readout, lent)["projection"])
        what = " ".join(reading.text.replace('"', "'").split()[1:])
        names = [one.name for one in named]
        own = measurement(f"intact_projection[{what}]", values[0], "units of the stream", asked)
        return own, self.changed(names, pairs, values, "projection", asked, effects, f" {what}")

    def of_tokens(
        self, lab: Lab, readings: Sequence[Reading], names: Sequence[str], pairs: Sequence[tuple[str, str]],
        log_probs: Any, asked: list[str],
    ) -> list[Effect]:  # fmt: skip
        """The probabilities of named tokens, and the tokens that moved most."""
        from ..lab import numbers
        from ..methods.edit_sources import single_token
        from ..statistics.intervals import effects
        from .layer_program import token_changes

        found: list[Effect] = []
        for reading in readings:
            if reading.what == "prob":
                tokens = [single_token(lab, one, f"prob {one!r}") for one in reading.tokens]
                values = numbers(log_probs[..., tokens].exp().sum(-1))
                label = " ".join(map(repr, reading.tokens))
                found += self.changed(names, pairs, values, "token_prob", asked, effects, f" {label}")
            if reading.what == "top":
                for i, name in enumerate(names):
                    moves = token_changes(lab, log_probs[[0, i + 1]], asked)
                    front = f"{name} " if len(names) > 1 else ""
                    found += [one.model_copy(update={"site": f"{front}{one.site}"}) for one in moves]
        return found

    def spoken(
        self, lab: Lab, base: Base, named: Sequence[Intervention], lent: Any
    ) -> tuple[tuple[Measurement, ...], tuple[Effect, ...], tuple[Sample, ...]]:
        """What the model writes under each intervention; with several, the change of accuracy by each as an effect."""
        import numpy as np

        from ..answers.speech import compared
        from ..lab import INTACT
        from ..statistics.intervals import effects, share_change

        said = lab.speak(base.batch, [INTACT, *named], lent)
        each = [compared(lab, base.prompts, said[0], texts, one.name)
                for one, texts in zip(named, said[1:], strict=True)]  # fmt: skip
        samples = tuple(sample for one in each for sample in one.samples)
        if len(each) == 1:
            return each[0].measurements, each[0].effects, samples
        if lab.task.answer_kind == "open":
            return (), (), samples
        before, *after = (lab.correct(base.prompts, texts) for texts in said)
        asked = [prompt.key for prompt in base.prompts]
        found = effects([one.name for one in named], "accuracy", np.stack(after) - before, asked)
        drops: list[Effect] = []
        for effect, right in zip(found, after, strict=True):
            # The interval of a share keeps its width where no prompt changed.
            change = share_change("accuracy", right - before, asked)
            drops.append(effect.model_copy(update={"low": change.low, "high": change.high}))
        return (), tuple(drops), samples

    def summary(self, found: Sequence[Effect], main: str, count: int) -> str:
        rest = found[count:]
        text = f"Change of {main}: {'; '.join(map(str, found[:count]))}."
        if rest:
            text += " Also: " + "; ".join(f"{one} ({one.metric})" for one in rest[:12])
            text += f"; {len(rest) - 12} more." if len(rest) > 12 else "."
        return text

    def bars(self, lab: Lab, found: Sequence[Effect], main: str) -> Figure:
        title = f"Change of {main}: {lab.subject.name}, {self.task}"
        return Figure(name="interventions", kind="layer_bars", title=title, unit=unit_of(main), n=self.n,
                      data={"labels": [e.site for e in found], "values": [e.value for e in found],
                            "low": [e.low for e in found], "high": [e.high for e in found]})  # fmt: skip
