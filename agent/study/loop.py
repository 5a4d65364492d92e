"""The loop: ask the driver, run what it calls, log it, answer; repeat until there is a report.

The loop logs every message in the tracker before it asks for the next one, and reads its state only from the messages,
so it can resume a study that was killed. When a study ends (the driver is done, the budget is spent, the server fails,
the user stops it), the program writes a report from the results so far.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from ... import prompts
from ...db import skips
from ...tools.questions import register_goal
from ...tools.refusals import BUDGET_SPENT, STOPPING, refused
from ...tools.registry import Answer, Tool, all_tools, answer, review_tools, tasks_of_call
from ...tools.report.default import default_source
from ...tools.toolset import core, in_request, offered
from ...tools.workbench.approval import Approval
from ...tools.workbench.context import Context
from ..drivers.conversation import PASSING, Call, ContextOverflow, Driver, DriverError, Message, Reply, ToolSpec
from ..instruments import instruments, shared_fields
from . import progress_state
from .budget import Budget, Spent
from .context_window import PAYS, Window, mark_of
from .endings import STOPPED, why
from .interrupt import Stop, ctrl_c
from .turn import next_reply

# After the budget is spent: how many faulty reports to return before the program writes one itself.
LAST_TRIES = 4
SILENT_TURNS = 2
# How often in a row the same call runs, and how often it may be made before the study ends.
SAME_DONE, SAME_MADE = 3, 10
# After so many experiments in a row without a hypothesis, and every so many more, the answer says so.
STILL = 3
# The loop sends a request only if the money suffices for it and one more.
AND_THE_REPORT = 2


class Live(Protocol):
    """An observer of the study. Each method is called after the event and may do nothing; only `asks` and `skips` must
    answer."""

    def began(self, run: str, goal: str, driver: Driver, context: Context, budget: Budget) -> None: ...
    def thinking(self, step: int) -> None: ...
    def said(self, text: str) -> None: ...
    def user_wrote(self, text: str) -> None: ...
    def called(self, step: int, call: Call, spent: Spent) -> None: ...
    def answered(self, call: Call, result: Answer) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...
    def warned(self, text: str) -> None: ...
    def registered(self, questions: Sequence[str]) -> None: ...
    def asks(self, question: str) -> bool: ...
    def skips(self) -> bool: ...


def every_tool(context: Context) -> dict[str, Tool]:
    return all_tools() if context.reviews is None else review_tools()


def instructions(context: Context, tools: dict[str, Tool]) -> str:
    if context.reviews is not None:
        return f"{prompts.read('review')}\n\n{shared_fields()}"
    return f"{prompts.read('system')}\n\n{instruments(tools)}\n\n{shared_fields()}"


def specs(tools: dict[str, Tool]) -> list[ToolSpec]:
    return [ToolSpec.of(tool) for tool in tools.values()]


def request(context: Context, left_in: Sequence[str] | None) -> dict[str, Any]:
    """What a driver receives besides the conversation, as it is logged: instructions, and tools by name. A turn may
    send fewer of them."""
    tools = offered(every_tool(context), left_in)
    described = {spec.name: spec.model_dump(exclude={"name"}) for spec in specs(tools)}
    return {"instructions": instructions(context, tools), "tools": described}


@dataclass
class Study:
    """A running study. `messages` is the conversation so far, as it is logged."""

    context: Context
    driver: Driver
    goal: str
    budget: Budget
    live: Live
    messages: list[Message]
    spent: Spent = field(default_factory=Spent)
    stop: Stop = field(default_factory=Stop)
    window: Window = field(default_factory=Window)

    @cached_property
    def every(self) -> dict[str, Tool]:
        return every_tool(self.context)

    @property
    def tools(self) -> dict[str, Tool]:
        return offered(self.every, progress_state.left_in(self.messages))

    @cached_property
    def instructions(self) -> str:
        """The instructions, the same in every turn; a message announces when fewer tools are offered."""
        left_in = (self.messages[0].data or {}).get(progress_state.TOOLS)
        return instructions(self.context, offered(self.every, left_in))

    @property
    def last(self) -> str:
        """The tool that ends the study."""
        return next(name for name, tool in self.tools.items() if tool.is_last)

    @property
    def run(self) -> int:
        assert self.context.run is not None
        return self.context.run

    @property
    def by_protocol(self) -> bool:
        """Whether a fixed protocol decides: it sends only calls, and reads the answers as data."""
        return not self.driver.llm

    def specs(self) -> Sequence[ToolSpec]:
        """The tools on offer: without one that was called repeatedly, until another is called."""
        stuck = progress_state.repeats(self.messages) > SAME_DONE
        last = progress_state.last_reply(self.messages) if stuck else None
        over_and_over = {call.name for call in last.calls} - {self.last} if last else set[str]()
        described = in_request(self.tools, progress_state.at_hand(self.messages))
        return [spec for spec in specs(described) if spec.name not in over_and_over]

    def tell(self, text: str, data: dict[str, Any] | None = None, code: str = "") -> None:
        """Send the driver a message as the user; if it ends the study, with the code of the reason."""
        self.keep(Message(role="user", text=text, data=data, code=code))

    def keep(
        self, message: Message, reply: Reply | None = None, seconds: float | None = None, cost: float | None = None
    ) -> int:
        """Log a message in the tracker, then add it to the conversation as it was logged."""
        content = self.content(message)
        turn = self.context.store.add_turn(
            self.run,
            self.spent.steps,
            message.role,
            content,
            tokens_in=reply.tokens_in if reply else None,
            tokens_cached=reply.tokens_cached if reply else None,
            tokens_written=reply.tokens_written if reply else None,
            tokens_out=reply.tokens_out if reply else None,
            cost=cost,
            seconds=seconds,
        )
        self.messages.append(Message.model_validate(content))
        return turn

    def content(self, message: Message) -> dict[str, Any]:
        """A message as it is logged."""
        unread = message.role == "tool" and not self.by_protocol
        return message.model_dump(mode="json", exclude={"data"} if unread else None)

    def count(self) -> None:
        """Count the experiments so far, without those of unanswered calls, which are counted later."""
        unanswered = [call.id for call in progress_state.unanswered(self.messages)]
        self.spent.experiments = self.context.reader.experiments_spent(self.run, unanswered)


@dataclass(frozen=True)
class Ending:
    """How a study ended: finished, budget, interrupted or failed, or stopped, when it can be resumed; the reason in
    words and as a code; and who wrote the report."""

    status: str
    why: str | None = None
    code: str | None = None
    report_by_program: bool = False

    @classmethod
    def failed(cls, code: str, **facts: object) -> Ending:
        reason = why(code, **facts)
        return cls("failed", reason.text, reason.code)


def study(
    context: Context,
    driver: Driver,
    goal: str,
    budget: Budget,
    live: Live,
    known: str = "",
    n: int = 32,
    opening: tuple[str, dict[str, Any]] | None = None,
    tools: Sequence[str] | None = None,
    at_hand: Sequence[str] = (),
) -> Ending:
    """Run a study to its report; or a second opinion, if the context reviews a run (its first message differs).

    `tools`: the only optional tools, None for all; then the first requests describe those `at_hand`, or the core.

    Raises TrackerError if the tracker cannot be written.
    """
    text, about = opening or (
        prompts.fill(
            "begin", goal=goal, model=context.model, task=context.task, known=known, n=n,
            experiments=budget.experiments, minutes=f"{budget.minutes:g}",
        ),
        {"goal": goal, "model": context.model, "task": context.task, **budget.model_dump()},
    )  # fmt: skip
    at_first = {progress_state.AT_HAND: tuple(at_hand) or core()} if driver.llm else dict[str, Any]()
    chosen = at_first if tools is None else {progress_state.TOOLS: tools}
    first = Message(role="user", text=text, data={**about, "n": n, **chosen})
    context.run = context.store.begin_run(
        goal=goal,
        driver=driver.name,
        llm=driver.llm or None,
        model=context.model,
        task=context.task,
        seed=0,
        budget=budget.model_dump(),
        environment=context.environment,
        reviews=context.reviews,
        opening=first.model_dump(mode="json"),
        request=request(context, tools),
    )
    return carry_on(Study(context, driver, goal, budget, live, [first]))


def carry_on(work: Study) -> Ending:
    """Continue from the current state of the conversation to the report, or to a second Ctrl-C."""
    context, name = work.context, f"R{work.run}"
    prepare(work)
    if work.window.limit is None:
        work.window.limit = mark_of(work.messages)["limit"] or work.budget.context
    work.window.pays = PAYS
    work.live.began(name, work.goal, work.driver, context, work.budget)
    try:
        with ctrl_c(work.stop, name):
            try:
                ending = converse(work)
            except ContextOverflow as fault:
                # The study can be resumed with a server with a longer context, or another --context.
                work.live.warned(str(fault))
                return Ending("stopped", str(fault), fault.code)
            except DriverError as fault:
                if isinstance(fault, PASSING) and progress_state.last_reply(work.messages) is not None:
                    # Stop without a report, which would end the study: it can be resumed.
                    work.live.warned(str(fault))
                    return Ending("stopped", str(fault), fault.code)
                ending = Ending("failed", str(fault), fault.code)
            return close(work, ending)
    except KeyboardInterrupt:
        stopped = why(STOPPED)
        return Ending("stopped", stopped.text, stopped.code)
    except Exception:
        work.live.warned(f"{name} is stopped, and its work is saved. Resume it: agent resume {name}")
        raise


def prepare(work: Study) -> None:
    """Give the tools the settings of the study."""
    work.context.maker = f"{work.driver.name} {work.driver.llm}".strip()
    work.context.n = (work.messages[0].data or {}).get("n")
    work.context.progress, work.context.experiment_minutes = work.live.progress, work.budget.experiment_minutes
    tracker, run = work.context.store.path, f"R{work.run}"
    work.context.skip = lambda: skips.take(tracker, run) or work.live.skips()
    most = work.budget.approve
    work.context.approval = None if most is None else Approval(most, work.stop.answers(work.live.asks))


def close(work: Study, ending: Ending) -> Ending:
    """Log the end of the run, with a report."""
    context, source = work.context, None
    if not context.finished:
        source = default_source(context.reader, work.run, ending.why or "The study ended.")
        ending = replace(ending, report_by_program=True)
    context.store.finish_run(
        work.run,
        status=ending.status,
        spent=work.spent.data(),
        error=ending.why,
        error_code=ending.code or None,
        report=source,
    )
    return ending


def converse(work: Study) -> Ending:
    """Ask and answer until the report is written or the study ends."""
    while True:
        if (ending := settle(work)) is not None:
            return ending
        if work.stop.asked and work.by_protocol:
            stopped = why(STOPPED)
            return Ending("interrupted", stopped.text, stopped.code)
        if progress_state.closing(work.messages) is None:
            if work.stop.asked:
                stopped = why(STOPPED)
                work.tell(
                    prompts.fill("stopping", last=work.last), {progress_state.STOPPING: stopped.text}, stopped.code
                )
            elif (reached := work.spent.over(work.budget, requests=AND_THE_REPORT)) is not None:
                said = prompts.fill("spent", why=reached.text, last=work.last)
                work.tell(said, {progress_state.SPENT: reached.text}, reached.code)
        hear(work)
        closing, tries = progress_state.closing(work.messages), progress_state.last_tries(work.messages)
        # Each attempt at the report costs money; the first may use the rest of it.
        if closing is not None and (tries >= LAST_TRIES or (tries and work.spent.over_cost(work.budget, 1))):
            return Ending(*closing)
        ask(work)


def hear(work: Study) -> None:
    """Add the user's messages from other terminals, each once: the logged turn has the message's id."""
    for words in [] if work.by_protocol else work.context.reader.waiting(work.run):
        work.live.user_wrote(words.text)
        work.tell(words.text, {progress_state.FROM_USER: words.id})


def ask(work: Study) -> None:
    """The driver's next turn. Raises DriverError."""
    work.spent.steps += 1
    work.live.thinking(work.spent.steps)
    began = time.monotonic()
    reply, price = next_reply(work), work.budget.price_for(work.driver.llm)
    cost = None if price is None else price.of(reply)
    if not work.by_protocol:
        work.spent.add(reply, cost)
    known = {one.what for message in work.messages for one in message.mended}
    work.context.turn = work.keep(Message.of(reply), reply, time.monotonic() - began, cost)
    if reply.text:
        work.live.said(reply.text)
    for one in reply.mended:
        # A repeated repair is logged each time, and shown once.
        if one.what not in known:
            work.live.warned(f"Repaired: {one.what}")


