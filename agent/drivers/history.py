"""The conversation in a form that every server accepts: calls and results in pairs, names and arguments repaired."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import takewhile

from .conversation import Call, Message

UNANSWERED = "No result: the run stopped before this call was carried out."


def answered(messages: Sequence[Message]) -> list[Message]:
    """The conversation with each call followed directly by exactly one result, which both APIs require.

    A call that never ran (the run was killed) gets the result UNANSWERED. Empty assistant messages get a short text,
    because many servers refuse empty ones. Raises ValueError if a result answers no call.
    """
    out: list[Message] = []
    placed = 0
    for i, message in enumerate(messages):
        if message.role == "tool":
            continue
        if message.role == "assistant" and not (message.text.strip() or message.calls or message.items):
            message = message.model_copy(update={"text": "(no answer)"})
        out.append(message)
        if message.calls:
            turn = takewhile(lambda later: later.role != "assistant", messages[i + 1 :])
            results = {later.call_id: later for later in turn if later.role == "tool"}
            for call in message.calls:
                placed += call.id in results
                out.append(results.get(call.id) or Message(role="tool", call_id=call.id, text=UNANSWERED))
    if placed != sum(message.role == "tool" for message in messages):
        raise ValueError("A tool message answers no call of the assistant message before it, or answers one twice.")
    return out


def call_of(
    call_id: object, name: object, arguments: object, messages: Sequence[Message], earlier: Sequence[Call]
) -> Call:
    """A call. A missing or repeated id becomes call_<number of calls so far>."""
    used = {call.id for message in messages for call in message.calls} | {call.id for call in earlier}
    number = sum(len(message.calls) for message in messages) + len(earlier)
    chosen = call_id if isinstance(call_id, str) else ""
    while not chosen or chosen in used:
        chosen, number = f"call_{number}", number + 1
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return Call(id=chosen, name=name if isinstance(name, str) else "", arguments=text.strip() or "{}")


def sendable_name(name: str) -> str:
    """The name in a form that servers accept in the history, even if the model invented an invalid one."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


def sendable_arguments(text: str) -> str:
    """The arguments, or {} if they are not a JSON object: one such call in the history would fail every later request.
    An object that was written as a text is sent as an object."""
    try:
        given: object = json.loads(text, parse_constant=_refuse)
        if isinstance(given, str):
            text, given = given, json.loads(given, parse_constant=_refuse)
        return text if isinstance(given, dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON")
