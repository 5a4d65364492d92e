"""What a claim on a named value is about, such as `a + b` at the position `b`, and which experiments measured that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from ...experiments.tasks.prompt import ANSWER
from ..report.verdict_words import verdict_words
from .claim import CannotClaim, ClaimOnParts
from .counted import counted

if TYPE_CHECKING:
    from ...db.records import Experiment as Row
    from ..report.study import Study

# Names and numbers with signs between them: two words in a row would be a writer's sentence in a finding.
NAME = re.compile(r"[\w()-][\w ()+*/%,-]{0,39}")
WORDS = re.compile(r"\w\s+\w")
READ = "read"


class OnValue(ClaimOnParts):
    """A claim that can be about a named value instead of the answer."""

    value: Annotated[str | None, Field(description="A named value, such as a + b.")] = None

    @field_validator("value")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not NAME.fullmatch(value) or WORDS.search(value) or verdict_words(value.replace("_", " ")):
            raise ValueError(f"'{value[:40]}' names no value; write a name or arithmetic, such as a + b")
        return value

    def measured(self, row: Row) -> bool:
        """Whether an experiment measured this value."""
        raise NotImplementedError

    @property
    def about_another_value(self) -> bool:
        """Whether it is about something else than the answer where it is predicted, or the task's corrupted prompts."""
        return self.value is not None

    def require_measured(self, study: Study) -> None:
        """Raises CannotClaim if the study measured no such value, so that a finding cannot hold a writer's words."""
        if self.about_another_value and not any(map(self.measured, counted(study, self.task))):
            raise CannotClaim(
                f"No experiment of {study.run.id} on {self.task} measured this value. Name it as the experiment does: "
                "value and position of a lens, twin of activation_patching."
            )


class OnValueAt(OnValue):
    """A claim on what a lens reads: of a value, at a position."""

    position: Annotated[str | None, Field(description="Where it is read, such as b. Null: where it predicts.")] = None

    @field_validator("position")
    @classmethod
    def _is_a_position(cls, position: str | None) -> str | None:
        if position is not None and (not position.isidentifier() or verdict_words(position.replace("_", " "))):
            raise ValueError(f"'{position[:40]}' names no position; write a span of the task, last or read")
        return position

    @property
    def about_another_value(self) -> bool:
        return self.sought != (ANSWER, READ) or self.at != ""

    @property
    def sought(self) -> tuple[str, str]:
        return plain(self.value or ANSWER), self.position or READ

    @property
    def at(self) -> str:
        """The end of the sites of a lens that reads it: "@b"; empty for the answer where it is predicted."""
        return "" if self.value in (None, ANSWER) and self.position is None else f"@{self.position or READ}"

    @property
    def named(self) -> str:
        """In a sentence: "the answer of ioi", or "a + b at b in three_operands"."""
        if not self.at:
            return f"the answer of {self.task}"
        return f"{said(self.value)} at {self.position or 'the token that predicts the answer'} in {self.task}"

    def measured(self, row: Row) -> bool:
        value, position = row.config.get("value"), row.config.get("position")
        own = "" if value in (None, ANSWER) and position is None else f"@{position or READ}"
        return row.kind in ("logit_lens", "tuned_lens") and own == self.at and (
            plain(value or ANSWER), position or READ) == self.sought  # fmt: skip


def said(value: str | None) -> str:
    """A value in a sentence."""
    return "the answer" if value is None or value == ANSWER else value


def plain(value: str) -> str:
    """A value without blanks: a + b is a+b."""
    return "".join(value.split())
