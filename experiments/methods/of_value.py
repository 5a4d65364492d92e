"""What both lenses look for: the answer where it is predicted, or a named value at a position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..result import Note
from ..tasks.prompt import ANSWER

if TYPE_CHECKING:
    from ..lab import Lab
    from ..statistics.intervals import Array
    from ..tasks.batch import Batch
    from ..tasks.prompt import Prompt
    from ..tasks.task import Task
    from .lenses import LensReadout
    from .value_lens import ValueReadout


@dataclass(frozen=True)
class Sought:
    """What a lens reads.

    metric  the metric of the control, and `own` [n]: the model's own values of it
    what    "a+b at b"; `of`: the end of its sites, "@b"; `others`: what it leads; `said`: a sentence
    """

    readout: LensReadout | ValueReadout
    metric: str
    own: Array
    what: str = "the answer"
    of: str = ""
    others: str = "other prompts' answers"
    said: str = ""
    notes: tuple[Note, ...] = ()

    def of_another_prompt(self) -> LensReadout | ValueReadout:
        """The readout for the streams of the prompts before (`roll(1, 0)`), each read at its own position."""
        if not self.of:
            return self.readout
        from .value_lens import ValueReadout

        assert isinstance(self.readout, ValueReadout)
        return replace(self.readout, columns=self.readout.columns.roll(1, 0))


class OfValue(Experiment):
    """A lens that can look for a named value at a position."""

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

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.elsewhere:
            from ..tasks.values import value_in_each
            from .value_lens import READ, require_position

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

    def sought(self, lab: Lab, prompts: Sequence[Prompt], batch: Batch) -> Sought:
        """Raises BadConfiguration or BadTask."""
        import numpy as np

        from ..lab import numbers
        from .lenses import LensReadout
        from .value_lens import LAST, READ, token_at, value_readout

        if self.elsewhere:
            at = self.position or READ
            readout, probs, notes = value_readout(lab, prompts, batch, self.wanted, at)
            what = f"{self.wanted or 'the answer'} at {at}"
            token = f" ({token_at(lab, batch, at)})" if at in (LAST, READ) else ""
            return Sought(readout, "prob", numbers(probs), what, f"@{at}", "other prompts' values",
                          f"It looked for {what}{token}. ", notes)  # fmt: skip
        readout = LensReadout(batch, lab.prediction(batch))
        if lab.task.answer_kind == "open":
            return Sought(readout, "kl", np.zeros(self.n))
        return Sought(readout, "prob", lab.intact(*self.draw).scores["prob"])
