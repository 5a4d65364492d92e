"""A list that does not fit one answer: as many whole entries as fit, and the exact call that gives the next ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from .workbench.experiment_text import LIMIT

# Room for the sentence that names the next call, and the longest arguments that it repeats.
SENTENCE, ARGUMENTS = 200, 600

After = Annotated[int, Field(ge=0, description="Start after this entry; a cut answer names it.")]


def page(
    entries: Sequence[str], after: int, tool: str, given: Mapping[str, Any], most: int | None = None, head: str = "",
    exact: bool = True,
) -> str:  # fmt: skip
    """The entries after the first `after`, at most `most`, as one answer; at least one, cut if it is too long alone.

    `given` holds the other arguments of this call, which the next call repeats; None is left out. `exact` is False if
    there are more entries than those given.
    """
    kept = {name: value for name, value in given.items() if value is not None}
    head = head if len(head) <= LIMIT // 2 else head[: LIMIT // 2] + "…"
    lines = [head] if head else []
    given_again = json.dumps(kept, ensure_ascii=False)
    room = LIMIT - SENTENCE - min(len(given_again), ARGUMENTS) - len(head)
    shown = 0
    for entry in entries[after : None if most is None else after + most]:
        if shown and len(entry) + 1 > room:
            break
        lines.append(entry if len(entry) <= room else entry[: max(0, room - 1)] + "…")
        room -= len(lines[-1]) + 1
        shown += 1
    end = after + shown
    if end < len(entries):
        call = f"{tool} {json.dumps({**kept, 'after': end}, ensure_ascii=False)}"
        if len(given_again) > ARGUMENTS:
            call = f'{tool} with the same arguments and "after": {end}'
        of = f"of {len(entries)}" if exact else f"of more than {len(entries) - 1}"
        lines.append(f"({after + 1}-{end} {of}. The next ones: {call})")
    elif after and not shown:
        lines.append(f"(There are {len(entries)}, so nothing comes after {after}.)")
    return "\n".join(lines)
