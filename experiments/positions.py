"""Names of positions in prompts, for edits: `all`, `first`, `last`, a span of the task, or `all-X`: all tokens except
those of X.

`first` is each prompt's first token (the BOS, if the tokenizer adds one), unless a span has that name; `last` is the
prompt's last token. Pads belong to no position.
"""

from __future__ import annotations

from collections.abc import Collection

from .errors import BadConfiguration

EXCEPT = "all-"


def excluded(positions: str, spans: Collection[str]) -> str | None:
    """The X of "all-X"; None if it is another name, or a span of that name."""
    if positions in spans or not positions.startswith(EXCEPT):
        return None
    return positions.removeprefix(EXCEPT)


def check_positions(positions: str, spans: Collection[str]) -> str:
    """Raises BadConfiguration if these are not positions of a prompt with these spans."""
    name = excluded(positions, spans)
    if (positions if name is None else name) in {"first", "last", *spans} or positions == "all":
        return positions
    known = dict.fromkeys(["all", "first", "last", *sorted(spans)])
    raise BadConfiguration(
        f"There are no positions '{positions}'. Positions: {', '.join(known)}, or all-X for all tokens except X, such "
        "as all-first."
    )
