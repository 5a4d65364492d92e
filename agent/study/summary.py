"""What a study has found so far, by the program from the tracker, for a conversation that has grown too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...db.read.reader import Reader
from ...tools.evidence.verdict import spoken, verdicts
from ..drivers.conversation import Message
from . import progress_state
from .context_window import cut

LINE = 160
# What the user said stays, to the word.
WORDS = {progress_state.TOLD, progress_state.SPENT, progress_state.STOPPING, progress_state.GOING_ON}


def summary(reader: Reader, run: int, replaced: Sequence[Message], most: int) -> str:
    """The goal, what was measured, hypotheses with verdicts, notes, and the user's words among the messages that are
    replaced; at most about so many characters, the latest experiments first to be told."""
    row = reader.run(run)
    found = verdicts(row.hypotheses)
    said = [m.text for m in replaced if m.role == "user" and WORDS & set(m.data or {})]
    head = [
        "The beginning of this study is left out here, since it no longer fits; the tracker has all of it "
        "(show_experiment, list_experiments, search_notes, query_tracker). What there is:",
        f"Goal: {row.goal}",
        *(f"Asked: {one.text}" for one in row.questions),
        *(f"Hypothesis {h.id}, {spoken(h, found)}: {cut(h.statement, LINE)}" for h in row.hypotheses),
        *(f"Note {note.id}: {cut(note.title, LINE)}" for note in row.notes),
        *(f"The user said: {text}" for text in said),
    ]
    # Of very many hypotheses and notes the first are left to the tools.
    while len(head) > 2 + len(said) and sum(map(len, head)) > most // 2:
        del head[2]
    lines: list[str] = []
    experiments = row.experiments
    for place, e in enumerate(reversed(experiments)):
        text = e.found if e.status == "done" else f"{e.status}: {e.error or 'no result'}"
        line = cut(f"{e.id} {e.kind} on {e.task}: {' '.join((text or '').split())}", LINE)
        if sum(map(len, [*head, *lines])) + len(line) > most:
            older = Counter(one.kind for one in experiments[: len(experiments) - place])
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(older.items()))
            lines.append(f"And before these {experiments[0].id} to {experiments[-1 - place].id}: {kinds}.")
            break
        lines.append(line)
    return "\n".join([*head, *(["Measured, the latest first:", *lines] if lines else [])])
