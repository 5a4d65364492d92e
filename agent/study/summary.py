"""A summary of a study so far, made from the tracker, to shorten a conversation that has become too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...db.read.reader import Reader
from ...tools.evidence.verdict import spoken, verdicts
from ..drivers.conversation import Message
from . import progress_state
from .context_window import cut

LINE = 160
# Keep the user's messages word for word.
WORDS = {progress_state.FROM_USER, progress_state.SPENT, progress_state.STOPPING, progress_state.GOING_ON}


def summary(reader: Reader, run: int, replaced: Sequence[Message], most: int) -> str:
    """The goal, results, hypotheses with verdicts, notes, and the user's messages among those that are replaced; about
    `most` characters at most, the latest experiments first."""
    row = reader.run(run)
    found = verdicts(row.hypotheses)
    said = [m.text for m in replaced if m.role == "user" and WORDS & set(m.data or {})]
    head = [
        "The beginning of this study no longer fits and is left out. The tracker has all of it (show_experiment, "
        "list_experiments, search_notes, query_tracker). A summary:",
        f"Goal: {row.goal}",
        *(f"Question: {one.text}" for one in row.questions),
        *(f"Hypothesis {h.id}, {spoken(h, found)}: {cut(h.statement, LINE)}" for h in row.hypotheses),
        *(f"Note {note.id}: {cut(note.title, LINE)}" for note in row.notes),
        *(f"The user said: {text}" for text in said),
    ]
    # If there are too many hypotheses and notes, leave out the first; the tools can show them.
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
            lines.append(f"Before these, {experiments[0].id} to {experiments[-1 - place].id}: {kinds}.")
            break
        lines.append(line)
    return "\n".join([*head, *(["Results, latest first:", *lines] if lines else [])])
