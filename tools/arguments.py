"""The input and output of a tool: the same two forms for every tool that a language model may call."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ..db.ids import parse_id
from .refusals import refused

# A text for the language model, and the same facts as data.
Answered = tuple[str, dict[str, Any]]


class Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Arguments):
    pass


def number_of(text: str, what: str) -> int:
    """'E12' -> 12. Raises ToolError when it is the id of something else."""
    found, number = parse_id(text)
    if found != what:
        raise refused("wrong_id", text=text, found=found, what=what)
    return number
