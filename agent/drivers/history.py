"""The conversation in a form that every server takes back: calls and results in pairs, names and arguments mended."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import takewhile

from .conversation import Call, Message

UNANSWERED = "No result: the run stopped before this call was carried out."


def answered(messages: Sequence[Message]) -> list[Message]:
    """The conversation with each call followed at once by exactly one result, which both APIs demand.

    A call that was never carried out (the run was killed) is answered with UNANSWERED. Empty assistant messages
    get a word, since many servers refuse them. Raises ValueError on a result that answers no call.
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
    """A call as it came. An id that is missing or was used before becomes call_<number of calls made so far>."""
    used = {call.id for message in messages for call in message.calls} | {call.id for call in earlier}
    number = sum(len(message.calls) for message in messages) + len(earlier)
    chosen = call_id if isinstance(call_id, str) else ""
    while not chosen or chosen in used:
        chosen, number = f"call_{number}", number + 1
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return Call(id=chosen, name=name if isinstance(name, str) else "", arguments=text.strip() or "{}")


def sendable_name(name: str) -> str:
    """A name that servers accept in the history, even if the model made up one that they would not."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


def sendable_arguments(text: str) -> str:
    """The arguments, or {} where they are no JSON object: one such call in the history fails every later request.
    An object that was written as a text is sent as the object that it was taken for."""
    try:
        given: object = json.loads(text, parse_constant=_refuse)
        if isinstance(given, str):
            text, given = given, json.loads(given, parse_constant=_refuse)
        return text if isinstance(given, dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON")
