"""The map that a language model is given: which kind of experiment answers which question, of those that it has."""

from __future__ import annotations

from collections.abc import Collection

from .. import prompts


def instruments(there: Collection[str]) -> str:
    """Which kind answers which question, of the kinds that are there: prompts/instruments.md without the others."""
    lines: list[str] = []
    for line in prompts.read("instruments").splitlines():
        question, mark, told = line.partition("? ")
        if not mark:
            lines.append(line)
            continue
        clauses: list[str] = []
        for clause in told.split("; "):
            about, colon, names = clause.rpartition(": ")
            if left := [name for name in names.split(", ") if name in there]:
                clauses.append(about + colon + ", ".join(left))
        if clauses:
            lines.append(question + mark + "; ".join(clauses))
    return "\n".join(lines)
