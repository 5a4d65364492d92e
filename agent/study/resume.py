"""Resume a stopped study where its log ends.

The logged turns are the conversation, and their rows say what was spent. A call without an answer runs now; anything
that it wrote before is found by its id and not written again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ... import prompts
from ...db.errors import TrackerError
from ...db.ids import parse_id, show_id
from ...db.read.reader import Reader
from ...db.records import Json, Run, Turn
from ...db.write.runs import AT_WORK, ENDED
from ...tools.errors import ToolError
from ...tools.workbench.context import Context
from ...tools.workbench.environment import code_version
from ..drivers.conversation import Driver, Message
from . import progress_state
from .budget import Budget, Spent
from .loop import Live, Study, request


def run_to_resume(reader: Reader, name: str | None) -> int:
    """The number of this run, or of the last one that was stopped. Raises TrackerError if there is none."""
    if name is not None:
        what, number = parse_id(name)
        if what != "run":
            raise TrackerError(f"{name} is not a run. Give the id of a run, such as R1.")
        reader.require("run", number)
        return number
    stopped = [row.id for row in reader.runs() if row.status == "stopped"]
    if not stopped:
        raise TrackerError(f"There is no stopped study in {reader.path} to resume.")
    return parse_id(stopped[-1])[1]


def require_stopped(row: Run) -> None:
    """Raises TrackerError, before anything is loaded, if the run has ended or is still running."""
    if row.status == "running":
        raise TrackerError(AT_WORK.format(run=row.id))
    if row.status != "stopped":
        raise TrackerError(ENDED.format(run=row.id, status=row.status))


def changes(context: Context, row: Run) -> list[str]:
    """What has changed in the machine and the programs since the run began, one line each."""
    then, now = _flat(row.environment), _flat(context.environment)
    found = [
        f"{name} was {then.get(name)} and is {now.get(name)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    own = [e for e in row.experiments if e.run == row.id]
    if own:
        was = context.reader.experiment(parse_id(own[-1].id)[1]).code_version
        if was != code_version():
            found.append(f"the measuring code was {was} and is {code_version()}")
    return found


def _flat(environment: Json) -> dict[str, str]:
    packages: Json = environment.get("packages") or {}
    # Logs from before statistics had version numbers used the first version.
    flat: Json = {"statistics": 1, **environment, **packages}
    return {name: str(value) for name, value in flat.items() if name != "packages"}


def require_same_subject(context: Context, run: int) -> None:
    """Load the study's subject. Raises ToolError if it is not the model that was measured before."""
    subject = context.subject(context.model)
    before = [row.fingerprint for row in context.reader.subjects(run) if row.name == subject.name]
    if before and before[-1] != subject.fingerprint:
        raise ToolError(
            f"{show_id('run', run)} measured {subject.name} with the fingerprint {before[-1][:16]}; it now has "
            f"{subject.fingerprint[:16]}, so its weights have changed. Restore the old ones, or start a new study."
        )


def recall(context: Context, row: Run) -> None:
    """Restore the settings of the run, and its own task as the run last used it."""
    context.model, context.task = row.model or context.model, row.task or context.task
    context.reviews = None if row.reviews is None else parse_id(row.reviews)[1]
    used = [e.id for e in row.experiments if e.run == row.id and e.task == context.task]
    if used:
        fingerprint = context.reader.experiment(parse_id(used[-1])[1]).task_fingerprint
        context.add_stored_task(context.task, fingerprint)


def conversation(turns: Sequence[Turn]) -> list[Message]:
    return [Message.model_validate(turn.content) for turn in turns]


def require_all_kept(reader: Reader, driver: Driver, run: int) -> None:
    """Raises ToolError for a run of an older version, which did not keep the data that a fixed protocol reads."""
    messages, name = conversation(reader.turns(run)), show_id("run", run)
    if not messages or (not driver.llm and any(m.data is None for m in messages if m.role == "tool")):
        raise ToolError(
            f"{name} cannot be resumed: an older version ran it and did not keep everything needed. `agent "
            f"report {name}` writes a report from its results."
        )


def resumed(context: Context, driver: Driver, run: int, live: Live) -> Study:
    """The study in the state in which its process ended; this process owns it from now on.

    Raises TrackerError if the run has ended or is still running, and what `require_all_kept` raises.
    """
    require_all_kept(context.reader, driver, run)
    asks = request(context, progress_state.left_in(conversation(context.reader.turns(run))))
    context.store.resume_run(run, context.environment, asks)
    context.run = run
    row, turns = context.reader.run(run), context.reader.turns(run)
    messages = conversation(turns)
    asked = [turn for turn in turns if turn.role == "assistant"]
    so_far = context.reader.spent_so_far(run)
    counted = {name: count for name, count in so_far._asdict().items() if name != "seconds"}
    spent = Spent(**counted, began=time.monotonic() - so_far.seconds)
    work = Study(context, driver, row.goal, Budget.model_validate(row.budget), live, messages, spent)
    context.turn = asked[-1].id if asked else None
    unanswered = {call.id for call in progress_state.unanswered(messages)}
    report = context.reader.latest_report(run)
    context.finished = report is not None and report.call not in unanswered
    work.count()
    ending = progress_state.closing(messages)
    if ending is not None and ending[0] == "interrupted" and not context.finished:
        work.tell(prompts.read("going_on"), {progress_state.GOING_ON: True})
    return work
