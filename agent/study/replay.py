"""Repeat a run from its log: the logged replies drive the loop, and everything that it does is compared with the log.

Every message must be identical to the byte, and every number within the tolerance (see
`tools/replay/experiments_of_run.py`). The replay ends at the end of the log, or at the first difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...db import older
from ...db.ids import show_id
from ...db.read.reader import Reader
from ...db.records import Json, Request, Run, Turn, as_json
from ...tools.errors import ToolError
from ...tools.refusals import BUDGET_SPENT, STOPPING
from ...tools.replay.experiments_of_run import Diverged, Repeated
from ...tools.replay.scratch import Scratch
from ...tools.toolset import in_request, offered
from ...tools.workbench.context import Context, Progress
from ...tools.workbench.environment import code_version
from ..drivers.conversation import KEPT, DriverError, Message, Reply, ToolSpec
from ..drivers.recorded import Recorded
from ..live import View
from . import progress_state
from .budget import Budget, Spent
from .context_window import SHRUNK
from .endings import MINUTES, Reason, limit
from .interrupt import Stop
from .loop import Ending, Study, close, converse, prepare
from .resume import changes, conversation, recall, require_same_subject

# User messages that the loop of the replay does not send itself: that the study was resumed, the user's own messages,
# and that the tools or the conversation became too long for the server of that time.
OUTSIDE = {progress_state.GOING_ON, progress_state.FROM_USER, progress_state.TOOLS, SHRUNK}


class LogEnds(BaseException):
    """The run was stopped here, so there is nothing more to compare."""


@dataclass(frozen=True)
class Rerun:
    """The result: how many replies were used and experiments compared, and where it first differs from the log."""

    id: str
    steps: int
    experiments: int
    values: int
    largest: float
    warnings: tuple[str, ...]
    diverged: Diverged | None = None
    step: int = 0
    ended: bool = True

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": self.id, "same": self.diverged is None, "steps": self.steps, "experiments": self.experiments,
            "compared": self.values, "largest": self.largest, "warnings": list(self.warnings), "ended": self.ended,
        }  # fmt: skip
        if self.diverged is not None:
            one = self.diverged
            found["diverged"] = {"kind": one.kind, "step": self.step, "what": one.what, "was": one.was, "now": one.now}
        return found


@dataclass
class Log:
    """The logged conversation, and how far the replay has come."""

    row: Run
    turns: Sequence[Turn]
    at: int = 0

    @property
    def next(self) -> Turn | None:
        """The turn that must come next."""
        return self.turns[self.at] if self.at < len(self.turns) else None

    @property
    def said(self) -> Message | None:
        return None if self.next is None else Message.model_validate(self.next.content)

    @property
    def came(self) -> dict[str, Any]:
        """The data of the program's next message as the user."""
        said = self.said
        return (said.data or {}) if said is not None and said.role == "user" else {}

    def refuses(self, code: str) -> bool:
        """Whether the next answer refuses a call for this reason."""
        said = self.said
        return said is not None and said.role == "tool" and (said.code or older.refused_for(said.text)) == code


class AsAsked(Stop):
    """Stops where the log says that the user asked to stop."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @property
    def asked(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        log = self._log
        if log.next is None:
            return log.row.status == "interrupted"
        return progress_state.STOPPING in log.came or log.refuses(STOPPING)


@dataclass
class AsSpent(Spent):
    """Counts again what can be counted; the log says when the time was over."""

    log: Log = field(kw_only=True)

    def over(self, budget: Budget, requests: int = 0) -> Reason | None:
        counted = super().over(budget.model_copy(update={"minutes": float("inf")}), requests)
        if counted is not None:
            return counted
        message, words = self.log.said, self.log.came.get(progress_state.SPENT)
        if words is None or message is None:
            return limit(MINUTES, budget.minutes) if self.log.refuses(BUDGET_SPENT) else None
        return Reason(MINUTES, words) if (message.code or older.limit_reached(words)) == MINUTES else None


@dataclass
class Repetition(Study):
    """A study in which every message must equal the logged one."""

    log: Log = field(kw_only=True)
    scratch: Scratch = field(kw_only=True)

    def keep(
        self, message: Message, reply: Reply | None = None, seconds: float | None = None, cost: float | None = None
    ) -> int:
        logged = self.log.next
        content = self.content(message)
        if logged is None:
            raise Diverged("request", "The log ends here, but the program continues.", "", message.text)
        compare_messages(self, logged, json.loads(json.dumps(content)))
        turn = super().keep(message, reply, seconds, cost)
        self.log.at += 1
        self.hear()
        return turn

    def hear(self) -> None:
        """Take from the log what came from outside before the next turn: messages and other processes' writes."""
        while OUTSIDE & self.log.came.keys():
            assert self.log.next is not None
            super().keep(Message.model_validate(self.log.next.content))
            self.log.at += 1
        if self.log.next is None:
            if self.log.row.status == "stopped":
                raise LogEnds
            return
        if self.log.next.role == "tool":
            began = datetime.fromisoformat(self.log.next.created) - timedelta(seconds=self.log.next.seconds or 0)
            self.scratch.bring(began.isoformat(timespec="microseconds").replace("+00:00", "Z"))


