"""A task from a description: a language model proposes drafts with `create_task` until one has no faults."""

from __future__ import annotations

from collections.abc import Callable

from .. import prompts
from ..tools.registry import all_tools, answer
from ..tools.workbench.context import Context
from .drivers.conversation import BadReply, Driver, Message, ToolSpec

# The most drafts of a task: the first, and corrected ones.
TRIES = 5
TOOL = "create_task"


def generate(context: Context, driver: Driver, description: str, n: int, say: Callable[[str], None]) -> str:
    """Have the driver make a task, keep it in the tracker, and return its name. `say` is called with each refusal.

    Raises BadReply if there is no valid task after `TRIES` turns, and what the driver raises.
    """
    tools = {TOOL: all_tools()[TOOL]}
    specs = [ToolSpec(name=t.name, description=t.description, parameters=t.schema) for t in tools.values()]
    context.maker = f"{driver.name} {driver.llm}".strip()
    asked = prompts.fill("make_task", description=description, n=n, model=context.model)
    messages = [Message(role="user", text=asked)]
    for turn in range(1, TRIES + 1):
        reply = driver.reply("", messages, specs)
        messages.append(Message.of(reply))
        if reply.finish == "refusal":
            raise BadReply(f"{driver.llm} refuses: {reply.text}")
        for call in reply.calls:
            result = answer(tools, context, call.name, call.arguments)
            if not result.refused:
                return str(result.data["task"])
            say(f"Try {turn} of {TRIES}. {result.text}")
            messages.append(Message(role="tool", text=result.text, call_id=call.id))
        if not reply.calls:
            cut = "Your answer was cut off at its length limit. Send fewer examples, or templates. "
            say(f"Try {turn} of {TRIES}. {driver.llm} called no tool: {reply.text[:300]}")
            messages.append(
                Message(role="user", text=f"{cut if reply.finish == 'length' else ''}Call {TOOL} with the whole task.")
            )
    raise BadReply(
        f"{driver.llm} made no valid task in {TRIES} tries. Describe the task more exactly, or choose another --llm."
    )
