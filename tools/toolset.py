"""Which tools a study offers: all of them, the core, or kinds by name.

Every description takes up room in each request, and a small model chooses better among few tools. You can leave out
kinds of experiments and create_task. Look-ups, predictions, notes and the report are always there. If nothing is left
out, the study sends the core at first, and add_tools adds the others one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from ..experiments.kinds.registry import kinds
from ..experiments.questions import WITHOUT_A_TASK
from .refusals import refused

Tool = TypeVar("Tool")
MAKING, ADDING = "create_task", "add_tools"


def optional() -> tuple[str, ...]:
    return (*kinds(), MAKING)


def core() -> tuple[str, ...]:
    return tuple(name for name, kind in kinds().items() if kind.core)


def without_a_task() -> tuple[str, ...]:
    """The kinds that show what a model does before there is a task."""
    return tuple(name for name, kind in kinds().items() if kind.question == WITHOUT_A_TASK)


def chosen(words: str) -> tuple[str, ...] | None:
    """The optional tools that "core" or a list such as "baseline, logit_lens" keeps; None for "all".

    Raises ToolError for an unknown name.
    """
    names = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    if names == ("all",):
        return None
    if names == ("core",):
        return core()
    there = {*optional()}
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        wrong = "No tool is named" if not names else f"There is no kind {unknown[0]}"
        raise refused("unknown_kind", wrong=wrong, core=", ".join(core()), there=", ".join(sorted(there)))
    return names


def offered(tools: Mapping[str, Tool], left_in: Collection[str] | None) -> dict[str, Tool]:
    """The tools, by name, without the optional ones that are not in `left_in`."""
    left_out: set[str] = set() if left_in is None else {*optional(), ADDING} - {*left_in}
    return {name: tool for name, tool in tools.items() if name not in left_out}


def in_request(tools: Mapping[str, Tool], at_hand: Collection[str] | None) -> dict[str, Tool]:
    """The tools that a request describes: without the optional ones that nobody added yet. None: all."""
    return {name: tool for name, tool in tools.items() if at_hand is None or name not in optional() or name in at_hand}
