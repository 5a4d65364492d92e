"""The loop: ask the driver, run what it calls, log it, answer, until there is a report.

Every message is written to the tracker before the next one is asked for. Whatever ends a study (the driver is
done, the budget is spent, the server is gone, the user has had enough), a report is written from what is there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .. import prompts
from ..tools.context import Context
from ..tools.registry import Answer, Tool, all_tools, answer, review_tools
from ..tools.report.default import default_source
from .budget import Budget, Spent
from .drivers.conversation import Call, Driver, DriverError, Message, Reply, ToolSpec

# After the budget is spent, how often a report may be sent back before the program writes one.
LAST_TRIES = 4
SILENT_TURNS = 2


class Live(Protocol):
    """Somebody who watches. Every method is told after the fact, and may do nothing."""

    def began(self, run: str, goal: str, driver: Driver, context: Context, budget: Budget) -> None: ...
    def thinking(self, step: int) -> None: ...
    def said(self, text: str) -> None: ...
    def called(self, step: int, call: Call, spent: Spent) -> None: ...
    def answered(self, call: Call, result: Answer) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...
    def warned(self, text: str) -> None: ...


@dataclass
class Study:
    """A study under way."""

    context: Context
    driver: Driver
    goal: str
    budget: Budget
    live: Live
    tools: dict[str, Tool]
    messages: list[Message] = field(default_factory=list[Message])
    spent: Spent = field(default_factory=Spent)

    @property
    def instructions(self) -> str:
        return prompts.read("system") if self.context.reviews is None else prompts.read("review")

    @property
    def last(self) -> str:
        """The tool that ends it."""
        return next(name for name, tool in self.tools.items() if tool.is_last)

    @property
    def run(self) -> int:
        assert self.context.run is not None
        return self.context.run

    def specs(self) -> Sequence[ToolSpec]:
        return [ToolSpec(name=t.name, description=t.description, parameters=t.schema) for t in self.tools.values()]

    def tell(self, text: str, data: dict[str, Any] | None = None) -> None:
        """Say something to the driver, as the user."""
        self.keep(Message(role="user", text=text, data=data))

    def keep(self, message: Message, reply: Reply | None = None, seconds: float | None = None) -> int:
        """Into the conversation and into the tracker, in that order of trust: what is not logged did not happen."""
        turn = self.context.store.add_turn(
            self.run,
            self.spent.steps,
            message.role,
            message.model_dump(mode="json", exclude={"data"}),
            tokens_in=reply.tokens_in if reply else None,
            tokens_out=reply.tokens_out if reply else None,
            seconds=seconds,
        )
        self.messages.append(message)
        return turn


@dataclass(frozen=True)
class Ending:
    """How a study ended: finished, budget, interrupted or failed; why; and who wrote the report."""

    status: str
    why: str | None = None
    report_by_program: bool = False


def study(
    context: Context,
    driver: Driver,
    goal: str,
    budget: Budget,
    live: Live,
    known: str = "",
    n: int = 32,
    opening: tuple[str, dict[str, Any]] | None = None,
) -> Ending:
    """Run a study to its report; a second opinion where the context reviews one, which has an opening of its own.

    Raises TrackerError when the tracker itself cannot be written.
    """
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
    )
    context.maker = f"{driver.name} {driver.llm}".strip()
    context.n = n
    context.progress = live.progress
    work = Study(context, driver, goal, budget, live, all_tools() if context.reviews is None else review_tools())
    live.began(f"R{context.run}", goal, driver, context, budget)
    ending = Ending("failed", "The program stopped.")
    try:
        if opening is None:
            opening = prompts.fill(
                "begin", goal=goal, model=context.model, task=context.task, known=known, n=n,
                experiments=budget.experiments, minutes=f"{budget.minutes:g}",
            ), {"goal": goal, "model": context.model, "task": context.task, "n": n, **budget.model_dump()}  # fmt: skip
        work.tell(*opening)
        ending = converse(work)
    except KeyboardInterrupt:
        ending = Ending("interrupted", "Stopped by the user.")
    except DriverError as fault:
        live.warned(str(fault))
        ending = Ending("failed", str(fault))
    finally:
        ending = close(work, ending)
    return ending


def close(work: Study, ending: Ending) -> Ending:
    """See that there is a report, and log how the run ended."""
    context = work.context
    if not context.finished:
        context.store.add_report(work.run, default_source(context.reader, work.run, ending.why or "The study ended."))
        ending = Ending(ending.status, ending.why, report_by_program=True)
    context.store.finish_run(work.run, status=ending.status, spent=work.spent.data(), error=ending.why)
    return ending


def converse(work: Study) -> Ending:
    """Ask and answer until the report is written or nothing more will come."""
    silent, last_tries = 0, 0
    why: str | None = None
    while True:
        reached = work.spent.over(work.budget)
        if why is None and reached is not None:
            why = reached
            work.tell(prompts.fill("spent", why=why, last=work.last), {"spent": why})
        if why is not None:
            last_tries += 1
            if last_tries > LAST_TRIES:
                return Ending("budget", f"The budget is spent: {why}.")
        work.spent.steps += 1
        work.live.thinking(work.spent.steps)
        began = time.monotonic()
        reply = work.driver.reply(work.instructions, work.messages, work.specs())
        work.spent.tokens_in += reply.tokens_in or 0
        work.spent.tokens_out += reply.tokens_out or 0
        said = Message(role="assistant", text=reply.text, calls=reply.calls, items=reply.items)
        work.context.turn = work.keep(said, reply, time.monotonic() - began)
        if reply.text:
            work.live.said(reply.text)
        if not reply.calls:
            silent += 1
            if work.driver.name == "autopilot":
                # A protocol that has nothing to call is at its end; its text says why.
                return Ending("budget" if why else "failed", f"The budget is spent: {why}." if why else reply.text)
            if silent > SILENT_TURNS or reply.finish == "refusal":
                return Ending("failed", "The language model stopped calling tools.")
            cut = reply.finish == "length"
            nudge = prompts.fill("nudge", last=work.last)
            work.tell("Your answer was cut off at its length limit." if cut else nudge)
            continue
        silent = 0
        for call in reply.calls:
            act(work, call, only_report=why is not None)
        if work.context.finished:
            return Ending("budget" if why else "finished", f"The budget is spent: {why}." if why else None)


def act(work: Study, call: Call, only_report: bool) -> None:
    """Do one call and answer it. Every call gets exactly one answer, also the ones that are not done."""
    work.live.called(work.spent.steps, call, work.spent)
    tool = work.tools.get(call.name)
    over = work.spent.over(work.budget)
    if work.context.finished:
        result = Answer("The study is finished; this call was not done.", refused=True)
    elif (only_report or over) and tool is not None and not tool.is_last and (only_report or tool.is_experiment):
        result = Answer(f"The budget is spent; only {work.last} is taken now.", refused=True)
    else:
        result = answer(work.tools, work.context, call.name, call.arguments)
        work.spent.experiments += result.ran
    work.live.answered(call, result)
    work.keep(Message(role="tool", text=result.text, call_id=call.id, data={**result.data, "refused": result.refused}))
