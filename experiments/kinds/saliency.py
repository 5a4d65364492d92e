"""Which tokens of a prompt matter for its answer: occlusion, integrated gradients, input times gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..metrics import LOGIT_DIFF, OwnMetric, require_slope, unit_of
from ..notes import note
from ..questions import WHICH_TOKENS
from ..result import Effect, Figure, Measurement, Note, Result
from ..statistics.strongest import clear

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.counterfactuals import Replaced
    from ..statistics.intervals import Array
    from ..tasks.task import Task

WAYS = ("occlusion", "integrated", "gradient")
SHOWN = 8
INSTEAD = {"other": "another prompt's tokens", "twin": "the corrupted prompt's tokens", "mean": "the mean embedding",
           "zero": "no embedding"}  # fmt: skip
# The share of the whole difference that integrated gradients may miss without a note.
BAR = 0.05
# If one token of several moves this share of what all of them move, on average, the baseline breaks the run.
BROKEN = 0.75


class Saliency(Experiment):
    """Which tokens of the prompt does the answer depend on? Three methods, which replace tokens by a baseline.

    occlusion replaces one token at a time, and is exact; integrated gradients use the mean slope over `steps` runs on
    the way from a prompt of only baseline tokens; gradient is input times gradient, the slope at the prompt. Values are
    metric with the token minus without: a positive logit_diff means that it favours the answer. Sites are the task's
    spans and "first token", "last token", "other tokens", summed over their tokens. A token that prompt and baseline
    share counts 0 by construction, so the default (other) asks: which of the tokens that differ between prompts matter?
    Controls: percentile, among 20 draws of other prompts' answers scored in the same runs; gap and completeness, what
    integrated gradients miss of the whole; agreement, rank correlation with occlusion. Occlusion misses tokens that
    back each other up; effects need not sum to the whole. A subject never reads mean or zero: with them every token
    seems to matter, and integrated gradients need very many steps. Cost: a run for each token, `steps` + 1 backward
    passes. Source: Sundararajan et al. 2017, arXiv 1703.01365.
    """

    kind: ClassVar[str] = "saliency"
    question: ClassVar[str] = WHICH_TOKENS

    metric: Annotated[OwnMetric, Field(description="Metric.")] = "logit_diff"
    baseline: Annotated[
        Literal["other", "twin", "mean", "zero"],
        Field(description="The baseline. other: another prompt's tokens (same template and length, another "
              "answer). twin: the corrupted prompt's. mean: the mean embedding. zero: none."),
    ] = "other"  # fmt: skip
    steps: Annotated[int, Field(ge=1, le=256, description="Runs of integrated gradients.")] = 16
    shown: Annotated[int, Field(ge=0, description="Prompt that the map shows, from 0.")] = 0

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if task.answer_kind == "open":
            raise BadConfiguration(f"The prompts of {self.task} have no answer to attribute. Use another task.")
        self.require_metric(self.metric, task)
        require_slope(self.metric, "use another metric")
        if self.shown >= self.n:
            raise BadConfiguration(f"shown is {self.shown}, and there are {self.n} prompts, 0 to {self.n - 1}.")

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from .. import engine
        from ..answers.scoring import intact, readout_for
        from ..lab import numbers
        from ..methods import saliency
        from ..methods.controls import compare, per_prompt
        from ..methods.counterfactuals import replaced
        from ..methods.lenses import with_zero
        from ..statistics.intervals import effects, measurement, questions_asked

        of = replaced(lab, self.draw, self.baseline)
        asked, unit, batch = [p.key for p in of.prompts], unit_of(self.metric), of.batch
        drawn = saliency.shuffles(batch, self.seed) if self.metric == LOGIT_DIFF.name else None
        readout = readout_for(self.metric, batch) if drawn is None else saliency.OwnAndOthers(batch, drawn)
        sources = {"baseline": of.baseline}
        run = compare(lab, "occlusion", batch, saliency.occlusion(of.longest), readout, sources)
        values = run.values(self.metric)
        whole = values[0] - values[-1]
        # If nothing is replaced, the difference would be only rounding.
        found: dict[str, Array] = {"occlusion": (values[0] - values[1:-1]) * of.differs}
        edits = [saliency.at_baseline(at) for at in saliency.steps(of.longest)]
        for way, towards in (("integrated", of.baseline), ("gradient", None)):
            guessed = engine.attribution(lab.subject, batch, edits, readout_for(self.metric, batch), self.metric,
                                         sources, lab.steps(way), towards, self.steps)  # fmt: skip
            found[way] = -np.stack([numbers(g[:, 0]) for g in guessed]) * of.differs
        # Spans that every prompt has; a token belongs to the first that contains it.
        spans = [s for s in sorted(set[str].intersection(*map(set, of.plain.spans))) if s != "last"]
        spans.sort(key=lambda name: of.plain.spans[0][name])
        sites, member = saliency.parts(batch, spans, of.differs)
        in_parts = {way: (member * each[None]).sum(1) for way, each in found.items()}
        effect = {way: effects(sites, way, each, asked) for way, each in in_parts.items()}
        total = measurement("whole", whole, unit, asked)
        measured, text, notes = self.complete(found["integrated"].sum(0), whole, total, unit, asked)
        counted = np.maximum(of.differs.sum(0), 1)
        sizes = abs(found["occlusion"]).sum(0) / counted
        draws = 0
        if drawn is not None:
            # [token, n, draw]
            elsewhere = run.values("shuffled")
            beside = (elsewhere[0] - elsewhere[1:-1]) * of.differs[..., None]
            means = np.abs(np.einsum("ptn,tnd->pnd", member, beside).mean(1))
            effect["occlusion"], draws = placed(effect["occlusion"], means), means.shape[-1]
            measured += [measurement("moved", sizes, unit, asked),
                         measurement("moved_shuffled", abs(beside).mean(-1).sum(0) / counted, unit, asked)]  # fmt: skip
            text += f"A replaced token moves the prompt's own answers by {measured[-2].text} on average (absolute), "
            text += f"and other prompts' answers in the same runs by {measured[-1].text}. "
        else:
            notes.append(note("no_shuffled_control"))
        for way in WAYS[1:]:
            near, rows = saliency.agreement(found[way], found["occlusion"], of.differs)
            if rows:
                measured.append(measurement(f"agreement_{way}", near, "rank correlation", [asked[i] for i in rows]))
                text += f"Ranks of {way} and occlusion agree by {measured[-1].text}. "
        notes += self.doubted(effect, float(sizes.mean()), float(abs(whole).mean()), float(counted.mean()))
        return Result(
            measurements=(*intact(self.metric, values[0], asked), total, *measured, questions_asked(asked),
                          run.identity(self.metric)),
            effects=tuple(e for each in effect.values() for e in each),
            figures=(self.map(lab, of, found, unit), self.bars(lab, effect["occlusion"], unit)),
            found=self.ranked(of, effect["occlusion"], draws) + text + self.tokens(lab, of, found["occlusion"]),
            notes=(*of.notes, *run.failed(self.metric), *notes),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays={**per_prompt({way: with_zero(each) for way, each in in_parts.items()}, asked),
                    **{f"{way}_by_token": each.astype("float32") for way, each in found.items()}},
        )  # fmt: skip

    def doubted(self, effect: Mapping[str, tuple[Effect, ...]], one: float, whole: float, tokens: float) -> list[Note]:
        """Doubts about the methods: a baseline that breaks the run anywhere, and signs that disagree.

        one, whole  how much one replaced token, and all of them, move the metric (absolute); tokens: number replaced
        """
        notes: list[Note] = []
        if tokens >= 3 and one > BROKEN * whole:
            instead = "more prompts" if self.baseline == "other" else "baseline other"
            notes.append(note("baseline_breaks_run", metric=self.metric, one=one, whole=whole, instead=instead))
        for way in WAYS[1:]:
            against = [f"{e.site} ({e.text} against {o.text})"
                       for e, o in zip(effect[way], effect["occlusion"], strict=True)
                       if clear(e) and clear(o) and e.value * o.value < 0]  # fmt: skip
            if against:
                notes.append(note("signs_differ", way=way, places=", ".join(against)))
        return notes

    def complete(
        self, summed: Array, whole: Array, total: Measurement, unit: str, asked: list[str]
    ) -> tuple[list[Measurement], str, list[Note]]:
        """What integrated gradients miss: by prompt, and as a share of the mean, if that clearly differs from 0."""
        from ..statistics.intervals import measurement
        from ..statistics.ratios import ratio_interval

        gap = measurement("gap", abs(summed - whole), unit, asked)
        missed = gap.value / max(float(abs(whole).mean()), 1e-9)
        text = (
            f"With all replaced, {self.metric} changes by {total.text}; integrated gradients ({self.steps} steps) miss "
        )
        text += f"{gap.text} {unit} of it a prompt, {missed:.1%}. "
        notes = [] if missed <= BAR else [note("not_complete", missed=missed, bar=BAR)]
        if total.low is None or total.high is None or total.low * total.high <= 0:
            notes.append(note("no_whole_difference", metric=self.metric))
            return [gap], text, notes
        value, low, high = (float(each) for each in ratio_interval(summed, whole, asked))
        share = Measurement(name="completeness", value=value, low=low, high=high, n=len(whole))
        return [gap, share], text, notes

    def ranked(self, of: Replaced, found: tuple[Effect, ...], draws: int) -> str:
        """The sites by occlusion, each with its rank among itself and the draws of shuffled answers, and the tokens
        that cannot count."""
        order = sorted(found, key=lambda e: -abs(e.value))[:SHOWN]
        ranks = {e.site: 1 + draws - round((e.percentile or 0.0) * draws / 100) for e in order}
        among = [f" (rank {ranks[e.site]} of {draws + 1} among shuffled answers)" if draws else "" for e in order]
        places = [f"{e}{rank}" for e, rank in zip(order, among, strict=True) if clear(e)]
        rest = ", ".join(str(e) for e in order if not clear(e))
        text = f"Occlusion (by {INSTEAD[self.baseline]}): {self.metric} depends on {', '.join(places) or 'no site'}"
        text += f"; not shown to matter (q 0.05 or more): {rest}. " if rest else ". "
        if of.instead is None:
            return text
        tokens, differ = of.batch.prompt_len.double().mean().item(), of.differs.sum(0).mean()
        text += f"Of {tokens:.1f} tokens a prompt {differ:.1f} are replaced; the rest are the same and count 0 by "
        text += "construction. "
        only = "Only one site is replaced, so it must carry the whole effect. "
        return text + (only if len(found) == 1 else "")

    def words(self, lab: Lab, of: Replaced) -> tuple[list[str], list[str]]:
        """The tokens of the shown prompt, and the baseline's tokens where they differ."""
        from ..methods.counterfactuals import own_ids
        from ..tasks.tokens import labels

        own = labels(lab.subject.tokenizer, own_ids(of.plain)[self.shown])
        if of.instead is None:
            return own, [""] * len(own)
        other = labels(lab.subject.tokenizer, of.instead[self.shown])
        return own, [b if a != b else "" for a, b in zip(own, other, strict=True)]

    def tokens(self, lab: Lab, of: Replaced, exact: Array) -> str:
        own, instead = self.words(lab, of)
        values = exact[: len(own), self.shown][::-1]
        order = [i for i in abs(values).argsort(kind="stable")[::-1][:5] if values[i]]
        listed = ", ".join(f"{own[i]}{f' (for {instead[i]})' if instead[i] else ''} {values[i]:+.3f}" for i in order)
        return f"In prompt {self.shown}: {listed or 'none'}."

    def map(self, lab: Lab, of: Replaced, found: dict[str, Array], unit: str) -> Figure:
        own, instead = self.words(lab, of)
        title = f"Contribution of each token to {self.metric}, prompt {self.shown}: {lab.subject.name}, {self.task}"
        values: list[list[float | None]] = [found[way][: len(own), self.shown][::-1].tolist() for way in WAYS]
        data = {"values": values, "rows": list(WAYS), "columns": own, "row_label": "", "column_label": "token",
                "scale": "diverging"}  # fmt: skip
        if of.instead is not None:
            blank: list[float | None] = [None] * len(own)
            data |= {"values": [blank, *values], "rows": ["instead", *WAYS], "missing": "blank",
                     "texts": [instead, *([""] * len(own) for _ in WAYS)]}  # fmt: skip
        return Figure(name="tokens", kind="matrix", title=title, unit=unit, n=1, data=data)

    def bars(self, lab: Lab, found: tuple[Effect, ...], unit: str) -> Figure:
        title = f"What {self.metric} depends on, by occlusion ({self.baseline}): {lab.subject.name}, {self.task}"
        data = {"labels": [e.site for e in found], "values": [e.value for e in found],
                "low": [e.low for e in found], "high": [e.high for e in found]}  # fmt: skip
        return Figure(name="places", kind="layer_bars", title=title, unit=unit, n=self.n, data=data)


def placed(found: tuple[Effect, ...], beside: Array) -> tuple[Effect, ...]:
    """The effects with their percentiles, by absolute value among those of the control, [site, draw]."""
    return tuple(
        e.model_copy(update={"percentile": 100 * float((row < abs(e.value)).mean())})
        for e, row in zip(found, beside, strict=True)
    )
