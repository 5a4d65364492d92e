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

    def is_on(self, value: str | None, at: str | None) -> bool:
        """Whether a question about this value, at this place, asks for it."""
        return self.value == value

    def require_measured(self, study: Study) -> None:
        """Raises CannotClaim if the study measured no such value, so that a finding cannot hold a writer's words."""
        if self.value is not None and not any(map(self.measured, counted(study, self.task))):
            raise CannotClaim(
                f"No experiment of {study.run.id} on {self.task} measured this value. Name it as the experiment does: "
                "value and position of a lens, twin of activation_patching."
            )


def said(value: str | None) -> str:
    """A value in a sentence."""
    return "the answer" if value is None or value == ANSWER else value


def plain(value: str) -> str:
    """A value without blanks: a + b is a+b."""
    return "".join(value.split())
