"""What the model would answer if it stopped after each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..notes import note
from ..questions import WHAT_IS_WRITTEN
from ..result import Figure, Note, Result
from ..tasks.prompt import ANSWER

if TYPE_CHECKING:
    from torch import Tensor

    from ..lab import Lab
    from ..tasks.task import Task

# For a longer prompt, the map shows its last tokens.
COLUMNS = 40


class LogitLens(Experiment):
    """After which layer does the model know the answer? Reads every layer through the last norm and unembedding.

    For each layer, at the answer: its probability and rank, the logit difference, the KL divergence of the model's
    final prediction from the layer's (kl), and as control the lead (in log-probability) over the answers of the other
    prompts: a layer that knows only which kind of word comes next has none. Sites are L0.resid_pre (the embedding) and
    L7.resid_post; the values are not changes: effect[L20.resid_post, prob] is the probability after layer 20. Also
    settled_after: the number of layers after which the likeliest token stays the final one; and, for one prompt, a map
    of the likeliest token at every layer and position. Edits nothing, so it costs little more than one pass. It
    misleads in early layers, which do not yet write in the final basis: what it cannot read may still be there
    (tuned_lens corrects for this), and what it can read may be unused (ablation shows). With value and position: can
    a+b be read at b? Sites are then L7.resid_post@b, prob is that of one token, and the lead is over the values of the
    other prompts.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """

    kind: ClassVar[str] = "logit_lens"
    question: ClassVar[str] = WHAT_IS_WRITTEN
    core: ClassVar[bool] = True

    later: ClassVar[frozenset[str]] = Experiment.later | {"value", "position"}

    value: Annotated[
        str | None,
        Field(description="Named value to look for, such as a+b (show_task lists them): its first token that is not a "
              "blank, written as the answer is. Null: the answer."),
    ] = None  # fmt: skip
    position: Annotated[
        str | None,
        Field(description="Where to read: a span of the task (its last token), last (token of the prompt), or read "
              "(the token that predicts the answer). Null: read."),
    ] = None  # fmt: skip
    shown: Annotated[int, Field(ge=0, description="Prompt that the map shows, from 0.")] = 0

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.shown >= self.n:
            raise BadConfiguration(f"shown is {self.shown}, and there are {self.n} prompts, 0 to {self.n - 1}.")
        if self.elsewhere:
            from ..methods.value_lens import READ, require_position
            from ..tasks.values import value_in_each

            prompts = task.prompts(*self.draw)
            require_position(prompts, self.position or READ)
            if self.wanted is not None:
                value_in_each(prompts, self.wanted)
            elif task.answer_kind == "open":
                raise BadConfiguration(f"The prompts of {self.task} have no answer. Name a value.")

    @property
    def wanted(self) -> str | None:
        """The value to look for, None for the answer."""
        return None if self.value == ANSWER else self.value

    @property
    def elsewhere(self) -> bool:
        """Whether it reads something else than the answer, or at another position."""
        return self.wanted is not None or self.position is not None

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from .. import engine
        from ..lab import numbers
        from ..methods.controls import per_prompt
        from ..methods.lenses import (
            ORDER,
            UNITS,
            LensReadout,
            curve,
            last_lens,
            lens_effects,
            over_layers,
            settled,
            stream_names,
            summary,
            with_zero,
        )
        from ..methods.value_lens import LAST, READ, token_at, value_readout
        from ..statistics.intervals import questions_asked

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        seen = engine.streams(lab.subject, engine.read(lab.subject, batch, {"resid_pre"}))
        is_open = lab.task.answer_kind == "open"
        metric, what, of, others = "prob", "the answer", "", "other prompts' answers"
        notes: tuple[Note, ...] = ()
        token = ""
        if self.elsewhere:
            at = self.position or READ
            token = f" ({token_at(lab, batch, at)})" if at in (LAST, READ) else ""
            readout, probs, notes = value_readout(lab, prompts, batch, self.wanted, at)
            own, what, of, others = numbers(probs), f"{self.wanted or what} at {at}", f"@{at}", "other prompts' values"
        else:
            readout = LensReadout(batch, lab.prediction(batch))
            metric = "kl" if is_open else "prob"
            own = np.zeros(self.n) if is_open else lab.intact(*self.draw).scores["prob"]
        scores = engine.lens(lab.subject, batch, seen, readout, lab.steps("lenses"))
        tops = scores.pop("top")
        values = {name: numbers(scores[name]) for name in ORDER if name in scores}
        identity, failed = last_lens(metric, values[metric][-1], own)
        sites = [f"{site}{of}" for site in stream_names(lab.subject.anatomy.n_layers)]
        found = lens_effects(sites, values, asked)
        drawn = {"prob": f"Probability of {what}", "lead": f"Lead{of and ' of ' + what} over {others}",
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
            found=(f"It looked for {what}{token}. " if self.elsewhere else "")
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