def settle(work: Study) -> Ending | None:
    """Run the unanswered calls of the latest reply. Returns how the study ends, if it does."""
    for call in progress_state.unanswered(work.messages):
        act(work, call)
    last, closing = progress_state.last_reply(work.messages), progress_state.closing(work.messages)
    if work.context.finished:
        return Ending(*closing) if closing is not None else Ending("finished")
    if progress_state.repeats(work.messages) >= SAME_MADE:
        return Ending.failed("same_call", times=SAME_MADE)
    if last is None or last.calls or work.messages[-1].role != "assistant":
        return None
    if work.by_protocol:
        # A protocol that calls nothing is at its end; its text says why.
        return Ending(*closing) if closing is not None else Ending.failed("protocol", said=last.text)
    if last.finish == "refusal":
        return Ending.failed("refused", said=" ".join(last.text.split())[:300])
    if progress_state.silent(work.messages) > SILENT_TURNS:
        return Ending.failed("no_calls_shown", hint=last.hint) if last.hint else Ending.failed("no_calls")
    cut, nudge = last.finish == "length", prompts.fill("nudge", last=work.last)
    work.tell("Your answer was cut off at its length limit." if cut else nudge)
    return None


def act(work: Study, call: Call) -> None:
    """Run one call and answer it. Every call gets exactly one answer, even if it is refused."""
    context = work.context
    work.count()
    work.live.called(work.spent.steps, call, work.spent)
    context.call, began, waited = call.id, time.monotonic(), context.waited
    not_done = refusal(work, call)
    if not_done is None and call.name in work.tools and work.tools[call.name].is_experiment:
        work.live.registered(register_goal(context, work.goal))
    result = answer(work.tools, context, call.name, call.arguments) if not_done is None else not_done
    work.live.answered(call, result)
    data, waited = {**result.data, "refused": result.refused}, context.waited - waited
    work.spent.began += waited
    seconds = time.monotonic() - began - waited
    short = "" if work.by_protocol else result.short
    message = Message(role="tool", text=result.text, call_id=call.id, data=data, code=result.code, short=short)
    work.keep(message if work.by_protocol else with_rest_of_budget(work, call, message), seconds=seconds)
    work.count()


