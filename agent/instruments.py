"""The map that a language model is given: which kind of experiment answers which question, of those that it has.

It is made from the kinds themselves, so a kind of an installed package stands in it, too.
"""

from __future__ import annotations

from collections.abc import Collection

from .. import prompts
from ..tools.workbench.catalog import kind_cards, questions


def instruments(there: Collection[str]) -> str:
    """Which kind answers which question, of the kinds that are there: a line a question, first those that answer the
    whole of it."""
    lines: list[str] = []
    for question, aspects in questions([card for card in kind_cards() if card["name"] in there]).items():
        clauses = [f"{aspect}: {', '.join(names)}" if aspect else ", ".join(names) for aspect, names in aspects.items()]
        lines.append(f"- {question} {'; '.join(clauses)}")
    return prompts.fill("instruments", questions="\n".join(lines))
