"""What the model would answer if it stopped after each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..methods.of_value import OfValue
from ..notes import note
from ..questions import WHAT_IS_WRITTEN
from ..result import Figure, Result

if TYPE_CHECKING:
    from torch import Tensor

    from ..lab import Lab
    from ..tasks.task import Task

# For a longer prompt, the map shows its last tokens.
COLUMNS = 40


class LogitLens(OfValue):
    """After which layer does the model know the answer? Reads every layer through the last norm and unembedding.

    For each layer, at the answer: its probability and rank, the logit difference, the KL divergence of the model's
    final prediction from the layer's (kl), and as control the lead (in log-probability) over the answers of the other
    prompts: a layer that knows only which kind of word comes next has none. Sites are L0.resid_pre (the embedding) and
    L7.resid_post; the values are not changes: effect[L20.resid_post, prob] is the probability after layer 20. Also
    settled_after: the number of layers after which the likeliest token stays the final one; and, for one prompt, a map
    of the likeliest token at every layer and position. Edits nothing, so it costs little more than one pass. It
    misleads in early layers, which do not yet write in the final basis: what it cannot read may still be there
    (tuned_lens corrects for this), and what it can read may be unused (ablation shows). With value and position: can
    a+b be read at b? Sites are then L7.resid_post@b, prob is one token's, the lead over other prompts' values.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """

    kind: ClassVar[str] = "logit_lens"
    question: ClassVar[str] = WHAT_IS_WRITTEN
    core: ClassVar[bool] = True

    shown: Annotated[int, Field(ge=0, description="Prompt that the map shows, from 0.")] = 0

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.shown >= self.n:
            raise BadConfiguration(f"shown is {self.shown}, and there are {self.n} prompts, 0 to {self.n - 1}.")

    def run(self, lab: Lab) -> Result:
        from .. import engine
        from ..lab import numbers
        from ..methods.controls import per_prompt
        from ..methods.lenses import (
            ORDER,
            UNITS,
            curve,
            last_lens,
            lens_effects,
            over_layers,
            settled,
            stream_names,
            summary,
            with_zero,
        )
        from ..statistics.intervals import questions_asked

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        seen = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
        is_open = lab.task.answer_kind == "open"
        sought = self.sought(lab, prompts, batch)
        readout, metric, what, of, notes = sought.readout, sought.metric, sought.what, sought.of, sought.notes
        scores = engine.lens(lab.subject, batch, seen, readout, lab.steps("lenses"))
        tops = scores.pop("top")
        values = {name: numbers(scores[name]) for name in ORDER if name in scores}
        identity, failed = last_lens(metric, values[metric][-1], sought.own)
        sites = [f"{site}{of}" for site in stream_names(lab.subject.anatomy.n_layers)]
        found = lens_effects(sites, values, asked)
        drawn = {"prob": f"Probability of {what}", "lead": f"Lead{of and ' of ' + what} over {sought.others}",
                 "kl": "Distance from the final prediction"}  # fmt: skip
        curves = [
            over_layers(name, f"{what} after each layer: {lab.subject.name}, {self.task}", UNITS[name], self.n,
                        [curve(what, values[name], asked)])
            for name, what in drawn.items() if name in values
        ]  # fmt: skip
        if not is_open and not self.elsewhere and "lead" not in values:
            notes = (note("same_answers"),)
        # The arrays have 0 for the intact model, because the values here are not changes.
        kept = {name: with_zero(each) for name, each in values.items()}
        after = settled(tops, asked)
        units = ", ".join("rank from 0" if name == "rank" else f"{name} in {UNITS[name]}" for name in values)
        return Result(
            measurements=(after, questions_asked(asked), identity),
            effects=found,
            figures=(self.map(lab, seen), *curves),
            found=sought.said
            + f"The likeliest token is the final one after {after.text} of {len(sites) - 1} layers. "
            + summary(sites, values, units),
            notes=(*failed, *notes),
            doubts=lab.doubts(*self.draw),
            arrays=per_prompt(kept, asked),
        )

    def map(self, lab: Lab, seen: list[Tensor]) -> Figure:
        """The likeliest token at every layer and position of one prompt."""
        from .. import engine
        from ..methods.lenses import TopToken
        from ..tasks.tokens import labels

        _, whole = lab.prompts(*self.draw)
        batch = whole.rows(self.shown, self.shown + 1)
        end = batch.length - batch.reads + 1
        columns = slice(max(end - min(COLUMNS, int(batch.prompt_len[0])), 0), end)
        rows = [stream[self.shown : self.shown + 1] for stream in seen]
        found = engine.lens(lab.subject, batch, rows, TopToken())
        tokenizer = lab.subject.tokenizer
        title = f"Likeliest next token by the logit lens: {lab.subject.name}, {self.task}, prompt {self.shown}"
        return Figure(
            name="map", kind="matrix", title=title, unit="probability", n=1,
            data={
                "values": found["prob"][:, 0, columns].tolist(),
                "texts": [labels(tokenizer, row) for row in found["token"][:, 0, columns].long().tolist()],
                "rows": ["embedding", *(f"L{layer}" for layer in range(lab.subject.anatomy.n_layers))],
                "columns": labels(tokenizer, batch.ids[0, columns].tolist()),
                "row_label": "after layer", "column_label": "token read", "scale": "sequential",
            },
        )  # fmt: skip