def compare_messages(work: Repetition, logged: Turn, now: Json) -> None:
    """Raises Diverged with the kind of the difference; compares the rows behind an answer before its text."""
    # The short form of an answer follows from what is compared anyway, and older versions did not log it.
    was, now = ({name: value for name, value in one.items() if name != "short"} for one in (logged.content, now))
    if "code" not in was:
        # The log is older than codes, or the message has none; its text is compared in any case.
        now = {name: value for name, value in now.items() if name != "code"}
    if now == was:
        return
    if now["role"] != was["role"]:
        what = f"The log continues with a message of the {was['role']}, the program with one of the {now['role']}."
        raise Diverged("request", what, was["text"], now["text"])
    if was["role"] == "user":
        raise Diverged("request", "The program sends the driver a different message.", was["text"], now["text"])
    name = next((call.name for call in progress_state.unanswered(work.messages)), "a call")
    verdict, report = name == "test_hypothesis", name in ("write_report", "write_review")
    kind = "verdict" if verdict else "report" if report else "tool answer"
    if now["text"] != was["text"]:
        raise Diverged(kind, f"{name} gives a different answer.", was["text"], now["text"])
    texts = (json.dumps(one["data"], indent=1, ensure_ascii=False, sort_keys=True) for one in (was, now))
    raise Diverged(kind, f"{name} answers with different data.", *texts)


def in_all(progress: Progress, row: Run, repeated: Repeated) -> Progress:
    """Progress of all experiments of a run together, each with the share of the time that it took in the log."""
    seconds = [one.seconds or 0.0 for one in row.experiments if one.run == row.id and one.status == "done"]
    total, furthest = sum(seconds), 0.0

    def say(what: str, done: int, of: int) -> None:
        nonlocal furthest
        at = repeated.experiments
        here = sum(seconds[:at]) + (seconds[at] * done / max(1, of) if at < len(seconds) else 0.0)
        # One experiment may report several sweeps in a row.
        furthest = max(furthest, here)
        progress(f"All {len(seconds)} experiments of {row.id}", round(1000 * furthest), round(1000 * total))

    return progress if total <= 0 else say


def rerun(
    reader: Reader,
    run: int,
    progress: Progress,
    fast: bool = False,
    tolerance: float = 1e-4,
    ignore_prompts: bool = False,
) -> Rerun:
    """Repeat a run in a temporary tracker; the reader's tracker does not change.

    Raises ToolError if the run is still running, if an older version did not log all of it, or if its subject is a
    different model here; NoSuchId.
    """
    row, turns = reader.run(run), reader.turns(run)
    given = require_repeatable(row, turns)
    log = Log(row, turns, at=given)
    until = turns[given - 1].created
    warnings = list[str]()
    codes = {reader.experiment(int(e.id[1:])).code_version for e in row.experiments}
    with TemporaryDirectory(prefix="lashley-replay-") as folder:
        path = Path(folder) / "replay.db"
        with Scratch.of(reader.path, run, until, path) as scratch, Reader.open(path) as own:
            scratch.count_as_here(sorted(codes), code_version())
            repeated = Repeated(reader, scratch, fast, tolerance)
            context = Context(store=scratch, reader=reader, measure=repeated)
            recall(context, row)
            require_same_subject(context, run)
            warnings += [f"Since {row.id} ran: {line}." for line in changes(context, row)]
            context.reader, context.run = own, run
            look = Looking(reader, log, ignore_prompts, warnings)
            driver = Recorded(row.driver, row.llm or "", replies(log), look)
            work = Repetition(
                context, driver, row.goal, Budget.model_validate(row.budget), View(None),
                conversation(list(turns[:given])), AsSpent(steps=turns[given - 1].step, log=log), AsAsked(log),
                log=log, scratch=scratch,
            )  # fmt: skip
            prepare(work)
            context.progress, context.experiment_minutes, context.approval = in_all(progress, row, repeated), None, None
            diverged, ended = None, True
            try:
                ending = repeat(work)
                compare_endings(reader, own, run, ending)
            except Diverged as parted:
                diverged = parted
            except LogEnds:
                ended = False
    if look.unknown:
        warnings.append(f"{row.id} did not log its instructions and tools, so they were not compared.")
    replied = sum(turn.role == "assistant" for turn in turns[given : log.at])
    counts = (repeated.experiments, repeated.values, repeated.largest)
    return Rerun(row.id, replied, *counts, tuple(warnings), diverged, work.spent.steps, ended)


