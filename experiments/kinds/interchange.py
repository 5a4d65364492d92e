"""Interchange interventions: does a site hold a variable of a causal model of the task?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..notes import note
from ..questions import WHERE_PROMPTS_DIFFER
from ..result import Effect, Figure, Measurement, Note, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.alignment_result import Aligned
    from ..methods.patching import Place
    from ..sites import Site
    from ..tasks.causal_model import CausalModel
    from ..tasks.interchange_pairs import Pairs, Runs
    from ..tasks.task import Task

Interchanged = Literal["resid_post", "resid_pre", "attn_out", "mlp_out", "z"]
# A model that says fewer of its own answers than this gets a note.
ABLE = 0.5


class Interchange(Experiment):
    """Where does the model hold a variable of a causal model, such as a + b of a + b + c?

    Each site of a prompt gets the value that it has in a donor prompt (interchange intervention, arXiv 2106.02997), and
    the causal model says the counterfactual answer: the output with the donor's variable and the prompt's own rest.
    interchange is the share of prompts that then prefer it to their own answer, said the share that say it. Pairs whose
    counterfactual answer is the prompt's own or the donor's are excluded. Controls: intact; other_donor, values of a
    donor with another variable (above_other: the difference, with p and q); donor, how often the donor's own answer
    comes: if that is high, the site carries the answer and not the variable. With `ranks`, also subspaces of the
    stream, trained on other questions (distributed alignment search, arXiv 2303.02536): rank_k, against random_k,
    labels_k (trained on shuffled labels) and weights_k (shuffled weights). Cost: three runs for each site and position;
    for each subspace `steps` short steps, three times.
    """

    kind: ClassVar[str] = "interchange"
    question: ClassVar[str] = WHERE_PROMPTS_DIFFER
    aspect: ClassVar[str] = "Which site holds a variable of a causal model?"
    example: ClassVar[str] = '--task three_operands --variable "s = a + b" --output "s + c"'

    variable: Annotated[
        str, Field(description="Variable and how named values of the task give it, such as s = a + b, or v = io.")
    ]  # fmt: skip
    output: Annotated[
        str, Field(description="The answer from the variable and named values, such as s + c, or only v.")
    ]  # fmt: skip
    part: Annotated[
        Interchanged, Field(description="Part to interchange in every layer. z: the output of each head.")
    ] = "resid_post"
    layers: Annotated[list[int] | None, Field(description="Only these layers. Null: all.")] = None
    sites: Annotated[
        list[str] | None,
        Field(description="Instead of part and layers: sites such as L12.resid_post, L5.mlp, L7.H3."),
    ] = None
    positions: Annotated[
        list[str] | None,
        Field(description="Where: spans of the task, last (token of the prompt), read (the token that predicts where "
              "the two answers differ), or all; each by itself. Null: every span, last and read."),
    ] = None  # fmt: skip

    ranks: Annotated[
        list[int] | None,
        Field(description="Ranks of subspaces to train at each site and position, such as 1, 2. Null: only the whole."),
    ] = None
    pairs: Annotated[int, Field(ge=8, le=512, description="For ranks: training pairs, of other questions.")] = 64
    steps: Annotated[int, Field(ge=1, le=2000, description="For ranks: training steps of 16 pairs.")] = 100
    rate: Annotated[float, Field(gt=0, le=1, description="For ranks: learning rate.")] = 0.02
    shuffled_weights: Annotated[
        bool, Field(description="For ranks: also train on a copy with shuffled weights, as a control.")
    ] = True

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if task.answer_kind == "open":
            raise BadConfiguration(f"The prompts of {self.task} have no answer to change. Use another task.")
        self.model_of().require(task.prompts(*self.draw))
        if {"n_layers", "n_heads"} <= set(sizes):
            self.places_at(sizes)
        if self.positions is not None and (not self.positions or len(set(self.positions)) < len(self.positions)):
            raise BadConfiguration("positions must name at least one position, each once.")
        self.check_ranks(sizes)

    def check_ranks(self, sizes: Mapping[str, int]) -> None:
        if self.ranks is None:
            return
        width = sizes.get("d_model", 1 << 30)
        if not self.ranks or len(set(self.ranks)) < len(self.ranks) or not all(0 < k < width for k in self.ranks):
            raise BadConfiguration(f"ranks must name at least one rank from 1 to {width - 1}, each once.")
        for site in self.places_at(sizes) if "n_layers" in sizes else ():
            if site.part not in ("resid_pre", "resid_post"):
                raise BadConfiguration(f"Subspaces are trained in the stream only, not at {site}. Use sites such as "
                                       f"L{site.layer}.resid_post, or leave out ranks.")  # fmt: skip

    def model_of(self) -> CausalModel:
        from ..tasks.causal_model import causal_model

        return causal_model(self.variable, self.output)

    def places_at(self, sizes: Mapping[str, int]) -> list[Site]:
        """The sites. Raises BadConfiguration if one does not exist or cannot be interchanged."""
        from typing import get_args

        from ..sites import sites_or_layers

        found = sites_or_layers(self.sites, self.part, self.layers, sizes)
        for site in found if self.sites is not None else ():
            if site.part not in get_args(Interchanged) or (site.index is None) != (site.part != "z"):
                raise BadConfiguration(f"{site} cannot be interchanged. Use L7.resid_post, L7.resid_pre, L7.attn, "
                                       "L7.mlp or L7.H3.")  # fmt: skip
        return found

    def at(self, runs: Runs) -> list[str]:
        """The positions. Raises BadConfiguration if a prompt lacks one."""
        from ..tasks.interchange_pairs import positions_of

        known = positions_of(runs)
        for name in self.positions or ():
            if name not in {*known, "all", "first", "read"}:
                raise BadConfiguration(f"Not every prompt has the position '{name}'. Positions: all, "
                                       f"{', '.join(known)}.")  # fmt: skip
        return list(known if self.positions is None else self.positions)

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods.controls import per_prompt
        from ..methods.interchange import interchanged, own_answers, shares
        from ..methods.patching import Place
        from ..statistics.intervals import effects, questions_asked, share
        from ..tasks.interchange_pairs import interchange_pairs, runs_of

        model = self.model_of()
        found = interchange_pairs(lab, model, *self.draw)
        asked, runs = found.asked, runs_of(lab, found.pairs)
        places = [Place(site, at) for site in self.places_at(lab.subject.sizes) for at in self.at(runs)]
        names = [str(place) for place in places]
        chosen = interchanged(lab, "interchange", runs, places)
        prefers = chosen.prefers
        accuracy = shares(places, "interchange", prefers[1:], asked)
        more = [*shares(places, "said", chosen.said[1:], asked)]
        if not model.only_variable:
            copied = interchanged(lab, "the donor's answer", runs_of(lab, found.pairs, for_donor=True), places)
            more += shares(places, "donor", copied.prefers[1:], asked)
        rows = [i for i, pair in enumerate(found.pairs) if pair.other is not None]
        above = tuple[Effect, ...]()
        if rows:
            pairs = [found.pairs[i] for i in rows]
            lent = interchanged(lab, "other donors", runs_of(lab, pairs, other=True), places).prefers[1:]
            questions = [asked[i] for i in rows]
            more += shares(places, "other_donor", lent, questions)
            above = effects(names, "above_other", prefers[1:, rows] - lent, questions)
        searched = self.searched(lab, model, found, runs, places)
        own, unchanged = share("accuracy", own_answers(lab, found), asked), share("intact", prefers[0], asked)
        measured = [
            own,
            unchanged,
            Measurement(name="equal", value=found.equal, n=found.looked_at),
            Measurement(name="copied", value=found.copied, n=found.looked_at),
            questions_asked(asked),
            *([Measurement(name="trained_on", value=searched.n)] if searched else []),
            chosen.run.identity("lead"),
        ]
        return Result(
            measurements=tuple(measured),
            effects=(*accuracy, *more, *above, *(searched.effects if searched else ())),
            figures=(self.drawing(lab, places, accuracy, above),),
            found=self.summary(model, found, own, unchanged, accuracy, more, above)
            + (searched.said if searched else ""),
            notes=(*chosen.run.failed("lead"), *self.noted(model, found, own)),
            doubts=lab.doubts(*self.draw),
            arrays={**per_prompt({"interchange": prefers, "said": np.asarray(chosen.said)}, asked),
                    **(searched.arrays if searched else {})},
        )  # fmt: skip

    def searched(
        self, lab: Lab, model: CausalModel, found: Pairs, runs: Runs, places: Sequence[Place]
    ) -> Aligned | None:
        from ..methods.alignment_result import aligned
        from ..methods.alignment_search import Training

        if self.ranks is None:
            return None
        training = Training(self.steps, self.rate, self.seed)
        return aligned(lab, model, found, runs, places, self.ranks, self.pairs, training, self.shuffled_weights)

    def noted(self, model: CausalModel, found: Pairs, own: Measurement) -> list[Note]:
        notes: list[Note] = []
        if found.without:
            notes.append(note("without_interchange", passed=found.without, looked_at=found.looked_at,
                              variable=model.variable))  # fmt: skip
        if model.only_variable:
            notes.append(note("copied_answer", variable=model.variable))
        if own.value < ABLE:
            notes.append(note("base_unable", share=own.text, variable=model.variable))
        if all(pair.other is None for pair in found.pairs):
            notes.append(note("no_donor_control"))
        return notes

    def summary(
        self, model: CausalModel, found: Pairs, own: Measurement, intact: Measurement, accuracy: Sequence[Effect],
        more: Sequence[Effect], above: Sequence[Effect],
    ) -> str:  # fmt: skip
        from ..statistics.strongest import clear

        text = f"{model.variable} = {model.defined}, answer {model.output}. The model says its own answer to "
        text += f"{own.text} of {len(found.pairs)} prompts. Without any change, {intact.value:.2f} prefer the "
        text += "counterfactual answer. "
        by = {(e.site, e.metric): e for e in more}
        best = sorted(accuracy, key=lambda e: -e.value)[:3]
        for e in best:
            beside = [f"{label} {by[e.site, metric].value:.2f}"
                      for metric, label in (("said", "says it"), ("other_donor", "with another donor"),
                                            ("donor", "the donor's own answer"))
                      if (e.site, metric) in by]  # fmt: skip
            text += f"{e.site}: {e.value:.2f} [{e.low:.2f}, {e.high:.2f}] prefer it"
            text += f" ({', '.join(beside)}). "
        shown = [e.site for e in above if clear(e) and e.value > 0]
        if above:
            text += f"{len(shown)} of {len(above)} sites are above other donors (q < 0.05). "
        text += f"Excluded pairs: {found.equal} with the prompt's own answer, {found.copied} with the donor's."
        return text

    def drawing(self, lab: Lab, places: Sequence[Place], found: Sequence[Effect], above: Sequence[Effect]) -> Figure:
        from ..statistics.strongest import clear

        sites, at = list(dict.fromkeys(p.site for p in places)), list(dict.fromkeys(p.positions for p in places))
        title = f"Interchange of {self.variable}: {lab.subject.name}, {self.task}"
        unit, by = "share of prompts", {(p.site, p.positions): i for i, p in enumerate(places)}
        if len(at) == 1:
            data = {"labels": [str(s) for s in sites], "values": [e.value for e in found],
                    "low": [e.low for e in found], "high": [e.high for e in found]}  # fmt: skip
            return Figure(name="places", kind="layer_bars", title=title, unit=unit, n=self.n, data=data)
        order = [[by[s, p] for p in at] for s in sites]
        data = {"values": [[found[i].value for i in row] for row in order],
                "significant": [[bool(above) and clear(above[i]) for i in row] for row in order],
                "rows": [str(s) for s in sites], "columns": at, "row_label": "", "column_label": "position",
                "scale": "sequential"}  # fmt: skip
        return Figure(name="places", kind="matrix", title=title, unit=unit, n=self.n, data=data)
