"""`decodable`: a lens reads the answer, or a named value of the prompts, after a layer."""

from __future__ import annotations

import math
import re
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from ....db.records import Experiment as Row
from ....experiments.tasks.prompt import ANSWER
from ...report.study import Study
from ..by_reading import Reading, against_bound, effects_at, found_by_reading
from ..claim import ClaimOnParts, Finding

# The answer is twice as likely as the answers of the other prompts.
LEAD = math.log(2)


LENSES = ("logit_lens", "tuned_lens")
# Where a lens reads a named value when no position is given: at the token that predicts the answer.
READ = "read"
# How the site of the answer, where it is predicted, ends.
ANSWERED = ".resid_post"
# A value such as a+b, or tens; a part of the name is a letter and what may follow it.
_NAME = r"[A-Za-z]\w{0,40}"
_VALUE = re.compile(rf"{_NAME}(?:[+*-]{_NAME}){{0,5}}")


class ReadByLens(ClaimOnParts):
    """A claim on what a lens reads after a layer: the answer, or a named value of the prompts, at a position."""

    value: Annotated[str | None, Field(description="A named value of the task, such as a+b. Null: the answer.")] = None
    at: Annotated[
        str | None, Field(pattern=rf"^{_NAME}$", description="The position: a span, last or read. Null: read.")
    ] = None

    @field_validator("value")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        """Without blanks; the answer is no other value."""
        if value is None:
            return None
        name = re.sub(r"\s*([+*-])\s*", r"\1", value.strip())
        if _VALUE.fullmatch(name) is None:
            raise ValueError("name a value of the task, such as a+b (show_task lists them)")
        return None if name == ANSWER else name

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

    def looked_for(self, row: Row) -> bool:
        """Whether a lens looked for this value."""
        value = row.config.get("value")
        return (None if value == ANSWER else value) == self.value


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
            for row, effect in effects_at(study, LENSES, self.task, site, "lead") if self.looked_for(row)
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