def require_repeatable(row: Run, turns: Sequence[Turn]) -> int:
    """How many turns the run started with: its first message; for a fork, all turns of its parent and the message about
    the fork. Raises ToolError."""
    if row.status == "running":
        raise ToolError(f"{row.id} is still running. Replay it when it has ended.")
    if not turns or turns[0].role != "user":
        raise ToolError(f"{row.id} cannot be replayed: an older version ran it and did not log everything needed.")
    if row.parent is None:
        return 1
    return next(i for i, turn in enumerate(turns, start=1) if progress_state.FORKED in (turn.content.get("data") or {})
                and turn.content["data"][progress_state.FORKED] == row.parent)  # fmt: skip


def replies(log: Log) -> Iterator[Reply]:
    """The logged replies; each must be the next turn."""
    while (turn := log.next) is not None:
        if turn.role != "assistant":
            what = f"The program asks for a reply, but the log continues with a message of the {turn.role}."
            raise Diverged("request", what, turn.content["text"])
        said = Message.model_validate(turn.content)
        yield Reply(
            **{name: getattr(said, name) for name in KEPT}, tokens_in=turn.tokens_in, tokens_out=turn.tokens_out
        )
    if log.row.status == "failed":
        raise DriverError(log.row.error or "", log.row.error_code)
    raise Diverged("request", "The log ends here, but the program asks for another reply.")


@dataclass
class Looking:
    """Compares instructions and tools with the logged ones; a fixed protocol reads neither."""

    reader: Reader
    log: Log
    ignore: bool
    warnings: list[str]
    unknown: bool = False
    seen: set[str] = field(default_factory=set[str])

    def __call__(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        if self.log.row.llm is None or self.log.next is None:
            return
        was = self.reader.request(int(self.log.row.id[1:]), self.log.next.created)
        if was is None:
            self.unknown = True
            return
        for differs in self.differences(was, instructions, tools):
            if not self.ignore:
                raise differs
            if differs.what not in self.seen:
                self.seen.add(differs.what)
                self.warnings.append(differs.what)

    def differences(self, was: Request, instructions: str, tools: Sequence[ToolSpec]) -> Iterator[Diverged]:
        if was.instructions != instructions:
            yield Diverged("request", "The instructions have changed.", was.instructions, instructions)
        so_far = conversation(list(self.log.turns[: self.log.at]))
        before = in_request(offered(was.tools, progress_state.left_in(so_far)), progress_state.at_hand(so_far))
        now = {tool.name: tool.model_dump(exclude={"name"}) for tool in tools}
        gone, added = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
        if gone or added:
            yield Diverged("request", "The tools on offer differ.", "\n".join(gone), "\n".join(added))
        for name in sorted(before.keys() & now.keys()):
            texts = [as_text(one) for one in (before[name], now[name])]
            if texts[0] != texts[1]:
                yield Diverged("request", f"The tool {name} has changed.", *texts)


def as_text(tool: Json) -> str:
    return f"{tool['description']}\n{json.dumps(tool['parameters'], indent=1, ensure_ascii=False, sort_keys=True)}"


def repeat(work: Repetition) -> Ending:
    work.hear()
    try:
        ending = converse(work)
    except DriverError as fault:
        ending = Ending("failed", str(fault), fault.code)
    return close(work, ending)


def compare_endings(reader: Reader, own: Reader, run: int, ending: Ending) -> None:
    """Compare the final status, verdicts and report. Raises Diverged."""
    row, name = reader.run(run), show_id("run", run)
    codes = (ending.code or None, row.error_code)
    if (ending.status, ending.why) != (row.status, row.error) or (codes[1] is not None and codes[0] != codes[1]):
        raise Diverged("ending", f"{name} ends differently.", f"{row.status}: {row.error or ''}",
                       f"{ending.status}: {ending.why or ''}")  # fmt: skip
    was, now = (one.hypotheses(run) for one in (reader, own))
    for before, after in zip(was, now, strict=True):
        if before != after:
            texts = (json.dumps(as_json(one), indent=1, ensure_ascii=False) for one in (before, after))
            raise Diverged("verdict", f"{before.id} gets a different verdict.", *texts)
    reports = [one.latest_report(run) for one in (reader, own)]
    texts = [None if one is None else json.dumps([one.source, one.claims], indent=1, ensure_ascii=False)
            for one in reports]  # fmt: skip
    if texts[0] != texts[1]:
        raise Diverged("report", f"The report of {name} differs.", texts[0] or "", texts[1] or "")
