"""One turn of the driver, within the size of its context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import prompts
from ...tools.toolset import core
from ..drivers.conversation import ContextOverflow, Message, Reply
from . import progress_state
from .context_window import as_requested, characters, make_mark, shorter
from .summary import summary

if TYPE_CHECKING:
    from .loop import Study

# How often to shorten a conversation that the server refuses as too long.
SHORTER = 4


def next_reply(work: Study) -> Reply:
    """The driver's reply to the conversation so far, shortened if needed. Raises a DriverError."""
    if work.by_protocol:
        return work.driver.reply(work.instructions, work.messages, work.specs())
    window = work.window
    for attempt in range(SHORTER + 1):
        base = narrow(work)
        tools, messages = work.specs(), fit(work, base)
        try:
            reply = work.driver.reply(work.instructions, messages, tools)
        except ContextOverflow as fault:
            if attempt == SHORTER:
                raise
            now = window.tokens(messages)
            window.learn(fault, base + now)
            if is_crowded(work, base):
                continue
            if len(work.messages) == 1:
                raise
            shrink(work, window.tokens(messages) // 2)
            if window.tokens(as_requested(work.messages)) >= window.tokens(messages):
                raise
            continue
        length = sum(map(characters, messages)) + len(work.instructions) + sum(len(t.model_dump_json()) for t in tools)
        if (warning := window.gauge(length, reply.tokens_in)) is not None:
            work.live.warned(warning)
        return reply
    raise AssertionError("unreachable")


def is_crowded(work: Study, base: int) -> bool:
    """Whether all tools are offered and leave too little room for a conversation."""
    return not work.window.holds(base) and progress_state.left_in(work.messages) is None


def narrow(work: Study) -> int:
    """Offer only the core tools if all are too many. Returns the tokens of instructions and tools."""
    base = work.window.base(work.instructions, work.specs())
    if not is_crowded(work, base):
        return base
    said = prompts.fill("narrowed", limit=f"{work.window.limit:,}", core=", ".join(core()))
    work.tell(said, {progress_state.TOOLS: core()})
    work.live.warned(said)
    return work.window.base(work.instructions, work.specs())


def fit(work: Study, base: int) -> list[Message]:
    """The conversation as it is sent; logs a mark first if shorter results pay, or if it no longer fits. Raises
    ContextOverflow."""
    window = work.window
    if (mark := shorter(work.messages, window.pays, window.limit)) is not None:
        work.keep(mark)
    messages = as_requested(work.messages)
    if window.limit is None:
        return messages
    room = window.room(base)
    if window.tokens(messages) > room:
        shrink(work, room // 2)
        messages = as_requested(work.messages)
        if window.tokens(messages) > room:
            raise ContextOverflow(
                f"The latest turn alone is longer than the language model's context of {window.limit:,} tokens. Give "
                "its server a longer context, or give the right size with --context."
            )
    return messages


def shrink(work: Study, target: int) -> None:
    """Log the mark that shortens the conversation to this many tokens."""
    most = int(target / 2 / work.window.per_character)

    def summary_until(place: int) -> str:
        return summary(work.context.reader, work.run, work.messages[:place], most)

    work.keep(make_mark(work.messages, work.window.tokens, target, summary_until, work.window.limit))
