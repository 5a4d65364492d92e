"""What a head moves and what it attends to, from its weights, on a set of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..questions import WHAT_A_HEAD_LOOKS_AT
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from torch import Tensor

    from ..lab import Lab
    from ..sites import Site
    from ..tasks.task import Task

NAMED, DRAWN, MOST, FEWEST = 4, 2, 48, 4
# How many heads to report for each score, and how many token pairs for each matrix.
STRONGEST, NAMES = 3, 3
EIGEN = "eigenvalues"


class OvQk(Experiment):
    """What does a head move (OV circuit), what does it attend to (QK circuit), among chosen tokens? From weights alone.

    For every head, the share of tokens for which: the attended token is among the `top` raised most (copying) or
    lowered most (copy_suppression), the next of a series is raised most of all (successor), the same token is among the
    `top` attended to most (same_token). Read them as effect[L7.H3, copying]; percentile is among the heads of the same
    model with shuffled weights, NAME_shuffled the highest there, NAME_chance the score of guessing.
    eigenvalues[L7.H3]: the sum of OV's eigenvalues over the sum of their sizes, from -1 to 1 (copying), for the heads
    reported; of OV among the chosen tokens, about its means. Elhage et al. use the embeddings of the whole vocabulary:
    `eigenvalues` vocabulary, reported as vocabulary_eigenvalues[L7.H3]. For `heads`, reports the strongest pairs and
    draws both matrices. Treats a head as if it attended to one token alone after the first layer: this ignores what
    earlier heads and MLPs add, and masks. QK is for a key `distance` tokens before the query, which rotary positions
    need. It shows what a head could do; attention_patterns shows where it attends, head_ablation whether that matters.
    Predictions cannot be tested with named `tokens`: there are no others to hold out. Cheap: runs no prompts. Source:
    Elhage et al. 2021; successor heads: arXiv 2312.09230.
    """

    kind: ClassVar[str] = "ov_qk"
    question: ClassVar[str] = WHAT_A_HEAD_LOOKS_AT
    later: ClassVar[frozenset[str]] = Experiment.later | {"eigenvalues"}

    heads: Annotated[
        list[str] | None, Field(description="Heads to report and draw, at most 4. Null: those that copy most.")
    ] = None
    tokens: Annotated[
        list[str] | None,
        Field(description="Words in order; or one of day, month, letter, number, ordinal. Null: the task's answers."),
    ] = None
    top: Annotated[int, Field(ge=1, le=10, description="How many tokens count as raised most.")] = 1
    eigenvalues: Annotated[
        Literal["tokens", "vocabulary"],
        Field(description="Of OV among the chosen tokens, or from every token's embedding to every logit."),
    ] = "tokens"
    distance: Annotated[int, Field(ge=0, le=512, description="QK: distance from the key to the query, in tokens.")] = 1

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        if self.tokens is None:
            super().check(sizes, task)
            if task.answer_kind == "open":
                raise BadConfiguration(f"The prompts of {self.task} have no answers. Name tokens.")
        if {"n_layers", "n_heads"} <= set(sizes):
            self.sites(sizes)

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        from ..sites import named_heads

        found = [] if self.heads is None else named_heads(self.heads, sizes)
        if len(found) > NAMED:
            raise BadConfiguration(f"{len(found)} heads are too many to report. Name at most {NAMED}.")
        return found

    @property
    def asks(self) -> bool:
        return self.tokens is None

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods.controls import all_heads
        from ..methods.ov_qk import chance, circuits, positive_eigenvalues, scores, whole_eigenvalues
        from ..model.shuffled_weights import permuted
        from ..statistics.intervals import questions_asked, share
        from ..statistics.strongest import beside_shuffled
        from ..tasks.tokens import labels

        tokens, ends = self.chosen(lab)
        words = labels(lab.subject.tokenizer, tokens)
        lab.progress("weights", 0, 2)
        moved, looked = circuits(lab.subject, tokens, self.distance)
        own = scores(moved, looked, ends, self.top)
        lab.progress("weights", 1, 2)
        shuffled = permuted(lab.subject, self.seed)
        moved_there, looked_there = circuits(shuffled, tokens, self.distance)
        others = scores(moved_there, looked_there, ends, self.top)
        lab.progress("weights", 2, 2)
        sites = [str(s) for s in all_heads(lab.subject.sizes)]
        effects: list[Effect] = []
        # Named tokens are the same in every split, so there is no sampling and no interval.
        measured = [questions_asked(words if self.tokens is None else words[:1])]
        parts: list[str] = []
        for name, rows in own.items():
            beside, guessed = others[name].mean(-1), chance(name, len(words), self.top)
            for site, row in zip(sites, rows, strict=True):
                s = share(name, row)
                effects.append(Effect(site=site, metric=name, value=s.value, low=s.low or 0.0, high=s.high or 0.0,
                                      n=len(row), percentile=100 * float((beside < s.value).mean())))  # fmt: skip
            measured += [Measurement(name=f"{name}_shuffled", value=float(beside.max()), n=len(beside)),
                         Measurement(name=f"{name}_chance", value=guessed)]  # fmt: skip
            also = f", chance {guessed:.2f}"
            parts.append(f"{name}: {beside_shuffled(sites, rows.mean(-1), beside.max(), also, STRONGEST)}")
        eigen = EIGEN
        if self.eigenvalues == "tokens":
            positive, there = positive_eigenvalues(moved), positive_eigenvalues(moved_there)
        else:
            eigen = f"vocabulary_{EIGEN}"
            positive, there = whole_eigenvalues(lab.subject), whole_eigenvalues(shuffled)
        most = np.argsort(-own["copying"].mean(-1) - 1e-3 * positive, kind="stable")[:DRAWN].tolist()
        shown = [sites.index(str(s)) for s in self.sites(lab.subject.sizes)] or most
        listed = dict.fromkeys([*shown, *np.argsort(-positive, kind="stable")[:STRONGEST].tolist()])
        measured += [Measurement(name=f"{eigen}[{sites[i]}]", value=float(positive[i]), n=len(words))
                     for i in listed]  # fmt: skip
        measured.append(Measurement(name=f"{eigen}_shuffled", value=float(there.max()), n=len(there)))
        parts.append(f"{eigen.replace('_', ' ')}: {beside_shuffled(sites, positive, there.max(), count=STRONGEST)}")
        pairs: list[str] = []
        figures: list[Figure] = []
        for i in shown:
            for what, matrix in (("OV", moved[i]), ("QK", looked[i])):
                figure, strongest = self.drawn(lab, sites[i], what, matrix, words)
                figures.append(figure)
                pairs.append(strongest)
        some = f"{', '.join(words[:6])}{' ...' if len(words) > 6 else ''}"
        return Result(
            measurements=tuple(measured),
            effects=tuple(effects),
            figures=tuple(figures),
            found=f"Heads of {lab.subject.name} on {len(words)} tokens ({some}), shares of these tokens. "
            f"{'; '.join(parts)}. Strongest pairs, in standard deviations: {'; '.join(pairs)}.",
            arrays={"ov": moved[shown].numpy().astype(np.float32), "qk": looked[shown].numpy().astype(np.float32),
                    eigen: positive.astype(np.float32)},
        )  # fmt: skip

    def drawn(self, lab: Lab, head: str, what: str, matrix: Tensor, words: list[str]) -> tuple[Figure, str]:
        """A matrix as a figure, and its strongest pairs as text."""
        import numpy as np

        from ..methods.ov_qk import deviations

        values = deviations(matrix, what)
        best = [divmod(pair, len(words)) for pair in np.argsort(-values, axis=None, kind="stable")[:NAMES].tolist()]
        listed = ", ".join(f"{words[a]} → {words[b]} {values[a, b]:+.1f}" for a, b in best)
        if what == "OV":
            title, rows, columns = f"What {head} raises for each token that it attends to", "attended to", "raised"
        else:
            title, rows, columns = f"What {head} attends to at distance {self.distance}", "query", "key"
        figure = Figure(
            name=f"{head}.{what}", kind="matrix", unit="standard deviations", n=len(words),
            title=f"{title}: {lab.subject.name}",
            data={"values": values.tolist(), "rows": words, "columns": words, "row_label": rows,
                  "column_label": columns, "scale": "diverging"},
        )  # fmt: skip
        return figure, f"{head} {what} ({rows} → {columns}) {listed}"

    def chosen(self, lab: Lab) -> tuple[list[int], bool | None]:
        """The tokens, each once; and whether they are a series that ends with the last one, None if not a series."""
        from ..methods.detectors import goes_round, ordinary_tokens, series_of

        ends: bool | None = None
        if self.tokens is None:
            _, batch = lab.prompts(*self.draw)
            ordinary = set(ordinary_tokens(lab.subject))
            found = [t for t in dict.fromkeys(batch.pair.flatten().tolist()) if t in ordinary][:MOST]
            what = f"The answers of {self.n} prompts of {self.task} are"
        elif len(self.tokens) == 1 and self.tokens[0] in (series := series_of(lab.subject)):
            name = self.tokens[0]
            found, ends, what = series[name], not goes_round(name, len(series[name])), f"The series {name} has"
        else:
            found, ends, what = [self.token(lab, word) for word in self.tokens], True, "These are"
            if len(set(found)) < len(found) or len(found) > MOST:
                raise BadConfiguration(f"Name at most {MOST} tokens, each once.")
        if len(found) < max(FEWEST, self.top + 1):
            least = max(FEWEST, self.top + 1)
            raise BadConfiguration(
                f"{what} {len(found)} different tokens. At least {least}, more than top, are needed."
            )
        return found, ends

    def token(self, lab: Lab, word: str) -> int:
        ids = lab.subject.tokenizer(f" {word.strip()}", add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or ids[0] in lab.subject.tokenizer.all_special_ids:
            raise BadConfiguration(f"The word '{word}' is not a single token of this model. Leave it out.")
        return ids[0]
