"""The catalogue of the tools that a study does not send at first, and the call that adds them.

Every description takes up room in every request. So a study sends the core, and its instructions name every other kind
in the map of instruments, which a second opinion does not have: it gets one line for each. After add_tools, a tool is
sent whole, with its strict schema, like the others. `agent/study/progress_state.py` reads from
the conversation which tools are sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError

from ..experiments.kinds.registry import kinds
from .arguments import Answered, Arguments
from .errors import ToolError
from .json_arguments import json_object
from .json_schema import fill_nulls
from .refusals import refused
from .toolset import MAKING, core, optional
from .workbench.context import Context

ABOUT = (
    "Add the tools of these kinds to yours; they are sent from the next request on, with all their fields. Each also "
    "runs if you call it without adding it."
)
MAPPED = "Your instructions list the kinds by the question that each answers. There is also"


class AddTools(Arguments):
    names: Annotated[list[str], Field(min_length=1, max_length=12, description="Such as mlp_ablation, saliency.")]


def add_tools(context: Context, given: AddTools) -> Answered:
    there = [name for name in optional() if context.reviews is None or name != MAKING]
    added = [name for name in dict.fromkeys(given.names) if name in there]
    missing = [name for name in dict.fromkeys(given.names) if name not in there]
    if not added:
        raise refused("nothing_to_add", name=missing[0][:60], there=", ".join(name for name in there))
    lines = [f"Added: {', '.join(added)}."]
    lines += [f"There is no tool '{name[:60]}' to add." for name in missing]
    return "\n".join(lines), {"added": added}


def catalogue(descriptions: Mapping[str, str], mapped: bool) -> str:
    """The description of add_tools: one line for each optional tool outside the core; if the instructions contain the
    map of instruments (`mapped`), only for what the map does not name."""
    left_out = {*core(), *(kinds() if mapped else ())}
    listed = [f"{name}: {question(text)}" for name, text in descriptions.items() if name in {*optional()} - left_out]
    return "\n".join((ABOUT, *(MAPPED,) * mapped, *listed))


def question(description: str) -> str:
    """The first sentence of a description."""
    text = " ".join(description.split("\n\n")[0].split())
    ends = [at + 1 for at in (text.find("? "), text.find(". ")) if at >= 0]
    return text[: min(ends)] if ends else text


def added_by(arguments: str) -> list[str]:
    """The names in the arguments of a call of add_tools; none if they are not valid."""
    try:
        given = json_object(arguments or "{}", "The input")
        return list(AddTools.model_validate(fill_nulls(AddTools, given)).names)
    except (ToolError, ValidationError):
        return []
