"""A study that was stopped, taken up again where its tracker ends.

The conversation is the turns that were logged, what was spent is what their rows say. A call that has no answer is
carried out now; what it wrote before is found by its id, and not written again.
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
    """The number of this run, or of the last one that was stopped. Raises TrackerError where there is none."""
    if name is not None:
        what, number = parse_id(name)
        if what != "run":
            raise TrackerError(f"{name} is the id of a {what}; a run such as R1 is wanted.")
        reader.require("run", number)
        return number
    stopped = [row.id for row in reader.runs() if row.status == "stopped"]
    if not stopped:
        raise TrackerError(f"No study in {reader.path} was stopped, so there is none to go on with.")
    return parse_id(stopped[-1])[1]


def require_stopped(row: Run) -> None:
    """Raises TrackerError, before anything is loaded, for a run that has ended or is being run."""
    if row.status == "running":
        raise TrackerError(AT_WORK.format(run=row.id))
    if row.status != "stopped":
        raise TrackerError(ENDED.format(run=row.id, status=row.status))


def changes(context: Context, row: Run) -> list[str]:
    """What of the machine and the programs is not as it was when the run began, one line each."""
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
            found.append(f"the code that measures was {was} and is {code_version()}")
    return found


def _flat(environment: Json) -> dict[str, str]:
    packages: Json = environment.get("packages") or {}
    # What was logged before statistics were numbered was made by the first.
    flat: Json = {"statistics": 1, **environment, **packages}
    return {name: str(value) for name, value in flat.items() if name != "packages"}


def require_same_subject(context: Context, run: int) -> None:
    """Loads the study's subject. Raises ToolError where it is not the one that was measured before."""
    subject = context.subject(context.model)
    before = [row.fingerprint for row in context.reader.subjects(run) if row.name == subject.name]
    if before and before[-1] != subject.fingerprint:
        raise ToolError(
            f"{show_id('run', run)} measured {subject.name} with the fingerprint {before[-1][:16]}, and it has "
            f"{subject.fingerprint[:16]} now: these are other weights. Put the old ones back, or begin a new study."
        )


def recall(context: Context, row: Run) -> None:
    """What the run was about, with its own task as it was when the run last used it."""
    context.model, context.task = row.model or context.model, row.task or context.task
    context.reviews = None if row.reviews is None else parse_id(row.reviews)[1]
    used = [e.id for e in row.experiments if e.run == row.id and e.task == context.task]
    if used:
        fingerprint = context.reader.experiment(parse_id(used[-1])[1]).task_fingerprint
        context.add_stored_task(context.task, fingerprint)


def conversation(turns: Sequence[Turn]) -> list[Message]:
    return [Message.model_validate(turn.content) for turn in turns]


def require_all_kept(reader: Reader, driver: Driver, run: int) -> None:
    """Raises ToolError for a run of an older version, which did not keep what a protocol reads in the answers."""
    messages, name = conversation(reader.turns(run)), show_id("run", run)
    if not messages or (not driver.llm and any(m.data is None for m in messages if m.role == "tool")):
        raise ToolError(
            f"{name} was begun by an older version, which did not keep all that is needed to go on. `agent report "
            f"{name}` writes up what there is."
        )


def resumed(context: Context, driver: Driver, run: int, live: Live) -> Study:
    """The study as it stood when its process ended, held by this process from now on.

    Raises TrackerError for a run that has ended or is being run, and what `require_all_kept` raises.
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
