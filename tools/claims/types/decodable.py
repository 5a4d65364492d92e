"""`decodable`: a lens reads the answer, or a named value of the prompts, after a layer."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from ....db.records import Experiment as Row
from ....experiments.tasks.prompt import ANSWER
from ...report.escape import clipped
from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import CannotClaim, Finding
from ..counted import counted
from ..of_value import READ, OnValue, plain

# The answer is twice as likely as the answers of the other prompts.
LEAD = math.log(2)


LENSES = ("logit_lens", "tuned_lens")
# How the site of the answer, where it is predicted, ends.
ANSWERED = ".resid_post"


class ReadByLens(OnValue):
    """A claim on what a lens reads after a layer: the answer, or a named value of the prompts, at a position."""

    at: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z]\w{0,40}$", description="The position: a span, last or read. Null: read."),
    ] = None

    @field_validator("value")
    @classmethod
    def _without_blanks(cls, value: str | None) -> str | None:
        """The answer is no other value."""
        return None if value is None or value == ANSWER else plain(value)

    @classmethod
    def asks_which(cls, among: str, task: str, at: str | None = None, value: str | None = None) -> str:
        asked = cls.model_construct(task=task, parts=(), value=value, at=at)
        return cls.which.format(what=asked.what)

    @property
    def what(self) -> str:
        """ "the answer of ioi", or "the value a+b of addition at b"."""
        what = "the answer" if self.value is None else f"the value {self.value}"
        return f"{what} of {self.task}{'' if self.at is None else f' at {self.at}'}"

    @property
    def suffix(self) -> str:
        """How the sites of such experiments end."""
        elsewhere = self.value is not None or self.at is not None
        return f"{ANSWERED}@{self.at or READ}" if elsewhere else ANSWERED

    def measured(self, row: Row) -> bool:
        """Whether a lens looked for this value, there."""
        return row.kind in LENSES and _looked_for(row) == (self.value, self.at or READ)

    def is_on(self, value: str | None, at: str | None) -> bool:
        return (self.value, self.at or READ) == (None if value is None else plain(value), at or READ)

    def require_measured(self, study: Study) -> None:
        if self.suffix == ANSWERED or any(map(self.measured, counted(study, self.task))):
            return
        names = sorted({str(v) for row in counted(study, self.task, LENSES) if (v := row.config.get("value"))})
        raise CannotClaim(
            f"No lens looked for {clipped(self.what, 80)}; named values that one looked for: "
            f"{', '.join(names) or 'none'}. Run logit_lens or tuned_lens with this value and position."
        )


def _looked_for(row: Row) -> tuple[str | None, str]:
    """The value, without blanks, and the position; None for the answer."""
    value = row.config.get("value")
    return None if value in (None, ANSWER) else plain(value), row.config.get("position") or READ


class Decodable(ReadByLens):
    """The answer can be read after a layer, by the logit lens or the tuned lens: it is more than twice as likely there
    as the answers of the other prompts. With value or at: a named value (a+b), at a span. Readable does not mean
    used."""

    type: ClassVar[str] = "decodable"
    which: ClassVar[str] = "After which layer can {what} be read?"

    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=1, description="One layer: L20.")]

    @property
    def question(self) -> str:
        return f"Can {self.what} be read after {self.parts[0]}?"

    def judge(self, study: Study) -> Finding:
        site = f"{self.parts[0].removesuffix('.resid_post')}{self.suffix}"
        readings = [
            against_bound(study, row, effect, LEAD)
            for row, effect in effects_at(study, LENSES, self.task, site, "lead") if self.measured(row)
        ]  # fmt: skip
        layer = f"layer {self.parts[0].removeprefix('L').removesuffix('.resid_post')}"
        others = "answers of other prompts" if self.suffix == ANSWERED else "values of other prompts"

        def measured(one: Reading) -> str:
            return (
                f"Its lead over the {others} is {one.text} nats ({one.experiment}); twice as likely is "
                f"{one.bound_text}. That it can be read does not say that it is used."
            )

        reads = f"{self.what} after {layer}"
        holds, fails = f"a lens reads {reads}", f"a lens does not read {reads}"
        return found_by_reading(self, readings, holds, fails, measured)