def kinds_of(work: Study) -> set[str]:
    """The tools that run one experiment each."""
    return {name for name, tool in work.tools.items() if tool.is_experiment} - {*progress_state.THINKING}


def with_rest_of_budget(work: Study, call: Call, message: Message) -> Message:
    """An answer to a language model, with what is left of the budget, and whether the study stands still.

    It leaves out the minutes: a replay, which takes its own time, must give the same answers.
    """
    if work.context.finished:
        return message
    spent, budget = work.spent, work.budget
    others = [one.id for one in progress_state.unanswered(work.messages) if one.id != call.id]
    done = work.context.reader.experiments_spent(work.run, others)
    left = [f"{max(0, budget.experiments - done)} of {budget.experiments} experiments"]
    if budget.tokens is not None:
        left.append(f"{max(0, budget.tokens - spent.tokens_in - spent.tokens_out):,} of {budget.tokens:,} tokens")
    lines = [message.text, f"(Left: {', '.join(left)}.)"]
    code = message.code
    if (
        not code
        and (explored := progress_state.explored(work.messages, call, kinds_of(work)))
        and explored % STILL == 0
    ):
        code = progress_state.PLATEAU
        lines.insert(1, prompts.fill("plateau", times=explored, last=work.last))
    return message.model_copy(update={"text": "\n".join(lines), "code": code})


def refusal(work: Study, call: Call) -> Answer | None:
    """The refusal of a call, if it must not run: it has just run, or the study is at its end and accepts only a
    report."""
    if work.context.finished:
        return Answer.refusal(refused("study_over"))
    if (times := progress_state.repeats(work.messages)) > SAME_DONE:
        return Answer(prompts.fill("repeated", times=times, last=work.last), refused=True, code="repeated")
    tool = work.tools.get(call.name)
    if tool is None or tool.is_last:
        return None
    closing = progress_state.closing(work.messages)
    if work.stop.asked or (closing is not None and closing[0] == "interrupted"):
        return Answer.refusal(refused(STOPPING, last=work.last))
    if closing is not None or (tool.is_experiment and work.spent.over(work.budget)):
        return Answer.refusal(refused(BUDGET_SPENT, last=work.last))
    needed, left = tasks_of_call(call.arguments), work.budget.experiments - work.spent.experiments
    if tool.is_experiment and needed > left:
        return Answer.refusal(refused("too_few_left", needed=needed, left=left))
    return None
