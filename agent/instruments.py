"""The map that a language model reads: which of the kinds it may run answers which question.

It is made from the kinds themselves, so it includes the kinds of installed packages.
"""

from __future__ import annotations

from collections.abc import Collection

from .. import prompts
from ..tools.registry import CONTROLS, shared
from ..tools.workbench.catalog import kind_cards, questions


def instruments(there: Collection[str]) -> str:
    """Which kind answers which question, among the kinds given: one line per question, first the kinds that answer all
    of it."""
    lines: list[str] = []
    for question, aspects in questions([card for card in kind_cards() if card["name"] in there]).items():
        clauses = [f"{aspect}: {', '.join(names)}" if aspect else ", ".join(names) for aspect, names in aspects.items()]
        lines.append(f"- {question} {'; '.join(clauses)}")
    return prompts.fill("instruments", questions="\n".join(lines))


def shared_fields() -> str:
    """The fields that every experiment has, described once for all tools."""
    lines = [f"- {name}{' (if it has it)' if name in CONTROLS else ''}: {text}" for name, text in shared().items()]
    return "\n".join(["Every experiment takes", *lines])
